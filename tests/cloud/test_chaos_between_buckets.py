"""Good files among poison of every kind between buckets: killed again and again, the servers faulty."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cloud.conftest import Stage
from tests.cloud.fault_rules import bigquery_faults, storage_faults
from tests.local_cloud.fault_proxy import FaultProxy
from tests.poison import poisoned
from tests.poison.files import good_files, poison_files

pytestmark = [pytest.mark.cloud, pytest.mark.long]
ADDRESSES = 8_000_000_000  # bytes of address space of each process
RESIDENT = 1_500_000_000  # bytes of memory that the largest process has had
KILLS = 10  # of each way
# What differs from a folder: a bucket has no empty CSV apart from folders' markers, and names the series by hand.
MANIFESTS = {"features": "n1.csv", "order": "n2.csv", "costly": "n3.csv", "levels": "n4.csv", "horizon": "n5.csv"}
WAYS = {
    "stream": ["-m", "pipeline.main", "--input_subscription={subscription}", "--runner=DirectRunner"],
    "batch": ["-m", "pipeline.main", "--input=gs://{uploads}/*", "--runner=FnApiRunner"],
    "reconcile": ["-m", "pipeline.cli", "reconcile", "--input=gs://{uploads}/"],
}


def start(way: str, stage: Stage, log: Path, servers: dict[str, str]) -> subprocess.Popen[bytes]:
    arguments = [part.format(uploads=stage.uploads, subscription=stage.subscription) for part in WAYS[way]]
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *arguments, f"--output={stage.output}", f"--dataset={stage.dataset}", "--horizon=7"],
            env={**os.environ, **poisoned("by name"), **servers}, stdout=file, stderr=file, start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES)),
        )  # fmt: skip


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def all_settled(stage: Stage, names: set[str]) -> bool:
    """Return whether each object has a receipt, those of manifests' outputs, or a dead letter of its own."""
    asked = {MANIFESTS.get(name.partition(".")[0], name) for name in names}
    refused = {letter["source"] for letter in stage.letters() if letter["scope"] == "message"}
    asked -= {name for name in names if stage.uri(name) in refused}
    return asked <= {receipt["output"] for receipt in stage.receipts()}


@pytest.mark.parametrize("way", WAYS)
def test_good_objects_among_poison_are_forecast_whatever_is_killed(way: str, stage: Stage, tmp_path: Path) -> None:
    good = dict(list(good_files().items())[8:])  # a third fewer than in folders: servers take their time
    poison = poison_files()
    for name, content in sorted((good | {name: content for name, (content, _, _) in poison.items()}).items()):
        stage.upload(name, content)
    log, moments, killed = tmp_path / "log", random.Random(11), 0
    with (
        FaultProxy(stage.cloud.storage, storage_faults(0.004), seed=1) as storage,
        FaultProxy(stage.cloud.bigquery, bigquery_faults(0.004), seed=2) as bigquery,
    ):
        servers = {"STORAGE_EMULATOR_HOST": storage.url, "BIGQUERY_EMULATOR_HOST": bigquery.url}
        while killed < KILLS:
            process = start(way, stage, log, servers)
            try:
                process.wait(timeout=moments.uniform(5.0, 12.0))
                if process.returncode in (0, 3):
                    break
            except subprocess.TimeoutExpired:
                kill(process)
                killed += 1
        for _ in range(12):
            process = start(way, stage, log, servers)
            if way == "stream":  # which does not end: each object has a receipt then, or a dead letter of its own
                while process.poll() is None and not all_settled(stage, {*good, *poison}):
                    time.sleep(0.5)
                process.terminate()
            code = process.wait()
            if code in (0, 3):
                break
        assert storage.log, "the servers were faultless"
    assert code in (0, 3), log.read_text(errors="replace")[-3000:]
    assert killed > 3, "it was done before it was disturbed"

    receipts = {row["output"]: row for row in stage.query("SELECT * FROM `{}.latest_receipts`")}
    assert {name for name in good if receipts[name]["status"] != "complete"} == set(), "a good file is condemned"
    for name in good:
        lines = stage.object(f"f/{name}").download_as_text().count("\n")
        assert lines - 1 == receipts[name]["rows"], name
    letters = [letter for letter in stage.letters() if letter["code"] != "NOTHING_FORECAST"]
    for name, (_, scope, code_of_letter) in poison.items():
        output = MANIFESTS.get(name.partition(".")[0])
        found = [
            letter for letter in letters
            if (letter["output"] == output if output else letter["source"] == stage.uri(name))
            and not (name == "claimed.csv" and letter["output"].startswith("n"))
        ]  # fmt: skip
        expected = {(scope, code_of_letter)} if code_of_letter else set()
        assert {(letter["scope"], letter["code"]) for letter in found} == expected, name
    assert stage.count("latest_forecasts") == sum(row["rows"] for row in receipts.values() if row["status"] != "failed")
    series = sum(row["series"] - row["series_forecast"] for row in receipts.values())
    assert series == sum(letter["scope"] == "series" for letter in letters)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < RESIDENT
