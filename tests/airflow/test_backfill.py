"""The DAG's plain functions: what is asked for, and what is made of bucket and receipts."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
import sqlglot
from airflow.sdk.exceptions import AirflowException
from conftest import BIGQUERY, CONF, ROOT, VIEWS
from google.cloud.dataflow_v1beta3 import types
from google.protobuf import json_format
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

from pipeline.cloud.objects import _expression
from pipeline.core.errors import IgnoredError
from pipeline.core.requests.messages import Message, ObjectVersion, Rules, notification_of, notified_object
from pipeline.core.requests.names import forecast_name
from pipeline.runs import run_from

METADATA = {one["name"]: one for one in json.loads((ROOT / "templates/metadata_batch.json").read_text())["parameters"]}
# one of each kind
OPTIONS = {
    "horizon": 14,
    "level": [80, 95],
    "history": True,
    "score": None,
    "value_column": "*",
    "seasonalities": [{"name": "monthly", "period": 30.5, "fourier_order": 5}],
    "partition_expiration_days": 90,
    "output_topic": "projects/acme-data/topics/dropcast-receipts",
    "allow": "gs://uploads/sales/",
    "max_rows": 1000,
}


@pytest.fixture
def params(dag: Any) -> Any:
    def make(**given: Any) -> dict[str, Any]:
        return {**{name: dag.params.get_param(name).value for name in dag.params}, **CONF, **given}

    return make


def test_the_dag_parses_and_asks_for_what_it_needs(dagbag: Any, dag: Any) -> None:
    assert not dagbag.import_errors
    assert set(dag.task_ids) == {"plan", "day.look", "day.forecast", "day.check"}
    assert not dag.timetable.can_be_scheduled
    for name in ("start_date", "end_date", "input", "template_version"):
        assert not dag.params.get_param(name).has_value, "is to be named for each run"
    with pytest.raises(Exception, match="ds"):
        dag.params.get_param("dataset").resolve("no ds here")


def test_not_all_jobs_run_at_once(dag: Any) -> None:
    from airflow.jobs.scheduler_job_runner import ACTIVE_STATES

    forecast = dag.get_task("day.forecast")
    assert forecast.max_active_tis_per_dag == 3
    assert forecast.deferrable
    assert "deferred" in {str(state) for state in ACTIVE_STATES}, "a deferred task is a job that runs"


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        ("2026-01-01", "2026-01-01", ["2026-01-01"]),
        ("2024-02-28", "2024-03-01", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2025-12-31", "2026-01-01", ["2025-12-31", "2026-01-01"]),
    ],
)
def test_a_range_becomes_its_days(backfill: Any, start: str, end: str, wanted: list[str]) -> None:
    assert [day.isoformat() for day in backfill.days_between(start, end)] == wanted


def test_a_year_is_a_job_a_day(backfill: Any, params: Any) -> None:
    plan = backfill.planned(params(start_date="2025-01-01", end_date="2025-12-31"))
    assert len(plan) == 365
    assert len({one["body"]["launchParameter"]["jobName"] for one in plan}) == 365
    assert len(plan) <= 1024, "Airflow's core.max_map_length"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"end_date": "2025-12-31"}, "end_date 2025-12-31 is before start_date 2026-01-01"),
        ({"input": "gs://uploads/{date}/*.csv"}, r"\{date\} is not one of \{ds\}"),
        ({"input": "gs://uploads/*.csv", "end_date": "2026-01-02"}, "the same files on several days"),
        ({"input": "gs://uploads/{month}/*.csv", "end_date": "2026-01-02"}, "the same files on several days"),
        ({"options": {"output": "gs://elsewhere"}}, "output cannot be set here"),
        ({"dataset": "acme`; DROP"}, "must be PROJECT.DATASET"),
    ],
)
def test_what_cannot_be_meant_is_refused_plainly(backfill: Any, params: Any, given: Any, told: str) -> None:
    with pytest.raises(AirflowException, match=told):
        backfill.planned(params(**given))


def test_a_pattern_names_its_day(backfill: Any) -> None:
    day = date(2026, 3, 9)
    assert backfill.input_of("gs://b/{ds}/{ds_nodash}-[ab]?.csv", day) == "gs://b/2026-03-09/20260309-[ab]?.csv"
    assert backfill.input_of("gs://b/{year}/{month}/{day}/**", day) == "gs://b/2026/03/09/**"


def test_the_body_is_one_that_dataflow_knows(backfill: Any, params: Any) -> None:
    given = params(options=OPTIONS, environment={"maxWorkers": 4, "subnetwork": "regions/europe-west1/subnetworks/a"})
    for one in backfill.planned(given):
        request = {"projectId": "acme-data", "location": "europe-west1", **one["body"]}
        message = json_format.Parse(json.dumps(request), types.LaunchFlexTemplateRequest.pb()())  # strict
        launch = message.launch_parameter
        assert launch.container_spec_gcs_path == "gs://acme-data-dropcast-temp/templates/0.1.0/batch.json"
        assert launch.environment.service_account_email == "dropcast-worker@acme-data.iam.gserviceaccount.com"
        assert launch.environment.ip_configuration == types.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
        assert launch.environment.max_workers == 4
        assert launch.parameters["input"] == "gs://uploads/sales/2026-01-01/*.csv"
    with pytest.raises(json_format.ParseError):
        json_format.Parse(json.dumps(request).replace("jobName", "name"), types.LaunchFlexTemplateRequest.pb()())


def test_workers_run_in_the_modules_subnetwork_unless_another_is_named(backfill: Any, params: Any) -> None:
    def subnetwork(**given: Any) -> str:
        return str(backfill.planned(params(**given))[0]["body"]["launchParameter"]["environment"]["subnetwork"])

    assert subnetwork() == "regions/europe-west1/subnetworks/dropcast"
    assert subnetwork(region="us-east1", name="sales") == "regions/us-east1/subnetworks/sales"
    assert subnetwork(environment={"subnetwork": "regions/x/subnetworks/own"}) == "regions/x/subnetworks/own"


def test_the_parameters_are_the_templates(backfill: Any, params: Any) -> None:
    [one] = backfill.planned(params(options=OPTIONS))
    given = one["body"]["launchParameter"]["parameters"]
    assert {name for name, about in METADATA.items() if not about.get("isOptional")} <= set(given)
    assert set(given) <= set(METADATA)
    for name, value in given.items():
        assert isinstance(value, str)
        for expression in METADATA[name].get("regexes", ()):
            assert re.fullmatch(expression, value), name
    settings = run_from(given, [given["input"]])  # the pipeline's own opinion
    assert settings.spec.horizon == 14
    assert settings.spec.level == (80.0, 95.0)
    assert settings.destination.path == "gs://acme-data-dropcast-forecasts/daily"
    assert settings.destination.dataset == "acme-data.dropcast"
    assert settings.destination.history


def test_names_of_jobs_are_valid_stable_and_tell_requests_apart(backfill: Any, params: Any) -> None:
    def name(**given: Any) -> str:
        return str(backfill.planned(params(**given))[0]["body"]["launchParameter"]["jobName"])

    assert re.fullmatch(r"dropcast-backfill-20260101-[0-9a-f]{8}", name())
    assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name(name="a" * 20))
    assert name() == name(allow_empty=True, environment={"maxWorkers": 2}), "how it is done is not what is asked for"
    assert name(options={"horizon": 7, "level": 80}) == name(options={"level": "80", "horizon": "7"})
    other = [
        {"input": "gs://b/{ds}/*"},
        {"options": {"horizon": 7}},
        {"template_version": "0.2.0"},
        {"output": "gs://o"},
    ]
    assert len({name(), *(name(**one) for one in other)}) == 5


NAMES = [
    "a.csv", "b.csv", "b.txt", "sub/a.csv", "sub/deep/a.csv", "a.csv.gz", "x[1].csv", "", "sub/", "folder_$folder$",
    "marker", "_dropcast/receipts/a.json", "out/a.csv", "outer/a.csv", "a.manifest.json", "new\nline.csv", "a.parquet",
    "q.sql",
]  # fmt: skip
PATTERNS = ["*", "*.csv", "**", "**/*.csv", "sub/", "sub/*", "[ab].csv", "[!a].csv", "?.csv", "a.csv", ""]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_what_they_mean_to_the_pipeline(backfill: Any, pattern: str) -> None:
    for name in NAMES:
        fixed = re.split(r"[*?\[]", pattern)[0]  # as in pipeline.cloud.objects.matching, which lists as well
        theirs = name.startswith(fixed) and (
            (fixed == pattern and pattern.endswith("/")) or not pattern or bool(_expression(pattern).fullmatch(name))
        )
        assert backfill.matches(f"gs://b/{pattern}", f"gs://b/{name}") == theirs, (pattern, name)


@pytest.mark.parametrize("allow", ["", "gs://bkt/sub", "gs://bkt/sub/, gs://bkt/outer/"])
@pytest.mark.parametrize("size", [0, 5])
def test_what_is_ignored_is_what_the_pipeline_ignores(backfill: Any, allow: str, size: int) -> None:
    rules = Rules("{}", tuple(part.strip() for part in allow.split(",") if part), "gs://bkt/out")
    listed = [(f"gs://bkt/{name}", 7, size) for name in NAMES if name]
    theirs = {}
    for uri, generation, _ in listed:
        attributes = notification_of(ObjectVersion(uri, str(generation), "2026-01-01T00:00:00Z"))
        payload = json.dumps({"size": str(size)}).encode()
        try:
            notified_object(Message(payload, {**attributes, "payloadFormat": "JSON_API_V1"}, "", ""), rules)
        except IgnoredError:
            continue
        theirs[uri] = generation
    assert backfill.expected("gs://bkt/**", listed, "gs://bkt/out", allow) == theirs


# The queries


@pytest.mark.parametrize("query", ["RECEIPTS", "DEAD_LETTERS"])
def test_the_queries_name_only_columns_that_exist(backfill: Any, query: str) -> None:
    schema: dict[str, dict[str, str]] = {}
    for table in ("receipts", "dead_letters"):
        columns = json.loads((BIGQUERY / f"{table}.json").read_text())
        schema[table] = {one["name"]: one["type"].replace("INTEGER", "INT64") for one in columns}
    schema |= {"latest_receipts": schema["receipts"], "open_dead_letters": schema["dead_letters"]}
    sql = getattr(backfill, query).format(dataset="acme-data.dropcast")
    tree = sqlglot.parse_one(sql, read="bigquery")
    [table] = tree.find_all(exp.Table)
    assert (table.catalog, table.db) == ("acme-data", "dropcast")
    assert table.name in VIEWS
    nested = {"acme-data": {"dropcast": schema}}
    qualify(tree, schema=nested, dialect="bigquery", validate_qualify_columns=True)
    with pytest.raises(sqlglot.errors.OptimizeError):
        broken = sqlglot.parse_one(sql.replace("version", "generation"), read="bigquery")
        qualify(broken, schema=nested, dialect="bigquery", validate_qualify_columns=True)


# The verdict


@pytest.mark.parametrize("name", ["sales/a.csv", "a.parquet", "A.Parquet", "parquet"])
def test_a_forecast_has_the_name_that_the_pipeline_gives_it(backfill: Any, name: str) -> None:
    assert backfill.forecast_name(name) == forecast_name(name)
    row = {**receipt("a.csv", "complete", 5), "source": f"gs://uploads/{name}", "output": forecast_name(name)}
    assert backfill.judged({f"gs://uploads/{name}": 5}, [row], []) == []


DAY = "gs://uploads/sales/2026-01-01/"


def receipt(file: str, status: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "source": DAY + file, "output": f"sales/2026-01-01/{file}", "version": str(version), "status": status,
        "code": "", "series": 3, "series_failed": 0, **fields,
    }  # fmt: skip


def letter(
    file: str, scope: str, code: str, version: int = 1, count: int = 1, output: str | None = None
) -> dict[str, Any]:
    return {
        "source": DAY + file, "output": f"sales/2026-01-01/{file}" if output is None else output,
        "version": str(version), "scope": scope, "code": code, "letters": count, "message": "What is wrong.",
        "hint": "What to do.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "letters", "wanted"),
    [
        ([receipt("a.csv", "complete", 5)], [], None),
        ([receipt("a.csv", "complete", 6)], [], None),  # overwritten since it was listed
        ([], [], ("missing", "", "no receipt for generation 5")),
        ([receipt("a.csv", "complete", 4)], [], ("missing", "", "no receipt for generation 5")),
        ([receipt("a.csv", "failed", 4, code="NO_ROWS")], [letter("a.csv", "file", "NO_ROWS", 4)],
         ("missing", "", "no receipt for generation 5")),
        ([receipt("a.csv", "complete", 5, output="other.csv")], [], ("missing", "", "no receipt for generation 5")),
        ([receipt("a.csv", "failed", 5, code="NO_ROWS")], [letter("a.csv", "file", "NO_ROWS", 5)],
         ("failed", "NO_ROWS", "NO_ROWS (1): What is wrong. What to do.")),
        ([receipt("a.csv", "failed", 5, code="NO_ROWS")], [], ("failed", "NO_ROWS", "")),
        ([receipt("a.csv", "partial", 5, series_failed=2)],
         [letter("a.csv", "series", "BAD_DATE", 5), letter("a.csv", "series", "BAD_NUMBER", 5)],
         ("partial", "BAD_DATE, BAD_NUMBER", "2 of 3 series failed; BAD_DATE (1): What is wrong. What to do.; "
          "BAD_NUMBER (1): What is wrong. What to do.")),
        ([], [letter("a.csv", "message", "PATH_NOT_ALLOWED", 5, output="")],
         ("failed", "PATH_NOT_ALLOWED", "PATH_NOT_ALLOWED (1): What is wrong. What to do.")),
        ([], [letter("a.csv", "message", "PATH_NOT_ALLOWED", 4, output="")],
         ("missing", "", "no receipt for generation 5")),
    ],
)  # fmt: skip
def test_the_verdict_on_a_file(backfill: Any, rows: Any, letters: Any, wanted: Any) -> None:
    problems = backfill.judged({DAY + "a.csv": 5}, rows, letters)
    assert [(one["status"], one["codes"], one["text"]) for one in problems] == ([] if wanted is None else [wanted])


def test_a_manifest_is_told_of_only_if_it_was_refused(backfill: Any) -> None:
    files = {DAY + "a.manifest.json": 1, DAY + "b.manifest.json": 1}
    problems = backfill.judged(files, [], [letter("b.manifest.json", "message", "BAD_MANIFEST", output="")])
    assert [(one["file"], one["codes"]) for one in problems] == [(DAY + "b.manifest.json", "BAD_MANIFEST")]


def test_the_alert_names_files_codes_and_hints_and_stays_short(backfill: Any) -> None:
    files = {f"{DAY}{n:03}.csv": 1 for n in range(60)}
    rows = [receipt("000.csv", "failed", code="NO_ROWS")]
    problems = backfill.judged(files, rows, [letter("000.csv", "file", "NO_ROWS")])
    text = backfill.told("2026-01-01", DAY + "*.csv", 60, problems, "dropcast-backfill-20260101-0")
    assert text.startswith("2026-01-01: 60 of 60 files of gs://uploads/sales/2026-01-01/*.csv")
    assert f"  {DAY}000.csv: failed NO_ROWS: NO_ROWS (1): What is wrong. What to do.\n" in text
    assert f"  {DAY}001.csv: missing: no receipt for generation 1\n" in text
    assert text.endswith("and 10 more: see the task's log")
