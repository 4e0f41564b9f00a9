"""Notifications and manifests that come by Kafka: an offset is committed when the ledger has what became of it."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from pipeline import main
from pipeline.cloud.kafka import partitions_of, send
from pipeline.intake.kafka import KafkaMessages
from pipeline.intake.source import Taken
from pipeline.kafka_topic import KafkaTopic
from tests.cloud.conftest import Stage, daily
from tests.kafka.broker import KafkaBroker
from tests.kafka.messages import notification

pytestmark = [pytest.mark.cloud, pytest.mark.kafka]


def uploaded(stage: Stage, names: list[str]) -> list[tuple[bytes, dict[str, str]]]:
    return [notification(stage, name, stage.upload(name, daily(seed))) for seed, name in enumerate(names)]


def all_committed(broker: KafkaBroker, topic: str) -> bool:
    return broker.committed(topic) == broker.ends(topic)


def test_from_a_topic_to_objects_rows_and_receipts_in_a_topic(stage: Stage, broker: KafkaBroker) -> None:
    place, receipts = broker.create_topic("uploads", 2), broker.create_topic("receipts")
    good = uploaded(stage, ["a.csv", "b ü.csv"])
    bad = notification(stage, "bad.csv", stage.upload("bad.csv", "a,b\n1,2\n"))
    manifest = json.dumps({"input": stage.uri("a.csv"), "output": "m.csv", "horizon": 5}).encode()
    ignored = (b"", {"eventType": "OBJECT_DELETE", "bucketId": stage.uploads, "objectId": "a.csv"})
    broker.send("uploads", [*good, bad, good[0], (manifest, {}), (b"\xffneither", {}), ignored])
    process = stage.run(
        f"--output_topic=kafka:{receipts}", f"--allow=gs://{stage.uploads}/", source=f"--input_kafka={place}"
    )
    stage.wait("all is committed", lambda: all_committed(broker, "uploads"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0

    assert sorted((row["output"], row["status"]) for row in stage.receipts()) == [
        ("a.csv", "complete"), ("b ü.csv", "complete"), ("bad.csv", "failed"), ("m.csv", "complete"),
    ]  # fmt: skip
    assert stage.count("latest_forecasts") == 2 * 28 + 5
    assert sorted((letter["scope"], letter["code"]) for letter in stage.letters()) == [
        ("file", "NO_DATE_COLUMN"), ("message", "BAD_MESSAGE"),
    ]  # fmt: skip
    told = broker.messages("receipts")
    assert {json.loads(message.value() or b"")["output"] for message in told} == {
        "a.csv",
        "b ü.csv",
        "bad.csv",
        "m.csv",
    }
    assert {dict(message.headers() or ())["status"] for message in told} == {b"complete", b"failed"}


@pytest.mark.long
@pytest.mark.parametrize("victim", ["pipeline", "broker", "one of two"])
def test_whatever_is_killed_in_mid_work_the_books_balance(
    stage: Stage, broker: KafkaBroker, victim: str, tmp_path: Path
) -> None:
    """No offset is committed before its receipt, none stays uncommitted, and no row is there twice."""
    place, properties = broker.create_topic("uploads", 2), tmp_path / "client.properties"
    properties.write_text("session.timeout.ms=6000\n")  # after which a dead consumer's partitions are another's
    names = [f"{number}.csv" for number in range(40)]
    broker.send("uploads", uploaded(stage, names))
    source = f"--input_kafka={place}"
    options = f"--kafka_properties={properties}"
    process = stage.run(options, source=source)
    if victim == "one of two":
        stage.run(options, source=source)
    stage.wait("some are done", lambda: len(stage.receipts()) >= 8)
    if victim == "broker":
        broker.kill()
    else:
        stage.running.remove(process)
        process.kill()
        process.wait()
        committed = sum(broker.committed("uploads").values())
        assert committed <= len(stage.receipts()) < len(names), "an offset was committed before its receipt"
    if victim == "broker":
        broker.start()
    if victim == "pipeline":
        stage.run(options, source=source)
    stage.wait("all is committed", lambda: all_committed(broker, "uploads"), 120)
    assert {row["output"]: row["status"] for row in stage.receipts()} == dict.fromkeys(names, "complete")
    assert stage.count("latest_forecasts") == stage.count("forecasts") == 28 * len(names)


def test_a_message_that_is_given_back_comes_again_and_no_offset_passes_it(stage: Stage, broker: KafkaBroker) -> None:
    messages = KafkaMessages(KafkaTopic.of(broker.create_topic("uploads")))
    broker.send("uploads", [(str(number).encode(), {}) for number in range(3)])
    taken = []
    while len(taken) < 3:
        taken += messages.pull(3 - len(taken), 5.0)
    messages.release([taken[0]], 0.0)
    messages.acknowledge(taken[1:])
    assert broker.committed("uploads") == {}
    assert messages.pull(0, 0.1) == []
    assert messages.pull(5, 0.1) == [taken[0]]
    messages.acknowledge([taken[0]])
    messages.close()
    assert broker.committed("uploads") == {0: 3}


def test_messages_that_failed_take_half_the_room_at_most(broker: KafkaBroker) -> None:
    messages = KafkaMessages(KafkaTopic.of(broker.create_topic("uploads")))
    broker.send("uploads", [(str(number).encode(), {}) for number in range(10)])
    failed: list[Taken] = []
    while len(failed) < 10:
        failed += messages.pull(10 - len(failed), 5.0)
    broker.send("uploads", [(b"new", {}) for _ in range(10)])
    while not (first := messages.pull(1, 5.0)):
        pass
    messages.release(failed, 0.0)
    assert [one.message.data for one in first] == [b"new"]
    found = messages.pull(4, 5.0)
    assert found[:2] == failed[:2]
    assert [one.message.data for one in found[2:]] == [b"new"] * 2, "what failed before goes first"
    messages.close()


@pytest.mark.long
def test_a_reader_without_room_gives_partitions_to_others_and_takes_them_again(broker: KafkaBroker) -> None:
    place = broker.create_topic("uploads", 2)
    first = KafkaMessages(KafkaTopic.of(place))
    number = itertools.count()

    def pulled(reader: KafkaMessages, others: list[KafkaMessages], partitions: set[int]) -> None:
        """Send messages until a reader has had some of these partitions; those that have no room stay in the group."""
        deadline, seen = time.monotonic() + 40, set[int]()
        while seen != partitions:
            assert time.monotonic() < deadline, f"only {seen} after forty seconds"
            for partition in (0, 1):
                broker.send("uploads", [(str(next(number)).encode(), {})], partition=partition)
            seen |= {int(one.id.split(":")[0]) for one in reader.pull(10, 0.2)} & partitions
            for other in others:
                assert other.pull(0, 0.2) == []

    pulled(first, [], {0, 1})
    second = KafkaMessages(KafkaTopic.of(place))
    deadline, seen = time.monotonic() + 40, set[int]()
    while not seen:
        assert time.monotonic() < deadline, "the one without room keeps all partitions"
        assert first.pull(0, 0.2) == []
        seen = {int(one.id.split(":")[0]) for one in second.pull(10, 0.2)}
    second.close()
    pulled(first, [], {0, 1})
    first.close()


@pytest.mark.long
def test_a_partition_that_comes_back_while_there_is_no_room_is_read_once_there_is(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked: list[int] = []
    real = KafkaMessages._revoked

    def noted(reader: KafkaMessages, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        revoked.append(len(partitions))
        real(reader, consumer, partitions)

    monkeypatch.setattr(KafkaMessages, "_revoked", noted)
    place = broker.create_topic("uploads")
    first = KafkaMessages(KafkaTopic.of(place))
    deadline = time.monotonic() + 60

    def until(done: Callable[[], bool], *polled: KafkaMessages) -> None:
        while not done():
            assert time.monotonic() < deadline, "a minute has passed"
            for reader in polled:
                assert reader.pull(0, 0.1) == []

    def has_it(reader: KafkaMessages) -> bool:
        return bool(reader._consumer.assignment())

    until(lambda: has_it(first), first)
    second = KafkaMessages(KafkaTopic.of(place))
    until(lambda: bool(revoked), first, second)  # the first may get it back within one poll
    until(lambda: has_it(second) or has_it(first), first, second)
    second.close()
    until(lambda: has_it(first), first)
    broker.send("uploads", [(b"x", {})])
    found: list[Taken] = []
    while not found:
        assert time.monotonic() < deadline, "the partition stays paused"
        found = first.pull(10, 0.5)
    assert [one.message.data for one in found] == [b"x"]
    first.close()


def test_offsets_of_a_group_without_members_are_committed_again(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.intake.kafka.COMMITTED_AGAIN", 0.0)
    messages, group = KafkaMessages(KafkaTopic.of(broker.create_topic("uploads")), 0), "dropcast-by-partition"
    broker.send("uploads", [(b"x", {})])
    while not (taken := messages.pull(1, 5.0)):
        pass
    messages.acknowledge(taken)
    for forgotten in (False, True):  # as a broker forgets them that has seen no commit for a week
        if forgotten:
            broker.forget("uploads", group)
            assert broker.committed("uploads", group) == {0: 0}
        deadline = time.monotonic() + 40
        while broker.committed("uploads", group) != {0: 1}:
            assert time.monotonic() < deadline, "it was not committed"
            assert messages.pull(0, 0.2) == []
    messages.close()


def test_a_message_with_an_odd_time_is_read_as_any_other(stage: Stage, broker: KafkaBroker) -> None:
    place = broker.create_topic("uploads")
    broker.send("uploads", uploaded(stage, ["a.csv"]), timestamp=1_769_000_000_000_000)  # microseconds
    broker.send("uploads", uploaded(stage, ["b.csv"]))
    stage.run(source=f"--input_kafka={place}")
    stage.wait("both are committed", lambda: all_committed(broker, "uploads"))
    assert {row["output"]: row["status"] for row in stage.receipts()} == {"a.csv": "complete", "b.csv": "complete"}


def test_it_ends_in_time_when_the_broker_is_gone(stage: Stage, broker: KafkaBroker) -> None:
    place = broker.create_topic("uploads")
    broker.send("uploads", uploaded(stage, ["a.csv"]))
    process = stage.run(source=f"--input_kafka={place}")
    stage.wait("it is done", lambda: len(stage.receipts()) == 1)
    broker.kill()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=29) == 0, "Kubernetes kills after thirty seconds"


def test_a_group_of_ones_own_reads_all_messages_too(broker: KafkaBroker, tmp_path: Path) -> None:
    place, properties = broker.create_topic("uploads"), tmp_path / "client.properties"
    properties.write_text("group.id=other\n")
    broker.send("uploads", [(b"x", {})])
    readers = [KafkaMessages(KafkaTopic.of(place)), KafkaMessages(KafkaTopic.of(place, str(properties)))]
    for reader in readers:
        while not (taken := reader.pull(1, 5.0)):
            pass
        reader.acknowledge(taken)
        reader.close()
    assert broker.committed("uploads") == broker.committed("uploads", "other") == {0: 1}


def test_a_replay_sends_to_a_topic_of_kafka(stage: Stage, broker: KafkaBroker) -> None:
    place = broker.create_topic("uploads")
    send(KafkaTopic.of(place), [(b"x", {"eventType": "OBJECT_FINALIZE"}), (b"", {})])
    first, second = broker.messages("uploads")
    assert (first.value(), first.headers()) == (b"x", [("eventType", b"OBJECT_FINALIZE")])
    assert not second.value()
    stage.upload("a.csv", daily())
    command = ["reconcile", f"--input=gs://{stage.uploads}/", f"--output={stage.output}", f"--topic=kafka:{place}"]
    from pipeline import cli

    assert cli.main(command) == 0
    (*_, sent) = broker.messages("uploads")
    assert dict(sent.headers() or ())["objectId"] == b"a.csv"


def test_what_is_wrong_is_said_before_anything_starts(
    stage: Stage, broker: KafkaBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = broker.create_topic("uploads", 3)
    assert partitions_of(KafkaTopic.of(place)) == [0, 1, 2]
    wrong = tmp_path / "client.properties"
    wrong.write_text("# TLS\n\nsecurity.protocol\n")
    given = [f"--output={stage.output}"]
    for options, expected in (
        ([f"--input_kafka={broker.address}/none"], "--input_kafka: "),
        ([f"--input_kafka={place}", f"--output_topic=kafka:{place}"], "choose another"),
        ([f"--input_kafka={place}", f"--kafka_properties={wrong}"], "line 3 is not NAME=VALUE"),
        ([f"--input_kafka={place}", "--input=gs://in/*.csv"], "use either this or --input"),
        ([f"--input_kafka={place}", "--runner=DataflowRunner"], "on Dataflow"),
        (["--input_kafka=uploads"], "must be HOST:PORT,.../TOPIC"),
        (["--input=gs://in/*.csv", f"--kafka_properties={wrong}"], "works only with a topic of Kafka"),
    ):
        assert main.main([*given, *options]) == 2
        assert expected in capsys.readouterr().err


def test_settings_of_a_file_are_the_clients(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("security.protocol=SASL_SSL\n# a word\nsasl.password = a=b\nbootstrap.servers=elsewhere:1\n")
    settings = KafkaTopic.of("one:1,two:2/uploads", str(path)).settings
    assert settings["security.protocol"] == "SASL_SSL"
    assert settings["sasl.password"] == "a=b"
    assert settings["bootstrap.servers"] == "one:1,two:2", "the file changes where messages come from"
