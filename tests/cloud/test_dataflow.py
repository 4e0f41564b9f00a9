"""The real DataflowRunner, submitting to a bucket on this machine: what the service would be told."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from pipeline.flex_template import KINDS, Kind, container_spec
from pipeline.runs import run_from
from tests.cloud.conftest import PIPELINE_PYTHON, Stage

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]
IMAGE = "europe-docker.pkg.dev/acme/dropcast/dropcast:0.1.0"


TERRAFORM_OUTPUTS = {
    "launch_flags": "--service-account-email=dropcast-worker@acme-data.iam.gserviceaccount.com --disable-public-ips "
    "--temp-location=gs://acme-data-dropcast-temp/temp --staging-location=gs://acme-data-dropcast-temp/temp/staging",
    "launch_parameters": "output=gs://acme-data-dropcast-forecasts/daily~dataset=acme-data.dropcast~horizon=28",
}


def submitted(stage: Stage, *options: str) -> tuple[dict[str, Any], beam_runner_api_pb2.Pipeline, list[str]]:
    """Submit as the launcher does; return the job, its graph and the names of what was staged."""
    command = [
        PIPELINE_PYTHON, str(ROOT / "templates/flex_main.py"), "--runner=DataflowRunner", "--project=local-cloud",
        "--region=europe-west1", "--job_name=dropcast", f"--temp_location=gs://{stage.out}/temp",
        f"--staging_location=gs://{stage.out}/staging", f"--template_location=gs://{stage.out}/job",
        "--service_account_email=worker@acme.iam.gserviceaccount.com", "--labels=app=dropcast", "--max_num_workers=3",
        f"--output={stage.output}", f"--dataset={stage.dataset}", *options,
    ]  # fmt: skip
    environment = {**os.environ, "DROPCAST_IMAGE": IMAGE}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    job = json.loads(stage.object("job").download_as_text())
    staged = stage.names("staging/")
    graph = next(name for name in staged if name.endswith("pipeline.pb"))
    pipeline = beam_runner_api_pb2.Pipeline.FromString(stage.object(graph).download_as_bytes())
    return job, pipeline, [name.rpartition("/")[2] for name in staged]


def steps(pipeline: beam_runner_api_pb2.Pipeline) -> set[str]:
    transforms = pipeline.components.transforms.values()
    return {one.unique_name for one in transforms if one.unique_name and not one.subtransforms}


def test_what_dataflow_is_told_of_the_streaming_job(stage: Stage) -> None:
    job, pipeline, staged = submitted(stage, f"--input_subscription={stage.subscription}", "--horizon=7")
    assert job["type"] == "JOB_TYPE_STREAMING"
    assert job["name"] == "dropcast"
    environment = job["environment"]
    assert environment["serviceAccountEmail"] == "worker@acme.iam.gserviceaccount.com"
    (pool,) = environment["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 3
    assert pool["diskSizeGb"] == 30 + 4 * 15, "room for the work files of --max_work_bytes in each process"
    options = environment["sdkPipelineOptions"]["options"]
    assert options["horizon"] == "7"
    assert options["save_main_session"] is False
    assert options["sdk_location"] == "container"
    assert options["number_of_worker_harness_threads"] == 4
    hints = [environment.resource_hints for environment in pipeline.components.environments.values()]
    assert not any(hints), "memory follows from the machine type: a hint would take precedence over it in batch"
    assert len({step.environment_id for step in pipeline.components.transforms.values() if step.environment_id}) == 1
    # nothing of whoever submits: no tarball, no main session, no extra package
    assert sorted(staged) == ["pipeline.pb", "submission_environment_dependencies.txt"]
    snapshot = json.loads((ROOT / "tests/contracts/graph_snapshot.json").read_text())["streaming"]["steps"]
    ours = {name for name in steps(pipeline) if not name.startswith("ReadRequests/From/PullMessages")}
    wanted = {name for name in snapshot if "PullMessages" not in name and "PublishReceipts" not in name}
    assert wanted <= ours


def test_what_dataflow_is_told_of_the_batch_job(stage: Stage) -> None:
    sizes = ("--machine_type=e2-standard-2", "--max_work_bytes=20000000000")
    job, pipeline, staged = submitted(stage, f"--input=gs://{stage.uploads}/*.csv", *sizes)
    assert job["environment"]["workerPools"][0]["diskSizeGb"] == 30 + 2 * 20
    assert job["type"] == "JOB_TYPE_BATCH"
    assert "LoadRows/GatherOutcomes" in {name.rpartition("/GroupByKey")[0] or name for name in steps(pipeline)}
    assert sorted(staged) == ["pipeline.pb", "submission_environment_dependencies.txt"]


def gcloud(*arguments: str, **environment: str) -> str:
    """Run gcloud without an account; return what it prints."""
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is not installed")
    given = {"CLOUDSDK_AUTH_ACCESS_TOKEN": "none", "CLOUDSDK_CORE_PROJECT": "acme-data", **environment}
    # what the tests' own servers need would lead gcloud astray
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOOGLE_")}
    done = subprocess.run(
        ["gcloud", "--quiet", "dataflow", "flex-template", *arguments],
        env={**inherited, **given}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_gclouds_own_spec_says_the_same(kind: Kind) -> None:
    metadata = ROOT / "templates" / {"streaming": "metadata.json", "batch": "metadata_batch.json"}[kind]
    printed = gcloud(
        "build", "gs://acme/spec.json", f"--image={IMAGE}", "--sdk-language=PYTHON", f"--metadata-file={metadata}",
        "--print-only",
    )  # fmt: skip
    theirs, _ = json.JSONDecoder().raw_decode(printed[printed.index("{") :])
    ours = container_spec(kind, IMAGE)
    # gcloud drops what says that it streams; what it knows of the workers comes from its own options
    dropped = {"streaming", "supportsAtLeastOnce", "supportsExactlyOnce", "defaultStreamingMode"}
    wanted = {name: value for name, value in ours["metadata"].items() if name not in dropped}
    assert theirs["metadata"] == wanted
    assert (theirs["image"], theirs["sdkInfo"]) == (ours["image"], ours["sdkInfo"])


def sent_by(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of the one request that `gcloud dataflow flex-template ARGUMENTS` makes."""
    sent: list[tuple[str, dict[str, Any]]] = []

    class Dataflow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            answer = b'{"job": {"id": "1", "name": "dropcast-backfill"}}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Dataflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        gcloud(*arguments, CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW=f"http://127.0.0.1:{server.server_port}/")
    finally:
        server.shutdown()
    (only,) = sent
    return only


def test_what_gcloud_sends_when_the_batch_template_is_run() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "gcp-backfill", "DRY_RUN=1", "PROJECT=acme-data", "VERSION=0.1.0",
         "INPUT=gs://in/*.csv"], cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    # what the module's outputs say; its own tests hold them
    for name, output in TERRAFORM_OUTPUTS.items():
        told = told.replace(f"{{terraform-output:{name}}}", output)
    assert "terraform-output" not in told
    assert told.startswith("terraform -chdir=terraform/example init ")
    arguments = shlex.split(told.partition("\n")[2])
    assert arguments[:3] == ["gcloud", "dataflow", "flex-template"]
    path, body = sent_by(arguments[3:])
    launch = body["launchParameter"]
    assert path.startswith("/v1b3/projects/acme-data/locations/europe-west1/flexTemplates:launch")
    assert launch["containerSpecGcsPath"] == "gs://acme-data-dropcast-temp/templates/0.1.0/batch.json"
    named = {parameter["name"] for parameter in container_spec("batch", IMAGE)["metadata"]["parameters"]}
    assert set(launch["parameters"]) <= named
    assert launch["parameters"]["input"] == "gs://in/*.csv"
    assert launch["environment"]["serviceAccountEmail"] == "dropcast-worker@acme-data.iam.gserviceaccount.com"
    assert launch["environment"]["ipConfiguration"] == "WORKER_IP_PRIVATE"


def documented(page: str) -> list[list[str]]:
    """Return the arguments of each `gcloud dataflow flex-template` that a page shows."""
    blocks = re.findall(r"```console\n(gcloud dataflow flex-template .*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [shlex.split(block.replace("\\\n", ""))[3:] for block in blocks]


@pytest.mark.parametrize(
    ("page", "kinds"), [("docs/google-cloud.md", ("streaming", "batch")), ("README.md", ("streaming",))]
)
def test_the_documented_commands_launch_what_the_template_takes(page: str, kinds: tuple[Kind, ...]) -> None:
    commands = documented(page)
    assert len(commands) == len(kinds)
    for kind, arguments in zip(kinds, commands, strict=True):
        path, body = sent_by(arguments)
        launch = body["launchParameter"]
        assert path.startswith("/v1b3/projects/acme-data/locations/europe-west1/flexTemplates:launch")
        assert launch["containerSpecGcsPath"].endswith(f"/templates/0.1.0/{kind}.json")
        offered = {one["name"]: one for one in container_spec(kind, IMAGE)["metadata"]["parameters"]}
        assert set(launch["parameters"]) <= set(offered)
        assert {name for name, one in offered.items() if not one.get("isOptional")} <= set(launch["parameters"])
        for name, value in launch["parameters"].items():
            assert all(re.fullmatch(form, value) for form in offered[name].get("regexes", ())), name
        run = run_from(launch["parameters"], [launch["parameters"].get("input", "")] if kind == "batch" else [])
        assert run.spec.level == (80.0, 95.0)
        environment = launch["environment"]
        assert environment["serviceAccountEmail"] == "dropcast-worker@acme-data.iam.gserviceaccount.com"
        assert environment["subnetwork"] == "regions/europe-west1/subnetworks/dropcast"
        assert (environment["ipConfiguration"], environment["machineType"]) == ("WORKER_IP_PRIVATE", "e2-standard-2")


def test_each_flag_that_is_shown_is_explained() -> None:
    text = (ROOT / "docs/google-cloud.md").read_text()
    explained = set(re.findall(r"`(--[a-z-]+)`", text[text.index("| flag | why |") :].partition("\n\n")[0]))
    shown = {argument.partition("=")[0] for command in documented("docs/google-cloud.md") for argument in command}
    assert {name for name in shown if name.startswith("--")} - {"--project", "--region"} == explained
