"""The real gcloud, without an account: that it takes what a verification asks, and answers in the shape it reads."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from verification.project import Project

pytestmark = pytest.mark.cloud
JOB = {
    "id": "2026-01-01_00_00_00-1", "name": "dropcast-verify", "type": "JOB_TYPE_STREAMING",
    "currentState": "JOB_STATE_RUNNING", "createTime": "2026-01-01T00:00:00Z", "location": "europe-west1",
    "currentStateTime": "2026-01-01T00:01:00Z", "projectId": "acme-data",
}  # fmt: skip
OLDER = {
    **JOB,
    "id": "2025-12-31_00_00_00-1",
    "createTime": "2025-12-31T00:00:00Z",
    "currentState": "JOB_STATE_DRAINED",
}
OTHER = {**JOB, "id": "2026-01-02_00_00_00-1", "name": "dropcast-verify-backfill"}
SERVICE = {"origin": "dataflow/v1b3"}
METRICS = [
    {"name": {"name": "TotalVcpuTime", **SERVICE}, "scalar": 182},
    {"name": {"name": "TotalVcpuTime", **SERVICE, "context": {"tentative": "true"}}, "scalar": 190},
    {"name": {"name": "messages", "origin": "user", "context": {"step": "a", "namespace": "dropcast"}}, "scalar": 3},
    {"name": {"name": "messages", "origin": "user", "context": {"step": "b", "namespace": "dropcast"}}, "scalar": 4},
]
WORKER = {
    "name": "dropcast-verify-1-harness-abcd", "labels": {"dataflow_job_id": JOB["id"]},
    "zone": "https://www.googleapis.com/compute/v1/projects/acme-data/zones/europe-west1-b",
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answer gcloud in place of Dataflow and Compute Engine; return what it asks."""
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is not installed")
    requests: list[str] = []

    class Google(BaseHTTPRequestHandler):
        def answer(self) -> None:
            requests.append(f"{self.command} {self.path}")
            content = json.dumps(self.content()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_DELETE = do_POST = answer  # noqa: N815

        def content(self) -> Any:
            path = self.path.partition("?")[0]
            if path.endswith("/metrics"):
                return {"metrics": METRICS}
            if path.endswith(JOB["id"]):
                return JOB
            if path.endswith(OLDER["id"]):
                return OLDER
            if path.endswith("/jobs"):
                return {"jobs": [OLDER, OTHER, JOB]}
            if path.endswith("/aggregated/instances"):
                return {"items": {"zones/europe-west1-b": {"instances": [WORKER]}}}
            place = f"{address}compute/v1/projects/acme-data/zones/europe-west1-b"
            made = {"name": "operation-1", "status": "DONE", "progress": 100, "zone": place, "operationType": "delete"}
            links = {"selfLink": f"{place}/operations/operation-1", "targetLink": f"{place}/instances/{WORKER['name']}"}
            return {**made, **links}

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Google)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    for name, value in {
        "CLOUDSDK_AUTH_ACCESS_TOKEN": "none",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW": address,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{address}compute/v1/",
    }.items():
        monkeypatch.setenv(name, value)
    yield requests
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project("acme-data", "europe-west1", "dropcast-verify", tmp_path / "log", tmp_path)


def test_jobs_are_those_of_the_name_the_newest_first(project: Project, asked: list[str]) -> None:
    found = project.jobs("dropcast-verify")
    assert [(job.id, job.state) for job in found] == [
        (JOB["id"], "JOB_STATE_RUNNING"), (OLDER["id"], "JOB_STATE_DRAINED"),
    ]  # fmt: skip
    assert all("/projects/acme-data/locations/europe-west1/jobs" in request for request in asked)


def test_metrics_are_summed_over_steps_without_what_is_tentative(project: Project, asked: list[str]) -> None:
    assert project.metrics(JOB["id"], "service") == {"TotalVcpuTime": 182.0}
    assert project.metrics(JOB["id"], "user") == {"messages": 7.0}


def test_workers_are_found_by_the_jobs_label_and_deleted(project: Project, asked: list[str]) -> None:
    listed = ("compute", "instances", "list", f"--filter=labels.dataflow_job_id={JOB['id']}")
    (worker,) = project.gcloud(*listed, look_at="")
    zone = worker["zone"].rpartition("/")[2]
    project.gcloud("compute", "instances", "delete", worker["name"], f"--zone={zone}", look_at="")
    assert [request.partition("?")[0] for request in asked if request.startswith("DELETE")] == [
        f"DELETE /compute/v1/projects/acme-data/zones/europe-west1-b/instances/{WORKER['name']}"
    ]
