"""The real DataflowRunner, submitting to a bucket on this machine: what the service would be told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from tests.cloud.conftest import Stage

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]
IMAGE = "europe-docker.pkg.dev/acme/dropcast/dropcast:0.1.0"


def submitted(stage: Stage, *options: str) -> tuple[dict[str, Any], beam_runner_api_pb2.Pipeline, list[str]]:
    """Submit as the launcher does; return the job, its graph and the names of what was staged."""
    command = [
        sys.executable, str(ROOT / "templates/flex_main.py"), "--runner=DataflowRunner", "--project=local-cloud",
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
    options = environment["sdkPipelineOptions"]["options"]
    assert options["horizon"] == "7"
    assert options["save_main_session"] is False
    assert options["sdk_location"] == "container"
    assert options["number_of_worker_harness_threads"] == 4
    # nothing of whoever submits: no tarball, no main session, no extra package
    assert sorted(staged) == ["pipeline.pb", "submission_environment_dependencies.txt"]
    snapshot = json.loads((ROOT / "tests/contracts/graph_snapshot.json").read_text())["streaming"]["steps"]
    ours = {name for name in steps(pipeline) if not name.startswith("ReadRequests/From/PullMessages")}
    wanted = {name for name in snapshot if "PullMessages" not in name and "PublishReceipts" not in name}
    assert wanted <= ours


def test_what_dataflow_is_told_of_the_batch_job(stage: Stage) -> None:
    job, pipeline, staged = submitted(stage, f"--input=gs://{stage.uploads}/*.csv")
    assert job["type"] == "JOB_TYPE_BATCH"
    assert "LoadRows/GatherOutcomes" in {name.rpartition("/GroupByKey")[0] or name for name in steps(pipeline)}
    assert sorted(staged) == ["pipeline.pb", "submission_environment_dependencies.txt"]
