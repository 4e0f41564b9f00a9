"""The tables in BigQuery: made, held against their schemas, filled once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from pipeline import main
from pipeline.cloud import tables
from pipeline.cloud.tables import Tables, qualified
from pipeline.core.outputs.tables import TABLES, VIEWS, table_schema, view_sql
from tests.cloud.conftest import Stage

pytestmark = pytest.mark.cloud
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def forecast_rows(steps: int, key: str = "k", source_time: datetime = NOW) -> pa.Table:
    row = {
        "request_key": key, "source": "gs://in/a.csv", "version": "1", "source_time": source_time, "attempt": 0,
        "output": "a.csv", "series_id": "a", "frequency": "D", "forecast_value": 1.5, "confidence_level": 0.8,
        "prediction_interval_lower_bound": 1.0, "prediction_interval_upper_bound": 2.0, "status": "", "model": "m",
        "components": None,
    }  # fmt: skip
    # the mission's own example: forecasts of the year 2015
    first = datetime(2015, 4, 30, tzinfo=UTC)
    rows = [{**row, "step": step, "forecast_timestamp": first + timedelta(days=step)} for step in range(1, steps + 1)]
    return pa.Table.from_pylist(rows, schema=table_schema("forecasts"))


def test_tables_are_made_once_partitioned_by_the_time_of_the_source(stage: Stage) -> None:
    made = Tables(stage.dataset)
    assert made.prepare(90) == []
    assert made.prepare(90) == []
    client = stage.cloud.bigquery_client()
    for name in TABLES:
        table = client.get_table(f"{stage.dataset}.{name}")
        partitioning = table.time_partitioning
        assert (partitioning and partitioning.field) == tables.PARTITION.get(name)
        assert partitioning is None or partitioning.expiration_ms == 90 * 86_400_000
        assert [field.name for field in table.schema] == table_schema(name).names
    assert tables.PARTITION["forecasts"] == "source_time", "what is forecast may lie many years off"
    assert client.get_table(f"{stage.dataset}.forecasts").clustering_fields == ["source", "series_id"]
    assert {table.table_id for table in client.list_tables(stage.dataset)} == {*TABLES, *VIEWS}


def test_forecasts_of_2015_are_taken_by_the_streaming_rules(stage: Stage) -> None:
    made = Tables(stage.dataset)
    assert made.prepare(None) == []
    ids = [str(step) for step in range(28)]
    assert made.insert("forecasts", forecast_rows(28, source_time=datetime.now(UTC)), ids) == {}
    assert stage.count("forecasts") == 28
    refused = made.insert("forecasts", forecast_rows(1, source_time=datetime(2015, 1, 1, tzinfo=UTC)), ["old"])
    assert list(refused) == [0], "the stand-in refuses what BigQuery refuses, so that the test above means something"


def test_rows_with_the_same_ids_are_there_once_and_bad_ones_are_named(stage: Stage) -> None:
    made = Tables(stage.dataset)
    assert made.prepare(None) == []
    rows = forecast_rows(1200, source_time=datetime.now(UTC))
    ids = [f"row {step}" for step in range(1200)]
    stage.cloud.front.refuse_every("forecasts", 100)
    try:
        refused = made.insert("forecasts", rows, ids)
    finally:
        stage.cloud.front.refuse_every("forecasts", 0)
    assert len(refused) == 12
    assert all(refused.values())
    assert stage.count("forecasts") == 1188
    assert made.insert("forecasts", rows, ids) == {}, "once its cause is fixed"
    assert stage.count("forecasts") == 1200


def test_a_load_job_is_done_once_whatever_state_it_is_found_in(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Tables(stage.dataset)
    assert made.prepare(None) == []
    bucket = stage.cloud.storage_client().bucket(stage.out)
    for number in range(3):
        sink = pa.BufferOutputStream()
        pq.write_table(forecast_rows(5, key=f"k{number}"), sink)
        bucket.blob(f"rows-{number}.parquet").upload_from_string(sink.getvalue().to_pybytes())
    uris = [f"gs://{stage.out}/rows-{number}.parquet" for number in range(3)]
    for _ in range(3):
        made.load("forecasts", uris, "abc")
    assert stage.count("forecasts") == 15
    # a job that failed burns its id: the next number is taken, however many calls have failed before
    monkeypatch.setattr(tables, "JOB_WAIT", 0.0)
    for _ in range(3):
        with pytest.raises(Exception, match=r"(?i)no files found|not found"):
            made.load("forecasts", [f"gs://{stage.out}/absent.parquet"], "late")
    bucket.copy_blob(bucket.blob("rows-0.parquet"), bucket, "absent.parquet")
    for _ in range(2):
        made.load("forecasts", [f"gs://{stage.out}/absent.parquet"], "late")
    assert stage.count("forecasts") == 20


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("absent", "lacks the column model (STRING)"),
        ("type", "has model as INTEGER, not STRING"),
        ("more", "requires a column that Dropcast does not write: tenant"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error_at_the_start(
    stage: Stage, change: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [bigquery.SchemaField.from_api_repr(field) for field in tables.table_fields("forecasts")]
    if change == "absent":
        fields = [field for field in fields if field.name != "model"]
    if change == "type":
        fields = [bigquery.SchemaField("model", "INTEGER") if field.name == "model" else field for field in fields]
    if change == "more":
        fields.append(bigquery.SchemaField("tenant", "STRING", mode="REQUIRED"))
    stage.cloud.bigquery_client().create_table(bigquery.Table(f"{stage.dataset}.forecasts", schema=fields))
    options = [f"--input=gs://{stage.uploads}/*.csv", f"--output={stage.output}", f"--dataset={stage.dataset}"]
    assert main.main(options) == 2
    assert f"--dataset: {stage.dataset}.forecasts {told}" in capsys.readouterr().err


def test_what_is_not_there_is_said_at_the_start(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = f"--input=gs://{stage.uploads}/*.csv"
    assert main.main([inputs, f"--output={stage.output}", "--dataset=local-cloud.nowhere"]) == 2
    assert main.main([inputs, "--output=gs://no-such-bucket-at-all/x"]) == 2
    assert main.main(["--input_subscription=projects/local-cloud/subscriptions/none", f"--output={stage.output}"]) == 2
    subscribed = f"--input_subscription={stage.subscription}"
    no_topic = "--output_topic=projects/local-cloud/topics/none"
    assert main.main([subscribed, f"--output={stage.output}", no_topic]) == 2
    assert main.main([subscribed, f"--output={stage.output}", f"--output_topic={stage.topic}"]) == 2
    assert main.main(["--input=gs://no-such-uploads/*.csv", f"--output={stage.output}"]) == 2
    stage.cloud.notify(stage.out, stage.topic)
    assert main.main([f"--input_subscription={stage.subscription}", f"--output={stage.output}"]) == 2
    told = capsys.readouterr().err
    for line in (
        "--dataset: dataset local-cloud.nowhere does not exist",
        "--output: bucket no-such-bucket-at-all does not exist",
        "--input_subscription: subscription projects/local-cloud/subscriptions/",
        "--output: notifications of objects below",
        "--output_topic: topic projects/local-cloud/topics/none does not exist",
        "is the topic that this pipeline reads from",
        "--input: bucket no-such-uploads does not exist",
    ):
        assert line in told


def test_a_notification_that_leaves_the_output_out_is_no_loop(stage: Stage) -> None:
    from pipeline.cloud.prepare import _loop_problems

    stage.cloud.notify(stage.out, stage.topic, prefix="incoming/")
    assert _loop_problems(stage.output, stage.subscription) == []
    stage.cloud.notify(stage.out, stage.topic, prefix="f")
    assert len(_loop_problems(stage.output, stage.subscription)) == 1


def test_views_name_their_tables_in_full() -> None:
    for view in VIEWS:
        sql = qualified(view_sql(view), "my-project.daily")
        assert "`my-project.daily." in sql
        for name in (*TABLES, *VIEWS):
            assert f"FROM {name}" not in sql
            assert f"JOIN {name}" not in sql
