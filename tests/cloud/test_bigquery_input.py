"""Tables and queries of BigQuery as inputs, on real servers."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import pandas as pd
import pytest

from pipeline import main
from pipeline.cloud.incoming import request_of
from pipeline.cloud.output import BucketOutput
from pipeline.cloud.sources import live_version, matching
from pipeline.cloud.tables import Tables
from pipeline.core.elements import Receipt, Request
from pipeline.core.errors import RecordError
from pipeline.core.limits import Limits
from pipeline.core.process_request import process
from pipeline.core.requests.messages import Message, Rules, message_of, resent
from tests.cloud.conftest import Stage, daily

pytestmark = pytest.mark.cloud
TIME = "2026-01-01T00:00:00Z"


class Warehouse:
    """A dataset with a table that has the rows of tests.cloud.conftest.daily, for two stores."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.name = f"{stage.dataset.partition('.')[2]}_in"
        self.client = stage.cloud.bigquery_client()
        self.client.create_dataset(self.name)
        assert Tables(stage.dataset).prepare(None) == []
        self.table = f"local-cloud.{self.name}.daily"
        self.source = f"bigquery:{self.table}"
        self.run(f"CREATE TABLE `{self.table}` (store STRING, ds DATE, y NUMERIC, tags ARRAY<STRING>)")
        self.csv = "store,ds,y\n"
        for store in ("b", "a"):
            self.add(store, daily(ord(store)))

    def run(self, sql: str) -> None:
        self.client.query(sql).result()

    def add(self, store: str, csv: str) -> None:
        rows = [line.split(",") for line in csv.splitlines()[1:]]
        self.csv += "".join(f"{store},{ds},{y}\n" for ds, y in rows)
        values = ", ".join(f"('{store}', DATE '{ds}', {y}, ['x'])" for ds, y in rows)
        self.run(f"INSERT INTO `{self.table}` VALUES {values}")

    def rules(self, *allowed: str) -> Rules:
        return Rules("{}", allowed or (f"bigquery:local-cloud.{self.name}",), self.stage.output)

    def output(self) -> BucketOutput:
        return BucketOutput(self.stage.output, self.stage.dataset, False, readable=self.rules().allowed)

    def request(self) -> Request:
        (version,) = matching(self.source)
        return request_of(message_of(version), self.rules())

    def process(self, request: Request, limits: Limits = Limits()) -> Receipt:  # noqa: B008 - frozen
        return process(request, limits, self.output())[0]

    def forecast(self, name: str) -> str:
        return str(self.stage.object(f"f/{name}").download_as_text())


@pytest.fixture
def warehouse(stage: Stage) -> Warehouse:
    return Warehouse(stage)


def csv_forecast(warehouse: Warehouse) -> str:
    """Return the forecast of the CSV with the table's rows, in the order in which a table's rows are read."""
    stage = warehouse.stage
    ordered = pd.read_csv(io.StringIO(warehouse.csv)).sort_values(["store", "ds"])
    generation = stage.upload("daily.csv", ordered.to_csv(index=False))
    warehouse.process(Request(stage.uri("daily.csv"), str(generation), TIME, "daily.csv", "{}"))
    return warehouse.forecast("daily.csv")


def test_a_table_has_the_forecast_of_the_csv_of_its_rows(warehouse: Warehouse) -> None:
    stage = warehouse.stage
    options = [f"--output={stage.output}", f"--dataset={stage.dataset}", "--runner=DirectRunner"]
    assert main.main([f"--input={warehouse.source}", *options]) == 0
    (receipt,) = stage.receipts()
    assert receipt["source"] == warehouse.source
    assert receipt["output"] == f"{warehouse.table}.csv"
    assert receipt["series"] == 2
    assert "columns not used: tags" not in receipt["notes"], "it is not read at all"
    assert warehouse.forecast(f"{warehouse.table}.csv") == csv_forecast(warehouse)
    assert stage.count("latest_forecasts", f"source = '{warehouse.source}'") == 2 * 28
    assert main.main([f"--input={warehouse.source}", *options]) == 0
    assert len(stage.receipts()) == 2, "it has not changed since, so there is nothing to do; the other is the CSV's"


def test_a_request_reads_the_table_as_it_was(warehouse: Warehouse) -> None:
    before = csv_forecast(warehouse)
    request = warehouse.request()
    warehouse.add("c", daily(3))
    later = warehouse.request()
    assert int(later.version) > int(request.version)
    assert later.key != request.key
    assert warehouse.process(request).status == "complete"
    assert warehouse.forecast(request.output) == before
    assert warehouse.process(later).series == 3
    assert warehouse.process(dataclasses.replace(request, attempt=1)).status == "superseded"


def test_a_table_that_is_gone_or_was_never_there(warehouse: Warehouse) -> None:
    request = warehouse.request()
    warehouse.run(f"DROP TABLE `{warehouse.table}`")
    assert warehouse.process(request).code == "SOURCE_GONE"
    assert live_version(warehouse.source) is None
    with pytest.raises(RecordError) as refused:
        list(matching(warehouse.source))
    assert refused.value.code == "SOURCE_GONE"
    options = [f"--output={warehouse.stage.output}", "--runner=DirectRunner"]
    assert main.main([f"--input={warehouse.source}", *options]) == 2


def test_a_time_before_the_window_is_gone(warehouse: Warehouse) -> None:
    request = dataclasses.replace(warehouse.request(), version="1600000000000")
    receipt = warehouse.process(request)
    assert (receipt.status, receipt.code) == ("failed", "SOURCE_GONE")


def test_a_view_is_read_by_a_query_only(warehouse: Warehouse) -> None:
    warehouse.run(f"CREATE VIEW `local-cloud.{warehouse.name}.recent` AS SELECT * FROM `{warehouse.table}`")
    with pytest.raises(RecordError) as refused:
        live_version(f"bigquery:local-cloud.{warehouse.name}.recent")
    assert (refused.value.code, ".sql" in refused.value.hint) == ("SOURCE_UNREADABLE", True)


def test_a_query_of_arrays_only_is_refused(warehouse: Warehouse) -> None:
    receipt = warehouse.process(asked(warehouse, f"SELECT tags FROM `{warehouse.table}`"))
    assert (receipt.status, receipt.code) == ("failed", "NO_DATE_COLUMN")


def test_limits_hold_for_tables(warehouse: Warehouse) -> None:
    assert warehouse.process(warehouse.request(), Limits(max_bytes=1000)).code == "TOO_MANY_BYTES"
    assert warehouse.process(dataclasses.replace(warehouse.request(), attempt=1), Limits(max_work_bytes=500)).code == (
        "TOO_MANY_BYTES"
    )


# ------------------------------------------------------------------------------------------ manifests


def manifest(**fields: Any) -> Message:
    return Message(json.dumps(fields).encode(), {}, "7", "2999-01-01T00:00:00Z")


def test_a_manifest_may_name_a_table_that_is_allowed(warehouse: Warehouse) -> None:
    request = request_of(manifest(input=warehouse.source, output="x.csv", horizon=5), warehouse.rules())
    assert (request.source, request.output) == (warehouse.source, "x.csv")
    assert request.version == warehouse.request().version
    assert warehouse.process(request).rows == 2 * 5
    assert request_of(Message(*resent(request), "8", TIME), warehouse.rules()) == request
    for rules in (warehouse.rules("gs://uploads/"), warehouse.rules("bigquery:local-cloud.other")):
        for message in (manifest(input=warehouse.source), Message(*resent(request), "8", TIME)):
            with pytest.raises(RecordError) as refused:
                request_of(message, rules)
            assert refused.value.code == "PATH_NOT_ALLOWED"
    assert request_of(manifest(input=warehouse.source), warehouse.rules(warehouse.source)).source == warehouse.source


def asked(warehouse: Warehouse, sql: str, rules: Rules | None = None) -> Request:
    """Return the request of a manifest that asks for a query now."""
    stage = warehouse.stage
    stage.upload("sales.sql", sql)
    generation = stage.upload("sales.manifest.json", json.dumps({"input": "sales.sql", "output": "sales.csv"}))
    message = message_of(live_version(stage.uri("sales.manifest.json")))  # type: ignore[arg-type]
    assert message.attributes["objectGeneration"] == str(generation)
    return request_of(message, rules or dataclasses.replace(warehouse.rules(), allowed=(
        f"gs://{stage.uploads}/", f"bigquery:local-cloud.{warehouse.name}")))  # fmt: skip


def test_a_query_has_the_forecast_of_the_csv_of_its_rows(warehouse: Warehouse) -> None:
    expected = csv_forecast(warehouse)
    request = asked(warehouse, f"SELECT store, ds, y FROM `{warehouse.table}` AS t WHERE y > 0 OR y <= 0")
    assert request.source.endswith("/sales.sql")
    assert request.version.isdigit()
    warehouse.add("c", daily(3))
    assert warehouse.process(request).status == "complete"
    assert warehouse.forecast("sales.csv") == expected, "as the table was when the manifest came"
    again = dataclasses.replace(request, attempt=1)
    assert warehouse.process(again).status == "complete"
    assert warehouse.forecast("sales.csv") == expected


def test_a_retry_finds_the_job_of_the_first_try(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    request = asked(warehouse, f"SELECT store, ds, y FROM `{warehouse.table}`")
    output = warehouse.output()
    with output.open_source(request, Limits()) as source:
        first = source.read()
    monkeypatch.setattr("pipeline.core.requests.bigquery_queries.Query.as_of", lambda *_: "SELECT 1 AS another")
    with output.open_source(request, Limits()) as source:
        assert source.read() == first, "another query was not run under the same job id"
        assert source.version() == request.version


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM `local-cloud.elsewhere.pay`", "BAD_QUERY"), ("DROP TABLE `{}`", "BAD_QUERY"),
        ("SELECT * FROM `{}`; DROP TABLE `{}`", "BAD_QUERY"), ("SELEKT", "BAD_QUERY"), ("", "BAD_QUERY"),
    ],
)  # fmt: skip
def test_what_a_query_may_not_be_is_refused_when_it_is_asked_for(warehouse: Warehouse, sql: str, code: str) -> None:
    with pytest.raises(RecordError) as refused:
        asked(warehouse, sql.replace("{}", warehouse.table))
    assert refused.value.code == code
    assert live_version(warehouse.source) is not None


def test_what_bigquery_refuses_is_told(warehouse: Warehouse) -> None:
    receipt = warehouse.process(asked(warehouse, f"SELECT no_such_column FROM `{warehouse.table}`"))
    assert receipt.status == "failed"
    (letter,) = warehouse.stage.letters()
    assert letter["code"] in ("BAD_QUERY", "SOURCE_UNREADABLE")
    assert "no_such_column" in letter["message"]


def test_a_query_is_not_allowed_for_ever(warehouse: Warehouse) -> None:
    """A request that was made under other rules, or that somebody made up, is checked when it is read."""
    request = asked(warehouse, f"SELECT * FROM `{warehouse.table}`")
    closed = BucketOutput(warehouse.stage.output, "", False)
    assert process(request, Limits(), closed)[0].code == "BAD_QUERY"


def test_a_query_that_came_after_its_manifest_is_refused(warehouse: Warehouse) -> None:
    request = asked(warehouse, f"SELECT store, ds, y FROM `{warehouse.table}`")
    warehouse.stage.upload("sales.sql", f"SELECT * FROM `{warehouse.table}`")
    assert warehouse.process(request).code == "SOURCE_CHANGED"
    warehouse.stage.cloud.storage_client().bucket(warehouse.stage.uploads).blob("sales.sql").delete()
    assert warehouse.process(dataclasses.replace(request, attempt=1)).code == "SOURCE_GONE"


def test_the_stream_takes_manifests_for_queries_and_ignores_the_queries(warehouse: Warehouse) -> None:
    stage = warehouse.stage
    stage.run(f"--allow=gs://{stage.uploads}/,bigquery:local-cloud.{warehouse.name}")
    stage.upload("q/sales.sql", f"SELECT store, ds, y FROM `{warehouse.table}`")
    stage.upload("q/sales.manifest.json", json.dumps({"input": "sales.sql", "horizon": 7}))
    stage.upload("a.csv", daily())
    stage.wait("two receipts", lambda: len(stage.receipts()) == 2)
    assert {row["output"]: row["rows"] for row in stage.receipts()} == {"a.csv": 28, "q/sales.sql.csv": 14}
    assert stage.letters() == []
