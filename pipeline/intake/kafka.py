"""Messages of a Kafka topic: an offset is committed once all before it, and its own message, are settled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.cloud.kafka import CALL, client_settings
from pipeline.core.requests.messages import Message
from pipeline.intake.offsets import Offsets
from pipeline.intake.source import Taken
from pipeline.kafka_topic import KafkaTopic

_log = logging.getLogger(__name__)
_OURS = {"enable.auto.commit": False, "enable.auto.offset.store": False}


class KafkaMessages:
    """The messages of a topic.

    Without a partition those of the partitions that the group gives to this consumer, which may change; with one those
    of that partition alone: the group then only keeps the committed offsets.

    Args:
        topic: the topic.
        partition: number of the only partition to read.
    """

    def __init__(self, topic: KafkaTopic, partition: int | None = None) -> None:
        self.name = f"{topic.topic}" if partition is None else f"{topic.topic}/{partition}"
        self._topic = topic
        self._lock = threading.RLock()
        self._offsets: dict[int, Offsets] = {}
        self._again: list[tuple[float, Taken]] = []  # when, and what
        self._to_commit: dict[int, int] = {}  # by partition
        self._committing = False
        own = {**_OURS, "group.id": topic.group, "on_commit": self._committed}
        self._consumer = Consumer({"auto.offset.reset": "earliest", **client_settings(topic), **own})
        if partition is None:
            self._consumer.subscribe([topic.topic], on_revoke=self._revoked, on_lost=self._revoked)
        else:
            self._consumer.assign(self._consumer.committed([TopicPartition(topic.topic, partition)], timeout=CALL))

    def pull(self, most: int, seconds: float) -> list[Taken]:
        """Return at most `most` messages; see Source.

        To be called every second or so by one thread, with none wanted if there is no room: the group expects it, and
        offsets are committed by it. The client's commit waits for a poll in another thread, and that for messages.
        """
        self._commit()
        again = self._due(most)
        if len(again) == most:
            self._stay(0.0 if again else seconds)
            return again
        found = [self._consumer.poll(0.0 if again else seconds)]
        if found[0] is not None and most - len(again) > 1:
            found += self._consumer.consume(most - len(again) - 1, timeout=0.0)
        taken = (self._taken(message) for message in found if message is not None)
        return [*again, *(one for one in taken if one is not None)]

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        """Have the next pull commit what can be: up to the first message that is not settled."""
        with self._lock:
            for partition, offset in map(_place, taken):
                if partition in self._offsets:
                    self._offsets[partition].settle(offset)
            for partition, offsets in self._offsets.items():
                if (first := offsets.take_committable()) is not None:
                    self._to_commit[partition] = first

    def keep(self, taken: Sequence[Taken]) -> None:
        """Do nothing: what is not committed does not come again while this consumer reads on."""

    def release(self, taken: Sequence[Taken], seconds: float) -> None:
        """Give messages again after some seconds."""
        with self._lock:
            self._again += [(time.monotonic() + seconds, one) for one in taken]

    def close(self) -> None:
        """Commit what can be, and leave the group."""
        try:
            if self._to_commit:
                self._consumer.commit(offsets=self._places(), asynchronous=False)
        except KafkaException as error:  # what is not committed comes again, and is found in the ledger
            _log.warning("offsets of %s were not committed: %s", self.name, error)
        self._consumer.close()

    def _commit(self) -> None:
        """Commit, unless the answer to the commit before is still on its way."""
        with self._lock:
            if self._to_commit and not self._committing:
                self._committing = True
                self._consumer.commit(offsets=self._places(), asynchronous=True)

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic.topic, *place) for place in self._to_commit.items()]

    def _committed(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Forget what is committed; what could not be is tried again by the next pull."""
        with self._lock:
            self._committing = False
            for place in places:
                wrong = error or place.error
                if wrong is not None:
                    _log.warning("the offset of %s was not committed: %s", self.name, wrong)
                elif self._to_commit.get(place.partition) == place.offset:
                    del self._to_commit[place.partition]

    def _due(self, most: int) -> list[Taken]:
        now = time.monotonic()
        with self._lock:
            self._again = [(at, one) for at, one in self._again if _place(one)[0] in self._offsets]
            due = [entry for entry in self._again if entry[0] <= now][:most]
            self._again = [entry for entry in self._again if entry not in due]
        return [one for _, one in due]

    def _stay(self, seconds: float) -> None:
        """Stay in the group without taking a message."""
        assigned = self._consumer.assignment()
        if not assigned:
            time.sleep(seconds)
            return
        self._consumer.pause(assigned)
        message = self._consumer.poll(seconds)
        if message is not None and (taken := self._taken(message)) is not None:  # of a partition that is new
            self.release([taken], 0.0)
        self._consumer.resume(self._consumer.assignment())

    def _taken(self, message: Any) -> Taken | None:
        error = message.error()
        if error is not None:
            if error.fatal() or (not error.retriable() and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise KafkaException(error)
            _log.warning("%s: %s", self.name, error)
            return None
        with self._lock:
            self._offsets.setdefault(message.partition(), Offsets()).read(message.offset())
        return taken_of(message)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget partitions that another consumer reads from now on, from the offsets that were committed."""
        with self._lock:
            for partition in partitions:
                self._offsets.pop(partition.partition, None)
                self._to_commit.pop(partition.partition, None)


def taken_of(message: Any) -> Taken:
    """Return a message of Kafka as it would come from Pub/Sub: its headers are the attributes."""
    place = f"{message.partition()}:{message.offset()}"
    _, milliseconds = message.timestamp()
    published = datetime.fromtimestamp(max(milliseconds, 0) / 1000, UTC).isoformat(timespec="milliseconds")
    return Taken(
        place,
        Message(
            message.value() or b"",
            _attributes(message.headers() or ()),
            f"{message.topic()}:{place}",
            published.replace("+00:00", "Z"),
        ),
    )


def _attributes(headers: Sequence[tuple[str, bytes | str | None]]) -> Mapping[str, str]:
    return {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or "" for name, value in headers
    }


def _place(taken: Taken) -> tuple[int, int]:
    partition, _, offset = taken.id.partition(":")
    return int(partition), int(offset)
