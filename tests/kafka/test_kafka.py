"""Notifications and manifests that come by Kafka: an offset is committed when the ledger has what became of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pipeline import main
from pipeline.cloud.kafka import partitions_of, send
from pipeline.intake.kafka import KafkaMessages
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
