"""A project of Google Cloud on this machine, for a verification: what gcloud and Terraform do in it.

The executables gcloud and terraform beside this module pass their arguments on to it. Data is in the local cloud; jobs
are the real pipeline on DirectRunner. `fault` breaks one thing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound

from pipeline.cloud.tables import Tables
from pipeline.core.outputs.tables import VIEWS
from tests.cloud.conftest import PIPELINE_PYTHON
from tests.local_cloud.cloud import LocalCloud
from tests.verification.stand_ins.counters import FILE as COUNTERS
from tests.verification.stand_ins.counters import read_counters
from tests.verification.stand_ins.job import FAULTS as FAULTS_OF_JOBS

BESIDE = Path(__file__).parent
ROOT = BESIDE.parents[2]
FAULTS = (
    "release", "apply", "start", "job never runs", "other options", *FAULTS_OF_JOBS, "lost after a kill", "update",
    "rollback", "drain", "batch", "metrics", "destroy",
)  # fmt: skip
MOST_OF_A_DRAIN = 20  # seconds
RESULT = tuple[int, str]


@dataclass
class Job:
    """A job, with its process as long as it runs."""

    id: str
    name: str
    created: str
    version: str = ""
    state: str = "JOB_STATE_RUNNING"
    process: subprocess.Popen[bytes] | None = None

    def end(self, state: str) -> None:
        """Kill the process."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        self.state = state


@dataclass
class StandInProject:
    """The project.

    Attributes:
        cloud: where the data is.
        name: of the installation.
        fault: what is broken: one of FAULTS, or "".
    """

    cloud: LocalCloud
    name: str
    fault: str = ""
    jobs: list[Job] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="stand-in-")))
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _server: Any = None
    _lock: Any = field(default_factory=threading.Lock)

    def __enter__(self) -> StandInProject:
        assert self.fault in ("", *FAULTS)
        project = self

        class Call(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                program, *arguments = json.loads(self.rfile.readline())
                code, said = project.answer(program, arguments, self.rfile.read)
                answer = {"code": code, "out": "" if code else said, "err": said if code else ""}
                self.wfile.write(json.dumps(answer).encode() + b"\n")

            def finish(self) -> None:
                with contextlib.suppress(OSError):  # the caller was ended in the meantime
                    super().finish()

        self._server = socketserver.ThreadingUnixStreamServer(str(self.folder / "socket"), Call)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for job in self.jobs:
            job.end(job.state)
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """What makes the executables find this."""
        return {"PATH": f"{BESIDE}{os.pathsep}{os.environ['PATH']}", "STAND_IN_SOCKET": str(self.folder / "socket")}

    def answer(self, program: str, arguments: list[str], wait_for_the_end: Callable[[], bytes]) -> RESULT:
        """Do what a command asks; return its exit code, and what it prints."""
        self.calls.append(" ".join([program, *arguments]))
        plain = [argument for argument in arguments if not argument.startswith("-")]
        flags = dict(argument.lstrip("-").partition("=")[::2] for argument in arguments if argument.startswith("-"))
        if program == "terraform":
            variables = dict(part.removeprefix("-var=").split("=", 1) for part in arguments if part.startswith("-var="))
            if plain[:1] == ["apply"] and self._hangs(variables):
                wait_for_the_end()  # of the caller, which loses patience
                return 1, "interrupted"
            with self._lock:
                return self._terraform(plain, flags, variables)
        with self._lock:
            return self._gcloud(plain, flags)

    # ----------------------------------------------------------------------------------------- names

    def bucket(self, kind: str) -> str:
        return f"{self.cloud.project}-{self.name}-{kind}"

    @property
    def dataset(self) -> str:
        return f"{self.cloud.project}.{self.name.replace('-', '_')}"

    @property
    def parameters(self) -> dict[str, str]:
        topics = f"projects/{self.cloud.project}/topics/{self.name}"
        return {
            "horizon": "28", "history": "true", "output": f"gs://{self.bucket('forecasts')}/daily",
            "dataset": self.dataset, "allow": f"gs://{self.bucket('uploads')}/", "output_topic": f"{topics}-receipts",
        }  # fmt: skip

    def _exists(self, bucket: str) -> bool:
        return self.cloud.storage_client().lookup_bucket(bucket) is not None

    # ------------------------------------------------------------------------------------- terraform

    def _hangs(self, variables: dict[str, str]) -> bool:
        runs = any(job.state == "JOB_STATE_RUNNING" and job.name == self.name for job in self.jobs)
        if self.fault == "drain" and runs and "template_version" not in variables:
            self.fault = ""  # only the first drain, so that what comes after it can be seen
            return True
        return False

    def _terraform(self, plain: list[str], flags: dict[str, str], variables: dict[str, str]) -> RESULT:
        if plain[:1] == ["init"]:
            return (0, "") if self._exists(flags["backend-config"].removeprefix("bucket=")) else (1, "no such bucket")
        if plain[:1] == ["apply"]:
            assert "auto-approve" in flags
            if self.fault == "apply" and "deletion_protection" not in variables:
                return 1, "Error: Error creating Topic: googleapi: Error 403: permission denied"
            return self._apply(variables.get("template_version", ""))
        if plain[:1] == ["destroy"]:
            return self._destroy()
        if plain == ["state", "list"]:
            return 0, "module.dropcast.google_storage_bucket.uploads[0]\nmodule.dropcast.google_pubsub_topic.uploads\n"
        assert plain[0] == "output", plain
        outputs = self._outputs()
        return 0, json.dumps(outputs) if "json" in flags else str(outputs[plain[1]]["value"])

    def _apply(self, version: str) -> RESULT:
        if not self._exists(self.bucket("uploads")):
            self._create()
        running = next((job for job in self.jobs if job.name == self.name and job.process), None)
        if running and running.version == version:
            return 0, ""
        if self.fault == "update" and running and version:
            return 1, "Error: the new job is not compatible with the running one"
        if self.fault == "rollback" and running and version and version < running.version:
            return 1, "Error: the new job is not compatible with the running one"
        if self.fault == "start" and version:
            return 1, "Error: Error launching the template: quota of CPUs exceeded"
        if running:
            self._finish_work()
            running.end("JOB_STATE_UPDATED" if version else "JOB_STATE_DRAINED")
        if version:
            self._start_stream(version)
        return 0, ""

    def _create(self) -> None:
        for kind in ("uploads", "forecasts", "temp"):
            self.cloud.create_bucket(self.bucket(kind))
        for kind in ("uploads", "receipts"):
            self.cloud.create_topic(f"{self.name}-{kind}")
        self.cloud.create_subscription(f"{self.name}-uploads", f"{self.name}-uploads")
        self.cloud.notify(self.bucket("uploads"), f"{self.name}-uploads")
        self.cloud.create_dataset(self.dataset.partition(".")[2])
        assert Tables(self.dataset).prepare(None) == []
        if self.fault == "view missing":
            self.cloud.bigquery_client().delete_table(f"{self.dataset}.{VIEWS[-1]}")
        self._save_state([{"type": "google_storage_bucket"}])

    def _save_state(self, resources: list[Any]) -> None:
        state = self.cloud.storage_client().bucket(self.bucket("terraform")).blob("dropcast/default.tfstate")
        state.upload_from_string(json.dumps({"version": 4, "resources": resources}))

    def _outputs(self) -> dict[str, Any]:
        of_topic = f"projects/{self.cloud.project}/topics/{self.name}"
        made = {
            "uploads": f"gs://{self.bucket('uploads')}/", "output": self.parameters["output"], "dataset": self.dataset,
            "topic": f"{of_topic}-uploads", "receipts": f"{of_topic}-receipts",
            "subscription": f"projects/{self.cloud.project}/subscriptions/{self.name}-uploads",
            "repository": f"europe-west1-docker.pkg.dev/{self.cloud.project}/{self.name}",
            "templates": f"gs://{self.bucket('temp')}/templates", "temp": f"gs://{self.bucket('temp')}",
            "service_accounts": {"worker": f"{self.name}-worker@{self.cloud.project}.iam.gserviceaccount.com"},
        }  # fmt: skip
        pairs = "~".join(f"{name}={value}" for name, value in self.parameters.items())
        values = {"dropcast": made, "launch_parameters": pairs, "launch_flags": "--max-workers=5 --disable-public-ips"}
        return {name: {"value": value} for name, value in values.items()}

    def _destroy(self) -> RESULT:
        for job in self.jobs:
            if job.process or job.state == "JOB_STATE_PENDING":
                job.end("JOB_STATE_DRAINED")
        client = self.cloud.storage_client()
        for kind in ("uploads", "forecasts", "temp"):
            if self._exists(self.bucket(kind)) and not (self.fault == "destroy" and kind == "uploads"):
                client.bucket(self.bucket(kind)).delete_blobs(list(client.list_blobs(self.bucket(kind))))
                client.bucket(self.bucket(kind)).delete()
        with self.cloud.subscriber() as subscriber, contextlib.suppress(NotFound):
            subscriber.delete_subscription(subscription=self._outputs()["dropcast"]["value"]["subscription"])
        with self.cloud.publisher() as publisher:
            for kind in ("topic", "receipts"):
                with contextlib.suppress(NotFound):
                    publisher.delete_topic(topic=self._outputs()["dropcast"]["value"][kind])
        self.cloud.bigquery_client().delete_dataset(self.dataset, delete_contents=True, not_found_ok=True)
        self._save_state([])
        return 0, ""

    # ------------------------------------------------------------------------------------------ jobs

    def _start(self, name: str, version: str, *options: str) -> Job:
        number = next(self._ids)
        job = Job(f"2026-01-01_00_00_{number:02d}-1", name, f"2026-01-01T00:00:{number:02d}Z", version)
        self.jobs.insert(0, job)
        if self.fault == "job never runs":
            job.state = "JOB_STATE_PENDING"
            return job
        given = [f"--{name}={value}" for name, value in self.parameters.items()]
        given += ["--horizon=3"] if self.fault == "other options" else []  # of two, the last one counts
        streams = any(option.startswith("--input_subscription=") for option in [*given, *options])
        runner = "BundleBasedDirectRunner" if streams else "DirectRunner"  # which runs the graph of a stream
        command = [PIPELINE_PYTHON, "-m", "tests.verification.stand_ins.job", f"--runner={runner}", *given, *options]
        environment = {**os.environ, "STAND_IN_FAULT": self.fault, COUNTERS: str(self._counters(job.id))}
        with (self.folder / f"job-{number}.log").open("wb") as log:
            job.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return job

    def _start_stream(self, version: str) -> None:
        before = any(job.name == self.name for job in self.jobs)
        subscription = f"projects/{self.cloud.project}/subscriptions/{self.name}-uploads"
        self._start(self.name, version, f"--input_subscription={subscription}")
        if before:
            self._deliver_again()

    def _finish_work(self) -> None:
        """Wait for what the running job has begun, as a drain and an update do; it cannot be told apart from the rest.

        DirectRunner would lose what it has begun, and a request that was killed in mid-work takes longer afterwards.
        """
        deadline = time.monotonic() + MOST_OF_A_DRAIN
        while self._unfinished() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _unfinished(self) -> list[Any]:
        """Return the uploads without a receipt."""
        client = self.cloud.storage_client()
        receipts = client.list_blobs(self.bucket("forecasts"), prefix="daily/_dropcast/receipts/")
        done = {(blob.metadata["dropcast-source"], blob.metadata["dropcast-version"]) for blob in receipts}
        blobs = client.list_blobs(self.bucket("uploads"))
        return [
            blob for blob in blobs
            if (f"gs://{blob.bucket.name}/{blob.name}", str(blob.generation)) not in done
            and not blob.name.endswith(".manifest.json")
        ]  # fmt: skip

    def _deliver_again(self) -> None:
        """Announce the uploads without a receipt: Dataflow would not have lost them, and DirectRunner may have."""
        with self.cloud.publisher() as publisher:
            for blob in self._unfinished():
                publisher.publish(
                    f"projects/{self.cloud.project}/topics/{self.name}-uploads", b"", eventType="OBJECT_FINALIZE",
                    bucketId=blob.bucket.name, objectId=blob.name, objectGeneration=str(blob.generation),
                    payloadFormat="NONE", eventTime=blob.time_created.isoformat(),
                ).result(timeout=30)  # fmt: skip

    # ---------------------------------------------------------------------------------------- gcloud

    def _gcloud(self, plain: list[str], flags: dict[str, str]) -> RESULT:
        match plain:
            case ["services", "enable", *_]:
                return 0, ""
            case ["storage", "buckets", "describe", bucket]:
                return (0, "{}") if self._exists(bucket.removeprefix("gs://")) else (1, "not found: 404")
            case ["storage", "buckets", "create", bucket]:
                self.cloud.create_bucket(bucket.removeprefix("gs://"))
                return 0, ""
            case ["storage", "buckets", "update", _]:
                return 0, ""
            case ["builds", "submit"]:
                return self._build(dict(re.findall(r"_(\w+)=([^,]*)", flags["substitutions"])))
            case ["dataflow", "jobs", "list"]:
                named = flags["filter"].removeprefix("name=")
                jobs = [job for job in self.jobs if job.name == named]
                # the list abbreviates states, and has other names than the description
                listed = [{"id": job.id, "name": job.name, "creationTime": job.created[:19].replace("T", " "),
                           "state": job.state.rpartition("_")[2].title()} for job in jobs]  # fmt: skip
                return 0, json.dumps(listed)
            case ["dataflow", "jobs", "describe", wanted]:
                (job,) = (job for job in self.jobs if job.id == wanted)
                told = {"id": job.id, "name": job.name, "currentState": job.state, "createTime": job.created}
                return 0, json.dumps(told)
            case ["beta", "dataflow", "metrics", "list", wanted]:
                return 0, json.dumps(self._metrics(wanted, flags["source"]))
            case ["dataflow", "flex-template", "run", name]:
                return self._backfill(name, flags)
            case ["compute", "instances", "list"]:
                wanted = flags["filter"].rpartition("=")[2]
                zone = "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west1-b"
                found = [{"name": f"worker-of-{wanted}", "zone": zone} for job in self.jobs if job.id == wanted]
                return 0, json.dumps(found)
            case ["compute", "instances", "delete", worker]:
                assert flags["zone"] == "europe-west1-b"
                return self._kill(worker.removeprefix("worker-of-"))
        raise AssertionError(f"gcloud {plain} is not known here")

    def _build(self, given: dict[str, str]) -> RESULT:
        if self.fault == "release":
            return 1, "ERROR: (gcloud.builds.submit) build 1 completed with status FAILURE"
        for kind in ("streaming", "batch"):
            name = f"templates/{given['VERSION']}/{kind}.json"
            self.cloud.storage_client().bucket(self.bucket("temp")).blob(name).upload_from_string("{}")
        return 0, ""

    def _counters(self, job: str) -> Path:
        return self.folder / f"counters-{job}"

    def _metrics(self, job: str, source: str) -> list[Any]:
        if source == "user":
            counted = read_counters(self._counters(job))
            return [{"name": {"name": name, "origin": "user"}, "scalar": value} for name, value in counted.items()]
        if self.fault == "metrics":
            return []
        values = {"TotalVcpuTime": 720.0, "TotalMemoryUsage": 2949120.0, "TotalPdUsage": 21600.0,
                  "TotalStreamingDataProcessed": 0.25, "CurrentVcpuCount": 2.0}  # fmt: skip
        of_service = {"origin": "dataflow/v1b3", "context": {}}
        found = [{"name": {"name": name, **of_service}, "scalar": value} for name, value in values.items()]
        tentative = {"name": "TotalVcpuTime", "origin": "dataflow/v1b3", "context": {"tentative": "true"}}
        return [*found, {"name": tentative, "scalar": 9999.0}]

    def _backfill(self, name: str, flags: dict[str, str]) -> RESULT:
        given = dict(pair.split("=", 1) for pair in flags["parameters"].removeprefix("^~^").split("~"))
        assert given.pop("input") == f"gs://{self.bucket('uploads')}/"
        assert given == self.parameters
        assert flags["template-file-gcs-location"].endswith("/batch.json")
        job = self._start(name, "", f"--input=gs://{self.bucket('uploads')}/")
        if job.process is None:
            return 0, ""
        code = job.process.wait()
        job.process, job.state = None, "JOB_STATE_DONE" if code in (0, 3) else "JOB_STATE_FAILED"
        if self.fault == "batch":
            self._lose_a_receipt()
        return 0, json.dumps({"job": {"id": job.id}})

    def _lose_a_receipt(self) -> None:
        blobs = self.cloud.storage_client().list_blobs(self.bucket("forecasts"), prefix="daily/_dropcast/receipts/")
        (blob, *_) = (blob for blob in blobs if "/batch/" in blob.metadata["dropcast-source"])
        blob.delete()

    def _kill(self, wanted: str) -> RESULT:
        """Kill the job's process, and start another in its place, as Dataflow starts another worker."""
        (job,) = (job for job in self.jobs if job.id == wanted)
        job.end("JOB_STATE_RUNNING")
        subscription = f"projects/{self.cloud.project}/subscriptions/{self.name}-uploads"
        again = self._start(job.name, job.version, f"--input_subscription={subscription}")
        self.jobs.remove(again)
        job.process = again.process
        if self.fault != "lost after a kill":
            self._deliver_again()
        return 0, "[]"
