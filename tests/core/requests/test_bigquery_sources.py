"""What a table or a query as a source may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import IgnoredError, RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.requests.bigquery_queries import MAX_QUERY_BYTES, checked_query
from pipeline.core.requests.bigquery_sources import (
    Table,
    is_allowed,
    is_place,
    milliseconds_of,
    table_named,
    time_of,
)
from pipeline.core.requests.local_files import InputFile, request_for
from pipeline.core.requests.messages import (
    TABLE,
    Message,
    ObjectVersion,
    Rules,
    message_of,
    notified_object,
    read_manifest_message,
    request_of_object,
)
from pipeline.options import OptionsError
from pipeline.runs import BucketRun, run_from

DAILY, PAY = Table("acme-data", "sales", "daily"), Table("acme-data", "hr", "pay")
ALLOWED = ("gs://uploads/", "bigquery:acme-data.sales", "bigquery:acme-data.weather.hours")
T = "`acme-data.sales.daily`"
TIME = "2024-05-01T12:00:00.123456Z"
AS_OF = "FOR SYSTEM_TIME AS OF TIMESTAMP '2024-05-01T12:00:00.123+00:00'"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"select store, ds, y from {T}", f"select store, ds, y from {T} {AS_OF}"),
        (f"SELECT * FROM {T} AS d WHERE y > 0", f"SELECT * FROM {T} AS d {AS_OF} WHERE y > 0"),
        (f"SELECT * FROM {T} d, d.tags t", f"SELECT * FROM {T} d {AS_OF}, d.tags t"),
        ("SELECT * FROM acme-data.sales.daily -- all", f"SELECT * FROM acme-data.sales.daily {AS_OF} -- all"),
        (
            f"WITH a AS (SELECT 1 FROM {T}) SELECT * FROM a JOIN `acme-data`.sales.x USING (k)",
            f"WITH a AS (SELECT 1 FROM {T} {AS_OF}) SELECT * FROM a JOIN `acme-data`.sales.x {AS_OF} USING (k)",
        ),
        (
            f"SELECT * FROM {T} FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01'",
            f"SELECT * FROM {T} FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01'",
        ),
        (
            f"SELECT a FROM {T} UNION ALL SELECT b FROM {T} b",
            f"SELECT a FROM {T} {AS_OF} UNION ALL SELECT b FROM {T} b {AS_OF}",
        ),
        (f"SELECT 'FROM {T}' FROM {T}", f"SELECT 'FROM {T}' FROM {T} {AS_OF}"),
        (f"FROM {T} |> WHERE y > 1", f"FROM {T} {AS_OF} |> WHERE y > 1"),
        (f"SELECT ü FROM {T} -- ß\n;", f"SELECT ü FROM {T} {AS_OF} -- ß\n;"),
    ],
)
def test_a_query_is_read_as_the_tables_were(before: str, after: str) -> None:
    query = checked_query(before.encode(), ALLOWED)
    assert query.as_of(milliseconds_of(TIME), query.tables) == after
    assert query.as_of(milliseconds_of(TIME), frozenset()) == before, "a view cannot be read as it was"
    sqlglot.parse_one(after.rstrip(";\n"), read="bigquery")


PATHS_LIKE_ARRAYS = [
    f"SELECT p.* FROM {T} AS `acme-data`, `acme-data.hr.pay` AS p",
    f"SELECT p.* FROM {T} AS `acme-data` CROSS JOIN `acme-data.hr.pay` AS p",
    f"SELECT p.* FROM {T} AS `region-us`, `region-us.INFORMATION_SCHEMA.JOBS` AS p",
    f"SELECT p.* FROM {T} AS `acme-data`, `acme-data.hr.*` AS p",
    rf"SELECT * FROM {T} AS x, `x\x2ehr\x2epay`",
    f"SELECT * FROM (SELECT 1 FROM {T} AS hr), hr.pay",
]


@pytest.mark.parametrize("sql", PATHS_LIKE_ARRAYS)
def test_a_table_cannot_be_passed_off_as_an_array(sql: str) -> None:
    """BigQuery takes a path in backticks for one name, even if a table before it has the name of its first part."""
    with pytest.raises(RecordError) as refused:
        checked_query(sql.encode(), ALLOWED)
    assert refused.value.code == "BAD_QUERY"


def test_arrays_are_read() -> None:
    for sql in (f"SELECT t FROM {T} d, d.tags t", f"SELECT t FROM {T} d CROSS JOIN UNNEST(d.`tags`) t",
                f"SELECT t FROM {T} d LEFT JOIN UNNEST( `d`.tags) AS t"):  # fmt: skip
        assert checked_query(sql.encode(), ALLOWED).tables == {DAILY}


@pytest.mark.parametrize(
    "sql",
    [
        f"FROM {T}" + " |> SELECT a" * 60,
        f"SELECT 1 FROM {T} WHERE x IN ({', '.join(map(str, range(11_000)))})",
        f"WITH {', '.join(f'c{i} AS (SELECT 1)' for i in range(5000))} SELECT 1 FROM {T}",
    ],
)
def test_what_takes_long_to_parse_is_refused_before(sql: str) -> None:
    with pytest.raises(RecordError) as refused:
        checked_query(sql.encode(), ALLOWED)
    assert refused.value.code == "BAD_QUERY"


def test_a_byte_order_mark_does_not_matter() -> None:
    query = checked_query(f"SELECT 1 FROM {T}".encode("utf-8-sig"), ALLOWED)
    assert query.sql == f"SELECT 1 FROM {T}"


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT DLP_DETERMINISTIC_DECRYPT(DLP_KEY_CHAIN('gcp-kms://k', b'x'), a, '') FROM {T}",
        f"SELECT @@project_id FROM {T}",
        "SELECT * FROM acme-data.sales.daily-secret",
        f"SELECT x FROM {T} WHERE x = (TABLE `acme-data.hr.pay`)",
        f"SELECT TABLE `acme-data.hr.pay` FROM {T}",
        f"SELECT * FROM {T} |> LIMIT 10 |> JOIN {T} USING (a)",
        "",
        "SELECT",
        "SELEKT 1",
        "SELECT 1",
        "SELECT * FROM UNNEST([1])",
        f"SELECT 1 FROM {T}; SELECT 2 FROM {T}",
        "SELECT * FROM `acme-data.hr.pay`",
        f"SELECT * FROM {T} WHERE x IN (SELECT k FROM `acme-data.hr.pay`)",
        f"SELECT (SELECT MAX(k) FROM `acme-data.hr.pay`) FROM {T}",
        f"SELECT * FROM {T}, (SELECT * FROM daily)",
        f"SELECT a FROM {T} UNION ALL SELECT b FROM `acme-data.hr.pay`",
        "SELECT * FROM `other.sales.daily`",
        f"WITH pay AS (SELECT 1) SELECT * FROM {T} JOIN hr.pay USING (k)",
        "SELECT * FROM `acme-data.weather.days`",
        f"DELETE FROM {T} WHERE true",
        f"DROP TABLE {T}",
        f"CREATE TABLE x AS SELECT * FROM {T}",
        f"INSERT INTO {T} SELECT * FROM {T}",
        f"EXPORT DATA OPTIONS (uri='gs://x/*') AS SELECT * FROM {T}",
        f"BEGIN SELECT * FROM {T}; END",
        f"EXECUTE IMMEDIATE 'SELECT * FROM {T}'",
        "CALL acme.sales.procedure()",
        "SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')",
        f"SELECT * FROM ML.PREDICT(MODEL `acme-data.sales.m`, TABLE {T})",
        f"SELECT acme.sales.remote(y) FROM {T}",
        f"SELECT `acme-data.sales.remote`(y) FROM {T}",
        f"SELECT AI.GENERATE(y) FROM {T}",
        f"SELECT sales.remote(y) FROM {T}",
        f"SELECT KEYS.NEW_KEYSET('x') FROM {T}",
        "SELECT * FROM `acme-data.sales.INFORMATION_SCHEMA.TABLES`",
        "SELECT * FROM `acme-data.sales.daily_*`",
        f"SELECT * FROM {T} PIVOT(SUM(y) FOR s IN ('a'))",
        "SELECT * FROM sales.daily",
        f"{'(' * 5000}SELECT 1 FROM {T}",
        f"CREATE TEMP FUNCTION f() AS (1); SELECT f() FROM {T}",
        "SELECT * FROM `acme-data.sales.a`b`",
    ],
)
def test_what_a_query_may_not_be(sql: str) -> None:
    with pytest.raises(RecordError) as refused:
        checked_query(sql.encode(), ALLOWED)
    assert refused.value.code == "BAD_QUERY"
    assert refused.value.hint


def test_a_query_is_text_of_limited_length() -> None:
    for text in (f"SELECT 1 FROM {T}".encode() + b"\xff", f"SELECT 1 FROM {T}".encode().ljust(MAX_QUERY_BYTES + 1)):
        with pytest.raises(RecordError) as refused:
            checked_query(text, ALLOWED)
        assert refused.value.code == "BAD_QUERY"


def test_plain_functions_are_fine() -> None:
    sql = f"SELECT SAFE.SUBSTR(a, 1), NET.HOST(b), DATE_TRUNC(ds, WEEK), SUM(y) OVER (PARTITION BY a) FROM {T}"
    assert checked_query(sql.encode(), ALLOWED).tables == {DAILY}


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    for sql in (text, f"SELECT {text} FROM {T}", f"SELECT 1 FROM {T} {text}"):
        try:
            assert checked_query(sql.encode(), ALLOWED).tables <= {DAILY, Table("acme-data", "weather", "hours")} | {
                table for table in checked_query(sql.encode(), ALLOWED).tables if table.dataset == "sales"
            }
        except (RecordError, UnicodeEncodeError):
            continue


def test_a_dataset_allows_its_tables_and_a_table_itself() -> None:
    assert is_allowed(DAILY, ALLOWED)
    assert is_allowed(Table("acme-data", "weather", "hours"), ALLOWED)
    for table in (
        PAY,
        Table("acme-data", "weather", "days"),
        Table("acme-data", "sales2", "daily"),
        Table("acme", "sales", "d"),
    ):
        assert not is_allowed(table, ALLOWED)
    assert not is_allowed(DAILY, ())


@pytest.mark.parametrize(
    "source",
    [
        "bigquery:",
        "bigquery:a.b.c",
        "bigquery:acme-data.sales",
        "bigquery:acme-data.sales.daily.more",
        "bigquery:acme-data.sa les.d",
        "bigquery:acme-data.sales.`x`",
        "bigquery:acme-data.sales.x/../y",
        "bigquery:Acme-Data.sales.d",
        "bigquery:acme-data.sales.d\n",
    ],
)
def test_what_does_not_name_a_table(source: str) -> None:
    with pytest.raises(RecordError) as refused:
        table_named(source)
    assert refused.value.code == "BAD_MANIFEST"


def test_names_and_places() -> None:
    assert table_named("bigquery:acme-data.sales.daily sales-2") == Table("acme-data", "sales", "daily sales-2")
    assert is_place("bigquery:acme-data.sales")
    assert is_place("bigquery:acme-data.sales.daily")
    assert not is_place("bigquery:acme-data")
    assert not is_place("gs://acme-data/sales")


def test_a_version_is_a_time_in_milliseconds() -> None:
    assert milliseconds_of(TIME) == "1714564800123"
    assert time_of("1714564800123").isoformat() == "2024-05-01T12:00:00.123000+00:00"


# ------------------------------------------------------------------------------------------- messages

RULES = Rules("{}", ALLOWED, "gs://out/daily")


def test_a_table_becomes_a_request_if_it_is_allowed() -> None:
    version = ObjectVersion(DAILY.source, "1714564800123", TIME)
    message = message_of(version)
    assert notified_object(message, RULES) == version
    request = request_of_object(version, message, RULES)
    assert (request.source, request.version, request.output) == (
        DAILY.source,
        "1714564800123",
        "acme-data.sales.daily.csv",
    )
    with pytest.raises(RecordError) as refused:
        notified_object(message_of(ObjectVersion(PAY.source, "1", TIME)), RULES)
    assert refused.value.code == "PATH_NOT_ALLOWED"
    for attributes in ({TABLE: "bigquery:x", "objectGeneration": "1"}, {TABLE: DAILY.source}):
        with pytest.raises(RecordError) as refused:
            notified_object(Message(b"", attributes, "7", TIME), RULES)
        assert refused.value.code == "BAD_MESSAGE"


def test_datasets_do_not_narrow_down_the_objects_that_are_read() -> None:
    rules = Rules("{}", ("bigquery:acme-data.sales",), "gs://out/daily")
    message = message_of(ObjectVersion("gs://anything/a.csv", "7", TIME))
    assert notified_object(message, rules) is not None
    with pytest.raises(IgnoredError, match="elsewhere"):
        notified_object(message, RULES)


def test_a_query_alone_is_no_request() -> None:
    with pytest.raises(IgnoredError, match="query"):
        notified_object(message_of(ObjectVersion("gs://uploads/a.SQL", "7", TIME)), RULES)


def test_a_manifest_asks_for_a_table_or_a_query() -> None:
    place = "gs://uploads/in/x.manifest.json"
    asked = read_manifest_message(json.dumps({"input": DAILY.source, "horizon": 7}).encode(), place, RULES)
    request = asked.request(ObjectVersion(DAILY.source, "5", "2024-01-01T00:00:00Z"), TIME)
    assert (request.version, request.source_time, request.output) == (
        "5",
        "2024-01-01T00:00:00Z",
        "acme-data.sales.daily.csv",
    )
    assert request.parsed_spec.horizon == 7
    assert asked.request(None, TIME).version == "unread"
    query = read_manifest_message(b'{"input": "week.sql"}', place, RULES)
    request = query.request(None, TIME)
    assert (request.source, request.version, request.source_time) == ("gs://uploads/in/week.sql", "1714564800123", TIME)
    assert request.output == "in/week.sql.csv"
    for content, code in (({"input": PAY.source}, "PATH_NOT_ALLOWED"), ({"input": "bigquery:x"}, "BAD_MANIFEST")):
        with pytest.raises(RecordError) as refused:
            read_manifest_message(json.dumps(content).encode(), place, RULES)
        assert refused.value.code == code


def test_local_runs_read_no_tables(tmp_path: Path) -> None:
    manifest = tmp_path / "a.manifest.json"
    manifest.write_text(json.dumps({"input": DAILY.source}))
    with pytest.raises(RecordError) as refused:
        request_for(InputFile(str(manifest), manifest.name, named=True), ForecastSpec(), [tmp_path])
    assert refused.value.code == "BAD_MANIFEST"
    assert "bucket" in refused.value.message


def test_the_options_name_tables_and_datasets() -> None:
    run = run_from({"output": "gs://out/f", "allow": ALLOWED[1]}, [DAILY.source])
    assert isinstance(run, BucketRun)
    assert run.rules.allowed == (ALLOWED[1], DAILY.source), "what the operator names is allowed"
    assert run.destination.readable == (ALLOWED[1],)
    for arguments, inputs, problem in (
        ({"output": "out"}, [DAILY.source], "--output: must be gs://"),
        (
            {"output": "gs://out/f"},
            ["bigquery:acme-data.sales"],
            "--input: bigquery:acme-data.sales does not name a table",
        ),
        (
            {"output": "gs://out/f", "allow": "bigquery:acme-data"},
            ["gs://in/a.csv"],
            "--allow: bigquery:acme-data is not",
        ),
    ):
        with pytest.raises(OptionsError, match=problem):
            run_from(arguments, inputs)
