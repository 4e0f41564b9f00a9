"""One Kafka broker, its own controller, on this machine; it can be killed and started again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.cloud.kafka import committed_offsets, partitions_of
from pipeline.kafka_topic import KafkaTopic
from tests.ports import free_ports

START_SECONDS = 60.0
_CLUSTER = "dropcast-tests-cluster"  # 22 characters


class KafkaBroker:
    """Runs until it is left; `with KafkaBroker(jars, folder) as broker`.

    Args:
        jars: folder of what it is made of.
        folder: for its log and its messages.
    """

    def __init__(self, jars: Path, folder: Path) -> None:
        self._jars, self._folder = jars, folder
        self._port, controller = free_ports(2)
        self.address = f"127.0.0.1:{self._port}"
        folder.mkdir(parents=True)
        self._properties = folder / "server.properties"
        settings = {
            "process.roles": "broker,controller", "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}", "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}", "log.dirs": str(folder / "messages"),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1", "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false", "offsets.topic.num.partitions": "1",
        }  # fmt: skip
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> KafkaBroker:
        subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(self._properties)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def _java(self) -> list[str]:
        return ["java", "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{self._jars}/*"]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)], stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process.poll() is None, self.log()
            try:
                self._admin().list_topics(timeout=1.0)
                return
            except KafkaException:
                assert time.monotonic() < deadline, self.log()

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """Return the end of its log."""
        return (self._folder / "log").read_text(errors="replace")[-3000:]

    def create_topic(self, name: str, partitions: int = 1) -> str:
        """Make a topic; return how the pipeline names it."""
        admin = self._admin()  # which lives until the answer is there
        (made,) = admin.create_topics([NewTopic(name, partitions, 1)]).values()
        made.result(timeout=30)
        return f"{self.address}/{name}"

    def send(self, topic: str, messages: list[tuple[bytes, dict[str, str]]], **place: int) -> None:
        """Send messages, payload and headers each; by turns to all partitions unless `partition` names one."""
        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 0, "sticky.partitioning.linger.ms": 0})
        failed: list[Any] = []
        for data, headers in messages:
            producer.produce(topic, data, headers=[*headers.items()],
                             on_delivery=lambda error, _: failed.append(error) if error else None, **place)  # fmt: skip
        assert producer.flush(60) == 0
        assert not failed, failed

    def committed(self, topic: str, group: str = "dropcast") -> dict[int, int]:
        """Return the offset that a group has committed in each partition where it has any."""
        with self._consumer(group) as consumer:
            found = committed_offsets(consumer, topic, self._partitions(topic))
            return {one.partition: one.offset for one in found if one.offset >= 0}

    def forget(self, topic: str, group: str) -> None:
        """Set a group's offsets back to the beginning of a topic."""
        places = [TopicPartition(topic, partition, 0) for partition in self._partitions(topic)]
        admin = self._admin()
        (done,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]).values()
        done.result(timeout=30)

    def ends(self, topic: str) -> dict[int, int]:
        """Return the offset of the next message of each partition that has any."""
        with self._consumer("ends") as consumer:
            marks = {number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
                     for number in self._partitions(topic)}  # fmt: skip
            return {number: high for number, (_, high) in marks.items() if high}

    def messages(self, topic: str) -> list[Message]:
        """Return all messages of a topic."""
        with self._consumer("reader") as consumer:
            ends = self.ends(topic)
            consumer.assign([TopicPartition(topic, number, 0) for number in ends])
            found: list[Message] = []
            deadline = time.monotonic() + 30
            while len(found) < sum(ends.values()):
                assert time.monotonic() < deadline
                found += [message for message in consumer.consume(100, 1.0) if message.error() is None]
            return found

    def _partitions(self, topic: str) -> list[int]:
        """Return the numbers of a topic's partitions; never none, with which two sets of offsets would be equal."""
        found = partitions_of(KafkaTopic.of(f"{self.address}/{topic}"))
        assert found
        return found

    @contextmanager
    def _consumer(self, group: str) -> Iterator[Consumer]:
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group, "enable.auto.commit": False})
        try:
            yield consumer
        finally:
            consumer.close()

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})
