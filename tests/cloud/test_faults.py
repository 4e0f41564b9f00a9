"""Servers that fail, answers that get lost, messages that come twice, late or broken: the books must balance."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import cli, main
from pipeline.transforms import forecast, load_rows, load_series, write_dead_letters, write_forecasts, write_receipts
from tests.cloud.conftest import Stage, daily
from tests.cloud.fault_rules import bigquery_faults, storage_faults
from tests.local_cloud.fault_proxy import FaultProxy, Rule

pytestmark = pytest.mark.cloud


def counts_of(stage: Stage) -> Counter[str]:
    """Return what the ledger, the tables and the bucket say, which must agree."""
    receipts, letters = stage.receipts(), stage.letters()
    status = Counter(row["status"] for row in receipts)
    scopes = Counter(letter["scope"] for letter in letters)
    assert len({row["request_key"] for row in receipts}) == len(receipts)
    assert status["failed"] == scopes["file"]
    assert sum(row["series_failed"] for row in receipts) == scopes["series"]
    good = [row for row in receipts if row["status"] in ("complete", "partial")]
    assert stage.count("latest_receipts") == len({(row["source"], row["output"]) for row in receipts})
    newest = {row["output"]: row for row in sorted(good, key=lambda row: (row["source_time"], row["attempt"]))}
    assert stage.count("latest_forecasts") == sum(row["rows"] for row in newest.values())
    assert {name.removeprefix("f/") for name in stage.names("f/") if "_dropcast" not in name} == set(newest)
    for output, row in newest.items():
        assert stage.object(f"f/{output}").metadata["dropcast-key"] == row["request_key"]
    assert stage.names("f/_dropcast/work/") == []
    return status + Counter({f"letters_{scope}": number for scope, number in scopes.items()})


def test_every_element_delivered_twice_at_each_stage(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = "\n".join(f"s{i},{line}" for i in range(3) for line in daily(i).splitlines()[1:])
    stage.upload("stores.csv", f"store,ds,y\n{stores}\nlone,2024-01-01,1\n")
    stage.upload("one.csv", daily())
    stage.upload("bad.csv", "x,y\n1,2\n")
    monkeypatch.setattr("pipeline.core.series.row_store.BLOCK_SERIES", {"native": 2, "stan": 2})
    for fn in (
        load_series._ReadCsv,
        forecast._FitAndForecast,
        write_forecasts._WriteBlock,
        write_forecasts._Publish,
        load_rows._LoadAll,
        write_dead_letters._WriteLetters,
        write_receipts._WriteReceipt,
    ):

        def twice(self: Any, element: Any, once: Any = fn.process) -> Iterator[Any]:
            yield from once(self, element)
            yield from once(self, element)

        monkeypatch.setattr(fn, "process", twice)
    options = [f"--output={stage.output}", f"--dataset={stage.dataset}", "--runner=FnApiRunner"]
    assert main.main([f"--input=gs://{stage.uploads}/*", *options]) == 3
    assert counts_of(stage) == {"complete": 1, "partial": 1, "failed": 1, "letters_file": 1, "letters_series": 1}
    assert stage.count("latest_forecasts") == 4 * 28


def test_after_a_crash_reconcile_completes_the_rest(stage: Stage) -> None:
    process = stage.run()
    for number in range(40):
        stage.upload(f"{number}.csv", daily(number))
    stage.wait("some receipts", lambda: len(stage.receipts()) >= 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stage.running.clear()
    assert len(stage.receipts()) < 40, "the crash came too late to show anything"
    reconcile = [f"--input=gs://{stage.uploads}/", f"--output={stage.output}", f"--dataset={stage.dataset}"]
    assert cli.main(["reconcile", *reconcile]) == 0
    assert counts_of(stage) == {"complete": 40}


@pytest.mark.long
def test_servers_that_are_down_for_half_a_minute(stage: Stage) -> None:
    with FaultProxy(stage.cloud.storage) as storage, FaultProxy(stage.cloud.bigquery) as bigquery:
        stage.run(environment={"STORAGE_EMULATOR_HOST": storage.url, "BIGQUERY_EMULATOR_HOST": bigquery.url})
        stage.upload("first.csv", daily())
        stage.wait("the first receipt", lambda: len(stage.receipts()) == 1)
        for proxy in (storage, bigquery):
            proxy.rules.append(Rule("reset"))
            stage.upload(f"{proxy.url[-5:]}.csv", daily(1))
            time.sleep(30)  # for as long as the server is down
            assert proxy.log, "the server was not asked while it was down"
            proxy.rules.clear()
        stage.wait("all receipts", lambda: len(stage.receipts()) == 3)
    assert counts_of(stage) == {"complete": 3}


@pytest.mark.long
def test_two_thousand_notifications_under_faults(stage: Stage) -> None:
    chosen = random.Random(7)
    good = 1900
    generations = {}
    notes = []
    for number in range(good):
        name = f"{number}.csv"
        generations[name] = stage.upload(name, daily(number) if number % 10 else "x,y\n1,2\n")
    with stage.cloud.subscriber() as client:  # those of the bucket itself are lost; ours come instead
        while got := client.pull(subscription=stage.subscription, max_messages=1000, timeout=30).received_messages:
            client.acknowledge(subscription=stage.subscription, ack_ids=[one.ack_id for one in got])
    for name, generation in generations.items():
        attributes = {
            "eventType": "OBJECT_FINALIZE", "bucketId": stage.uploads, "objectId": name,
            "objectGeneration": str(generation), "payloadFormat": "NONE", "eventTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        notes += [(b"", attributes)] * (2 if chosen.random() < 0.2 else 1)
    late = [note for note in notes if chosen.random() < 0.1]
    for note in late:
        notes.remove(note)
    poison = [(bytes([255, number]), {"n": str(number)}) for number in range(100)]
    notes += poison
    chosen.shuffle(notes)
    publisher = stage.cloud.publisher()

    def send(messages: list[tuple[bytes, dict[str, str]]]) -> None:
        for future in [publisher.publish(stage.topic, data, **attributes) for data, attributes in messages]:
            future.result(timeout=60)

    with (
        FaultProxy(stage.cloud.storage, storage_faults(0.004), seed=1) as storage,
        FaultProxy(stage.cloud.bigquery, bigquery_faults(0.004), seed=2) as bigquery,
    ):
        process = stage.run(environment={"STORAGE_EMULATOR_HOST": storage.url, "BIGQUERY_EMULATOR_HOST": bigquery.url})
        send(notes)
        later = threading.Timer(60, send, [late])
        later.start()
        receipts = "f/_dropcast/receipts/"
        stage.wait("all receipts", lambda: len(stage.names(receipts)) == good, 900)
        later.join()
        stage.wait("all dead letters", lambda: len(stage.names("f/_dropcast/dead_letters/")) == good // 10 + 100)
        stage.upload("last.csv", daily())  # comes after all others
        stage.wait("the last receipt", lambda: len(stage.names(receipts)) == good + 1)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        told = process.log.read_text()  # type: ignore[attr-defined]
        assert len(storage.log) > 50
        assert len(bigquery.log) > 10
    stage.running.clear()
    assert counts_of(stage) == {
        "complete": good + 1 - good // 10, "failed": good // 10, "letters_file": good // 10, "letters_message": 100,
    }  # fmt: skip
    assert told.count("retrying") > 50, "what is tried again is told"
