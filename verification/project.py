"""How a verification talks to a project: the make targets, gcloud, Terraform, and Google's clients."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api_core import exceptions
from google.cloud import storage

from pipeline.cloud import clients
from pipeline.core.requests.uris import folder_prefix, split_uri
from verification.report import Failed, without_secrets

ROOT = Path(__file__).parents[1]
STATE = "dropcast/default.tfstate"  # of the backend in terraform/example/backend.tf
MAX_SEEN = 1500  # characters of a failed command's output that the report quotes
INTERRUPTED_SECONDS = 60  # that Terraform has to save its state after an interrupt
CALL_SECONDS = 300  # of gcloud and `terraform output`; deleting a VM takes minutes
ACTIVE = {"JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_DRAINING", "JOB_STATE_CANCELLING"}
ENDED_BADLY = {"JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


@dataclass(frozen=True)
class Names:
    """Names of what Terraform created, from its output `dropcast`, and the options of the job.

    Attributes:
        uploads: gs://bucket/prefix below which files are dropped.
        output: gs://bucket/prefix of the forecasts.
        dataset: PROJECT.DATASET.
        topic, subscription: of the uploads.
        receipts: the receipts' topic.
        templates: gs://bucket/folder of the template specs.
        temp: gs://bucket of temporary files.
        repository: of the images.
        accounts: emails of the service accounts.
        parameters: the job's options by name.
    """

    uploads: str
    output: str
    dataset: str
    topic: str
    subscription: str
    receipts: str
    templates: str
    temp: str
    repository: str
    accounts: tuple[str, ...]
    parameters: dict[str, str]

    @classmethod
    def of_output(cls, output: dict[str, Any]) -> Names:
        """Read them from `terraform output -json`."""
        made = output["dropcast"]["value"]
        pairs = (pair.split("=", 1) for pair in output["launch_parameters"]["value"].split("~"))
        names = ("uploads", "output", "dataset", "topic", "subscription", "receipts", "templates", "temp", "repository")
        accounts = tuple(sorted(made["service_accounts"].values()))
        return cls(**{name: made[name] for name in names}, accounts=accounts, parameters=dict(pairs))

    @property
    def buckets(self) -> list[str]:
        """The buckets."""
        return [split_uri(folder_prefix(uri))[0] for uri in (self.uploads, self.output, self.temp)]


@dataclass(frozen=True)
class Job:
    """A Dataflow job."""

    id: str
    name: str
    state: str
    created: str


@dataclass(frozen=True)
class Project:
    """One installation in a project.

    Attributes:
        project, region, name: as the make targets take them.
        log: a file for what the commands print.
        terraform_data: a folder in which Terraform keeps its plugins, so that a folder that was initialised for
            another installation is not disturbed.
    """

    project: str
    region: str
    name: str
    log: Path
    terraform_data: Path

    # ---------------------------------------------------------------------------------------- commands

    def make(self, target: str, seconds: float, look_at: str, **variables: str) -> None:
        """Run a target of gcp.mk without questions.

        Raises:
            Failed: if it fails, or takes longer than `seconds`.
        """
        given = {"PROJECT": self.project, "REGION": self.region, "NAME": self.name, "AUTO": "1", **variables}
        command = ["make", "--no-print-directory", target, *(f"{name}={value}" for name, value in given.items())]
        self._run(command, seconds, look_at)

    def gcloud(self, *arguments: str, look_at: str) -> Any:
        """Run gcloud in the project; return what it answers, read as JSON.

        Raises:
            Failed: if it fails.
        """
        command = ["gcloud", *arguments, f"--project={self.project}", "--format=json", "--quiet"]
        printed = self._run(command, CALL_SECONDS, look_at)
        return json.loads(printed) if printed.strip() else None

    def terraform(self, *arguments: str) -> str:
        """Run Terraform on the example; return what it prints.

        Raises:
            Failed: if it fails.
        """
        look_at = "docs/first-run.md, Verify a project with one command"
        return self._run(["terraform", "-chdir=terraform/example", *arguments], CALL_SECONDS, look_at)

    def _run(self, command: Sequence[str], seconds: float, look_at: str) -> str:
        """Run a command without a shell; return its standard output. Both outputs go to the log."""
        environment = {**os.environ, "TF_DATA_DIR": str(self.terraform_data), "TF_IN_AUTOMATION": "1"}
        shown = " ".join(command)
        try:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Failed(f"`{shown}` to run", str(error), look_at) from None
        try:
            printed, complaints = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            said = _interrupted(process)
            self._note(shown, said)
            raise Failed(f"`{shown}` to end within {seconds:g} s", f"still running; {_end_of(said)}", look_at) from None
        self._note(shown, printed + complaints)
        if process.returncode:
            seen = f"exit code {process.returncode}: {_end_of(complaints or printed)}"
            raise Failed(f"`{shown}` to succeed", seen, look_at)
        return printed

    def _note(self, command: str, said: str) -> None:
        with self.log.open("a") as file:
            file.write(without_secrets(f"$ {command}\n{said}\n"))

    # ------------------------------------------------------------------------------------- what is there

    @property
    def state_bucket(self) -> str:
        """The bucket of Terraform's state, as gcp.mk names it: Terraform itself cannot tell before it has one."""
        return f"{self.project}-{self.name}-terraform"

    def is_installed(self) -> bool:
        """Return whether Terraform has resources of this name; the state that a destroy leaves has none."""
        state = json.loads(self.read(f"gs://{self.state_bucket}/{STATE}") or b"{}")
        return bool(state.get("resources"))

    def names(self) -> Names:
        """Return the names of what Terraform created."""
        return Names.of_output(json.loads(self.terraform("output", "-json")))

    def addresses(self) -> list[str]:
        """Return the addresses of all resources in Terraform's state."""
        return self.terraform("state", "list").split()

    def jobs(self, name: str) -> list[Job]:
        """Return the jobs of a name, the newest first."""
        look_at = "docs/run-book.md, No job"
        found = self.gcloud(
            "dataflow", "jobs", "list", f"--region={self.region}", f"--filter=name={name}", "--status=all",
            look_at=look_at,
        )  # fmt: skip
        # the list abbreviates the states, and differently for each kind of job
        newest = sorted(found or [], key=lambda job: str(job["creationTime"]), reverse=True)[:3]
        jobs = []
        for one in newest:
            told = self.gcloud("dataflow", "jobs", "describe", one["id"], f"--region={self.region}", look_at=look_at)
            jobs.append(Job(one["id"], told["name"], told["currentState"], str(told["createTime"])))
        return jobs

    def metrics(self, job: str, source: str) -> dict[str, float]:
        """Return a job's metrics by name, summed over their steps: those of the service, or the user's counters."""
        found = self.gcloud(
            "beta", "dataflow", "metrics", "list", job, f"--region={self.region}", f"--source={source}",
            look_at="docs/cost.md, Formulas, for a month of 730 hours",
        )  # fmt: skip
        values: dict[str, float] = {}
        for metric in found or []:
            named = metric.get("name", {})
            # the values that Dataflow calls tentative stand beside the committed ones under the same name
            if "scalar" in metric and "tentative" not in named.get("context", {}):
                name = str(named.get("name"))
                values[name] = values.get(name, 0.0) + float(metric["scalar"])
        return values

    def objects(self, place: str) -> Iterator[storage.Blob]:
        """Yield the objects below gs://bucket/prefix."""
        bucket, prefix = split_uri(place)
        yield from clients.storage_client().list_blobs(bucket, prefix=prefix)

    def upload(self, uri: str, content: bytes) -> str:
        """Upload an object; return its generation."""
        bucket, name = split_uri(uri)
        blob = clients.storage_client().bucket(bucket).blob(name)
        blob.upload_from_string(content)
        return str(blob.generation)

    def created(self, uri: str) -> str:
        """Return when an object was created, as its notification says."""
        bucket, name = split_uri(uri)
        blob = clients.storage_client().bucket(bucket).get_blob(name)
        return "" if blob is None else str(blob.time_created.isoformat())

    def read(self, uri: str) -> bytes | None:
        """Return the bytes of an object as they are stored, or None."""
        bucket, name = split_uri(uri)
        try:
            return bytes(clients.storage_client().bucket(bucket).blob(name).download_as_bytes(raw_download=True))
        except exceptions.NotFound:
            return None

    def publish(self, topic: str, **attributes: str) -> None:
        """Publish a message without a payload."""
        clients.publisher().publish(topic, b"", **attributes).result(timeout=CALL_SECONDS)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        rows = clients.bigquery_client(self.project).query(sql).result()
        return [dict(row) for row in rows]


def wait_until(ready: Callable[[], bool], seconds: float, between: float) -> bool:
    """Look until something holds, at least once; return whether it did before the time was over."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(between)
    return True


def _interrupted(process: subprocess.Popen[str]) -> str:
    """End a command that takes too long, and whatever it started; return what it printed."""
    for number, patience in ((signal.SIGINT, INTERRUPTED_SECONDS), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            printed, complaints = process.communicate(timeout=patience)
            return printed + complaints
        except subprocess.TimeoutExpired:
            continue
    return ""


def _end_of(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    return plain[-MAX_SEEN:] or "no output"
