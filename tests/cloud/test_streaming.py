"""From a bucket's notification on Pub/Sub to the object and the rows, on DirectRunner and real servers."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from pipeline.cloud.incoming import request_of
from pipeline.cloud.objects import matching
from pipeline.core.requests.messages import Message, Rules, message_of, resent
from tests.cloud.conftest import Stage, daily

pytestmark = pytest.mark.cloud


@pytest.mark.parametrize("runner", ["DirectRunner", "BundleBasedDirectRunner"])
def test_from_upload_to_object_and_rows(stage: Stage, runner: str) -> None:
    """The former works messages off without Beam; the latter is Beam's, and runs the graph that Dataflow has."""
    stage.run(f"--output_topic={stage.cloud.create_topic(stage.out)}", runner=runner)
    receipts = stage.cloud.create_subscription(stage.out, stage.out)
    stage.upload("sales/north ü#%.csv", daily())
    stage.upload("sales/bad.csv", "a,b\n1,2\n")
    stage.upload("sales/south.csv.gz", daily(1), content_type="text/csv")
    stage.upload("sales/x.manifest.json", json.dumps({"input": "north ü#%.csv", "output": "m.csv", "horizon": 5}))
    generation = stage.upload("sales/twice.csv", daily(2))
    for _ in range(3):  # a bucket may tell of one event under several message ids
        stage.publish(
            eventType="OBJECT_FINALIZE", bucketId=stage.uploads, objectId="sales/twice.csv",
            objectGeneration=str(generation), payloadFormat="NONE", eventTime="2026-01-01T00:00:00Z",
        )  # fmt: skip
    stage.publish(b"\xffneither")
    stage.publish(eventType="OBJECT_DELETE", bucketId=stage.uploads, objectId="sales/twice.csv", objectGeneration="1")
    stage.wait("five receipts", lambda: len(stage.receipts()) == 5)
    stage.wait("the bad message's dead letter", lambda: len(stage.letters()) == 2)

    forecasts = {"f/sales/north ü#%.csv", "f/sales/south.csv.gz", "f/m.csv", "f/sales/twice.csv"}
    notes = {"f/sales/bad.csv.problem.txt"} if runner == "DirectRunner" else set()
    assert {name for name in stage.names("f/") if "_dropcast" not in name} == forecasts | notes
    assert sorted((row["status"], row["code"]) for row in stage.receipts()) == [
        ("complete", ""), ("complete", ""), ("complete", ""), ("complete", ""), ("failed", "NO_DATE_COLUMN"),
    ]  # fmt: skip
    found = stage.object("f/sales/twice.csv")
    assert found.content_type == "text/csv; charset=utf-8"
    assert found.metadata["dropcast-source"] == stage.uri("sales/twice.csv")
    assert found.metadata["dropcast-version"] == str(generation)
    assert len(found.download_as_text().splitlines()) == 29
    assert stage.count("latest_forecasts") == 28 * 3 + 5 == sum(row["rows"] for row in stage.receipts())
    assert stage.count("receipts") == 5
    letters = {letter["scope"]: letter for letter in stage.letters()}
    assert letters["message"]["code"] == "BAD_MESSAGE"
    assert letters["file"]["hint"]
    assert stage.count("open_dead_letters") == 2
    with stage.cloud.subscriber() as client:
        told = client.pull(subscription=receipts, max_messages=10, timeout=30).received_messages
    events = {message.message.attributes["output"]: json.loads(message.message.data) for message in told}
    assert len(events) == 5
    assert events["m.csv"]["rows"] == 5


def test_a_newer_version_wins_whatever_comes_first(stage: Stage) -> None:
    old = stage.upload("a.csv", daily())
    new = stage.upload("a.csv", daily(3, rows=60))
    stage.upload("gone.csv", daily())
    stage.cloud.storage_client().bucket(stage.uploads).blob("gone.csv").delete()
    stage.run()
    stage.wait("three receipts", lambda: len(stage.receipts()) == 3)
    statuses = {row["version"]: (row["status"], row["code"]) for row in stage.receipts()}
    assert statuses.pop(str(old)) == ("superseded", "")
    assert statuses.pop(str(new)) == ("complete", "")
    assert list(statuses.values()) == [("failed", "SOURCE_GONE")]
    assert stage.object("f/a.csv").metadata["dropcast-version"] == str(new)
    assert {row["version"] for row in stage.query("SELECT version FROM `{}.latest_forecasts`")} == {str(new)}
    assert [letter["code"] for letter in stage.letters()] == ["SOURCE_GONE"]


def test_a_parquet_object_has_the_forecast_of_the_csv_of_its_table(stage: Stage) -> None:
    content = daily()
    table = io.BytesIO()
    pd.read_csv(io.StringIO(content), parse_dates=[0]).to_parquet(table, index=False)
    stage.run()
    stage.upload("a.parquet", table.getvalue())
    stage.upload("a.csv", content)
    stage.upload("cut.parquet", table.getvalue()[:-10])
    stage.wait("three receipts", lambda: len(stage.receipts()) == 3)
    assert [(row["output"], row["code"]) for row in stage.receipts() if row["status"] != "complete"] == [
        ("cut.parquet.csv", "BAD_PARQUET")
    ]
    assert stage.object("f/a.parquet.csv").download_as_bytes() == stage.object("f/a.csv").download_as_bytes()
    assert stage.count("latest_forecasts") == 2 * 28


def test_one_generation_has_one_time_whatever_told_of_it(stage: Stage) -> None:
    """Rows and receipts are joined on it; a notification without a payload says only when the event was."""
    generation = stage.upload("a.csv", daily())
    rules = Rules("{}", (), stage.output)
    (listed,) = matching(stage.uri("a.csv"))
    told = {
        "eventType": "OBJECT_FINALIZE", "bucketId": stage.uploads, "objectId": "a.csv",
        "objectGeneration": str(generation), "payloadFormat": "NONE", "eventTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    with_payload = Message(
        json.dumps({"timeCreated": listed.time}).encode(), {**told, "payloadFormat": "JSON_API_V1"}, "7", "2026-01-02"
    )
    requests = [request_of(message, rules) for message in (
        Message(b"", told, "8", "2026-01-02T00:00:00Z"), with_payload, message_of(listed))]  # fmt: skip
    requests.append(request_of(Message(*resent(requests[0]), "9", "2026-01-03T00:00:00Z"), rules))
    assert {request.source_time for request in requests} == {listed.time}
    assert len({request.key for request in requests}) == 1
    gone = request_of(Message(b"", {**told, "objectGeneration": "17"}, "8", "2026-01-02T00:00:00Z"), rules)
    assert gone.source_time == "2026-01-01T00:00:00Z"
