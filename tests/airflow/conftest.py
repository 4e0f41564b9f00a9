"""An Airflow of its own for each run of the tests, and Google Cloud answered at the boundary of HTTP; no network."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

# before anything of Airflow is imported
HOME = tempfile.mkdtemp(prefix="dropcast-airflow-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[2] / "orchestration/airflow"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps({"conn_type": "google_cloud_platform"}),
    "SCARF_ANALYTICS": "false",
    "DO_NOT_TRACK": "1",
    "DROPCAST_PROJECT": "acme-data",
    "DROPCAST_MAX_JOBS": "3",
}
for name in ("DROPCAST_REGION", "DROPCAST_NAME", "DROPCAST_POOL", "DROPCAST_GCP_CONN_ID", "DROPCAST_ALERT_CONN_ID"):
    os.environ.pop(name, None)

import duckdb  # noqa: E402
import httplib2  # noqa: E402
import pytest  # noqa: E402
import requests  # noqa: E402
import sqlglot  # noqa: E402
from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.providers.google.cloud.hooks.dataflow import AsyncDataflowHook  # noqa: E402
from airflow.providers.google.common.hooks.base_google import GoogleBaseHook  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.auth.transport.requests import AuthorizedSession  # noqa: E402
from google.cloud.dataflow_v1beta3 import JobState  # noqa: E402

ROOT = Path(__file__).parents[2]
BIGQUERY = ROOT / "templates/bigquery"
TYPES = {"STRING": "VARCHAR", "INTEGER": "BIGINT", "FLOAT": "DOUBLE", "BOOLEAN": "BOOLEAN", "TIMESTAMP": "TIMESTAMPTZ"}
VIEWS = ("latest_receipts", "open_dead_letters")
CONF = {
    "start_date": "2026-01-01",
    "end_date": "2026-01-01",
    "input": "gs://uploads/sales/{ds}/*.csv",
    "template_version": "0.1.0",
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"the tests need no network, and something connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def dagbag() -> DagBag:
    initdb()
    return DagBag()


@pytest.fixture(scope="session")
def dag(dagbag: DagBag) -> Any:
    return dagbag.dags["dropcast_backfill"]


@pytest.fixture(scope="session")
def backfill(dag: Any) -> Any:
    """The DAG's module, as the DagBag has loaded it: what is patched there holds for the DAG."""
    return sys.modules[dag.get_task("plan").python_callable.__module__]


def portable(sql: str) -> str:
    return sqlglot.transpile(sql, read="bigquery", write="duckdb")[0]


class FakeGoogle:
    """Cloud Storage, BigQuery and Dataflow, as far as the DAG talks to them."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, int]] = {}  # uri: generation and size
        self.launched: list[dict[str, Any]] = []  # bodies
        self.active: dict[str, str] = {}  # name: id
        self.ended = JobState.JOB_STATE_DONE
        self.does: Any = lambda body: None  # what a job that is launched does
        self.queries: list[str] = []
        self._answers: dict[str, dict[str, Any]] = {}
        self._tables = duckdb.connect()
        for table in ("receipts", "dead_letters"):
            columns = json.loads((BIGQUERY / f"{table}.json").read_text())
            fields = ", ".join(f'"{one["name"]}" {TYPES[one["type"]]}' for one in columns)
            self._tables.execute(f"CREATE TABLE {table} ({fields})")
        for view in VIEWS:
            self._tables.execute(f"CREATE VIEW {view} AS {portable((BIGQUERY / f'{view}.sql').read_text())}")

    def upload(self, *uris: str, generation: int = 1, size: int = 10) -> None:
        self.objects |= dict.fromkeys(uris, (generation, size))

    def receipt(self, uri: str, status: str = "complete", generation: int = 1, **fields: Any) -> None:
        self._insert("receipts", uri, generation, {
            "id": "", "status": status, "code": "", "series": 3, "series_forecast": 3, "series_failed": 0, **fields,
        })  # fmt: skip

    def letter(self, uri: str, scope: str, code: str, generation: int = 1, **fields: Any) -> None:
        self._insert("dead_letters", uri, generation, {
            "scope": scope, "series_id": "", "code": code, "message": f"What {code} means.",
            "hint": "Fix it.", **fields,
        })  # fmt: skip

    def _insert(self, table: str, uri: str, generation: int, fields: dict[str, Any]) -> None:
        row = {
            "request_key": f"{uri}#{generation}", "source": uri, "version": str(generation), "attempt": 0,
            "source_time": datetime(2026, 1, 1, tzinfo=UTC), "output": uri.split("/", 3)[3], **fields,
        }  # fmt: skip
        if table == "receipts":
            row["finished_at"] = datetime(2026, 1, 2, tzinfo=UTC)
        marks = ", ".join("?" for _ in row)
        self._tables.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))

    def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        parts, asked = urlsplit(url), parse_qs(urlsplit(url).query)
        path = unquote(parts.path)
        if found := re.fullmatch(r"/storage/v1/b/([^/]+)/o", path):
            return 200, {"items": self._listed(found[1], asked["prefix"][0])}
        if path.endswith("/flexTemplates:launch"):
            return self._launch(json.loads(body))
        if re.fullmatch(r"/v1b3/projects/acme-data/locations/europe-west1/jobs", path):
            assert asked["filter"] == ["ACTIVE"]
            return 200, {"jobs": [{"id": i, "name": n} for n, i in self.active.items() if n == asked["name"][0]]}
        if path == "/bigquery/v2/projects/acme-data/jobs":
            return self._query(json.loads(body))
        if found := re.fullmatch(r"/bigquery/v2/projects/acme-data/(?:queries|jobs)/([^/]+)", path):
            return 200, self._answers[found[1]]
        raise AssertionError(f"{method} {url}")

    def _listed(self, bucket: str, prefix: str) -> list[dict[str, str]]:
        begin = f"gs://{bucket}/"
        return [
            {"bucket": bucket, "name": uri.removeprefix(begin), "generation": str(generation), "size": str(size)}
            for uri, (generation, size) in sorted(self.objects.items())
            if uri.startswith(begin + prefix)
        ]

    def _launch(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.launched.append(body)
        name = body["launchParameter"]["jobName"]
        if name in self.active:
            return 409, {"error": {"code": 409, "message": f"There is already an active job named {name}."}}
        self.does(body)
        return 200, {"job": {"id": f"id-of-{name}", "name": name, "projectId": "acme-data", "location": "europe-west1"}}

    def _query(self, job: dict[str, Any]) -> tuple[int, Any]:
        asked, reference = job["configuration"]["query"], job["jobReference"]
        assert asked["useLegacySql"] is False
        self.queries.append(asked["query"])
        values = {one["name"]: one["parameterValue"]["value"] for one in asked["queryParameters"]}
        sql = re.sub(r"`acme-data\.dropcast\.(\w+)`", r"\1", asked["query"])
        found = self._tables.execute(portable(sql), values)
        columns = [
            (one[0], "INTEGER" if str(one[1]) in ("BIGINT", "NUMBER") else "STRING") for one in found.description
        ]
        rows = [{"f": [{"v": None if v is None else str(v)} for v in row]} for row in found.fetchall()]
        reference = {**reference, "location": "EU"}
        self._answers[reference["jobId"]] = {
            "jobReference": reference, "jobComplete": True, "totalRows": str(len(rows)), "rows": rows,
            "schema": {"fields": [{"name": name, "type": kind} for name, kind in columns]},
            "status": {"state": "DONE"}, "configuration": {"query": {**asked, "destinationTable": {
                "projectId": "acme-data", "datasetId": "anonymous", "tableId": "answer"}}},
            "statistics": {"query": {"statementType": "SELECT"}},
        }  # fmt: skip
        return 200, self._answers[reference["jobId"]]


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    fake = FakeGoogle()

    class Http:
        def request(self, uri: str, method: str = "GET", body: Any = None, **_: Any) -> tuple[httplib2.Response, bytes]:
            status, content = fake.answer(method, uri, body)
            return httplib2.Response({"status": status, "content-type": "application/json"}), json.dumps(
                content
            ).encode()

        def close(self) -> None: ...

    def request(self: Any, method: str, url: str, data: Any = None, **_: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, content = fake.answer(method, url, data)
        answer._content = json.dumps(content).encode()
        answer.headers["content-type"] = "application/json"
        return answer

    async def status(self: Any, **_: Any) -> JobState:
        return fake.ended

    monkeypatch.setattr(GoogleBaseHook, "_authorize", lambda self: Http())
    monkeypatch.setattr(
        GoogleBaseHook, "get_credentials_and_project_id", lambda self: (AnonymousCredentials(), "acme-data")
    )
    monkeypatch.setattr(AuthorizedSession, "request", request)
    monkeypatch.setattr(AsyncDataflowHook, "get_job_status", status)
    yield fake
