"""Fresh buckets, topics and a dataset of the local cloud for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.fixtures import NUMBERS, forget_clients, fresh_clients

__all__ = ["DAYS", "PIPELINE_PYTHON", "Stage", "daily", "forget_clients", "fresh_clients", "stage"]

# The interpreter that runs pipelines: make check-gcp-extra names one with what pip installs for a user.
PIPELINE_PYTHON = os.environ.get("DROPCAST_PIPELINE_PYTHON") or sys.executable
DAYS = 40


def daily(seed: int = 0, rows: int = DAYS) -> str:
    """Return a CSV of one daily series."""
    lines = (f"2024-{1 + day // 28:02d}-{1 + day % 28:02d},{10 + (day * (7 + seed)) % 13}" for day in range(rows))
    return "ds,y\n" + "\n".join(lines) + "\n"


@dataclass
class Stage:
    """What one test has of the cloud."""

    cloud: LocalCloud
    uploads: str
    out: str
    output: str
    topic: str
    subscription: str
    dataset: str
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def upload(self, name: str, content: str | bytes, **metadata: Any) -> int:
        """Upload an object; return its generation."""
        blob = self.cloud.storage_client().bucket(self.uploads).blob(name)
        for key, value in metadata.items():
            setattr(blob, key, value)
        blob.upload_from_string(content)
        return int(blob.generation)

    def uri(self, name: str) -> str:
        return f"gs://{self.uploads}/{name}"

    def object(self, name: str) -> Any:
        """Return an object of the output bucket, or None."""
        return self.cloud.storage_client().bucket(self.out).get_blob(name)

    def names(self, prefix: str = "") -> list[str]:
        return [blob.name for blob in self.cloud.storage_client().list_blobs(self.out, prefix=prefix)]

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query, in which {} stands for the dataset."""
        return [dict(row) for row in self.cloud.bigquery_client().query(sql.replace("{}", self.dataset)).result()]

    def count(self, table: str, where: str = "true") -> int:
        return int(self.query(f"SELECT COUNT(*) AS n FROM `{{}}.{table}` WHERE {where}")[0]["n"])

    def publish(self, data: bytes = b"", **attributes: str) -> None:
        with_publisher = self.cloud.publisher()
        with_publisher.publish(self.topic, data, **attributes).result(timeout=30)

    def letters(self) -> list[dict[str, Any]]:
        """Return all dead letters."""
        found = []
        for blob in self.cloud.storage_client().list_blobs(self.out, prefix="f/_dropcast/dead_letters/"):
            found += [json.loads(line) for line in blob.download_as_text().split("\n") if line]
        return found

    def receipts(self) -> list[dict[str, Any]]:
        """Return all receipts."""
        blobs = self.cloud.storage_client().list_blobs(self.out, prefix="f/_dropcast/receipts/")
        return [json.loads(blob.download_as_text()) for blob in blobs]

    def run(
        self, *options: str, environment: dict[str, str] | None = None, source: str = "", runner: str = "DirectRunner"
    ) -> subprocess.Popen[bytes]:
        """Start the streaming pipeline, by default for the bucket's subscription; it is ended after the test."""
        command = [
            PIPELINE_PYTHON, "-m", "pipeline.main", source or f"--input_subscription={self.subscription}",
            f"--output={self.output}", f"--dataset={self.dataset}", f"--runner={runner}", *options,
        ]  # fmt: skip
        log = Path(self.cloud.root) / f"pipeline-{next(NUMBERS)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stderr=file)
        process.log = log  # type: ignore[attr-defined]
        self.running.append(process)
        return process

    def wait(self, what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not ready():
            for process in self.running:
                if process.poll() is not None:
                    raise AssertionError(f"the pipeline ended: {process.log.read_text()[-3000:]}")  # type: ignore[attr-defined]
            if time.monotonic() > deadline:
                told = "".join(process.log.read_text()[-2000:] for process in self.running)  # type: ignore[attr-defined]
                raise AssertionError(f"after {seconds:g} s still not so: {what}\n{told}")
            time.sleep(0.05)

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        self.running.clear()


@pytest.fixture
def stage(cloud: LocalCloud) -> Iterator[Stage]:
    name = f"t{os.getpid()}-{next(NUMBERS)}"
    uploads, out = f"{name}-uploads", f"{name}-out"
    cloud.create_bucket(uploads)
    cloud.create_bucket(out)
    topic = cloud.create_topic(name)
    subscription = cloud.create_subscription(name, name)
    cloud.notify(uploads, name)
    dataset = f"{cloud.project}.{name.replace('-', '_')}"
    cloud.create_dataset(dataset.split(".")[1])
    made = Stage(cloud, uploads, out, f"gs://{out}/f", topic, subscription, dataset)
    yield made
    made.end()
