"""The batch pipeline on a Flink cluster: the bytes of the command line, also if workers are killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.range_sizes import LEAST_RANGE_BYTES
from pipeline.core.requests.names import INTERNAL
from pipeline.folder.ledger import FolderLedger
from tests.cloud.conftest import Stage
from tests.conftest import daily_series
from tests.flink.cluster import FlinkCluster
from tests.flink.conftest import StartCluster
from tests.folder_contents import forecasts_and_notes
from tests.kafka.broker import KafkaBroker
from tests.kafka.messages import notification

pytestmark = [pytest.mark.flink, pytest.mark.long]
SERIES = 20_000  # of the large file: work of some twenty seconds
PATIENCE = 600.0  # seconds for one job


def submitted(cluster: FlinkCluster, *options: str, **environment: str) -> subprocess.Popen[bytes]:
    """Submit the pipeline, which waits for the job."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.main", *cluster.options, *options], env={**os.environ, **environment},
        cwd=cluster.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,  # Beam leaves a file where it is called
    )  # fmt: skip


def ended(job: subprocess.Popen[bytes], cluster: FlinkCluster) -> None:
    """Wait until a job has ended well; 3 says that there are dead letters."""
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode in (0, 3), said.decode()[-3000:] + cluster.logs()


def wait_until(holds: Callable[[], bool], job: subprocess.Popen[bytes], cluster: FlinkCluster) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert job.poll() is None, (job.stdout.read().decode() if job.stdout else "") + cluster.logs()
        assert time.monotonic() < deadline, cluster.logs()
        time.sleep(0.05)


def large(path: Path) -> Path:
    """Write a file that is read in ranges, in which series come in another order each day."""
    names = [f"s{number:05d}" for number in range(SERIES)]
    with path.open("w") as file:
        file.write("store,date,y\n")
        for number, row in enumerate(daily_series(200).splitlines()[1:]):
            file.writelines(f"{name},{row}\n" for name in random.Random(number).sample(names, SERIES))
    return path


def forecast(*arguments: str) -> None:
    """Forecast on the command line."""
    code = subprocess.run([sys.executable, "-m", "pipeline.cli", "forecast", "--quiet", *arguments]).returncode
    assert code in (0, 3)


def test_folders_have_the_bytes_of_the_command_line(start_cluster: StartCluster, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / f"in/{number}.csv").write_text(daily_series(90, seed=number))
    (tmp_path / "in/bad.csv").write_text("a,b\n1,2\n")
    forecast(f"{tmp_path}/in/*.csv", f"--output={tmp_path}/expected", "--model=auto")
    cluster = start_cluster()
    ended(submitted(cluster, f"--input={tmp_path}/in/*.csv", f"--output={tmp_path}/out", "--model=auto"), cluster)
    expected = forecasts_and_notes(tmp_path / "expected")
    assert len(expected) == 5
    assert forecasts_and_notes(tmp_path / "out") == expected


def test_a_killed_worker_costs_time_only(start_cluster: StartCluster, tmp_path: Path) -> None:
    source = large(tmp_path / "many.csv")
    forecast(str(source), f"--output={tmp_path}/expected")
    cluster = start_cluster()
    work = tmp_path / "out" / INTERNAL / "work"
    job = submitted(cluster, f"--input={source}", f"--output={tmp_path}/out", f"--range_bytes={LEAST_RANGE_BYTES}")
    stages = (("range-*.arrow", 1), ("range-*.sorted", 2), ("part-*.csv", 1))  # reading, sorting, forecasting
    for files, killed in stages:
        wait_until(lambda files=files: any(work.rglob(files)), job, cluster)
        cluster.kill(killed)
        assert job.poll() is None, "it was too late to kill anything"
    ended(job, cluster)
    expected = forecasts_and_notes(tmp_path / "expected")
    assert expected["many.csv"].count(b"\n") == 1 + 28 * SERIES
    assert forecasts_and_notes(tmp_path / "out") == expected
    assert not [*work.rglob("range-*"), *work.rglob("part-*")], "work files are left"


@pytest.mark.cloud
def test_between_buckets(start_cluster: StartCluster, stage: Stage, tmp_path: Path) -> None:
    generations = [stage.upload(f"{number}.csv", daily_series(90, seed=number)) for number in range(3)]
    stage.upload("bad.csv", "a,b\n1,2\n")
    assert all(generations)
    environment = dict(stage.cloud.environment)
    cluster = start_cluster(**environment)
    ended(
        submitted(cluster, f"--input=gs://{stage.uploads}/*.csv", f"--output={stage.output}",
                  f"--dataset={stage.dataset}", **environment),
        cluster,
    )  # fmt: skip
    assert sorted(row["status"] for row in stage.receipts()) == ["complete", "complete", "complete", "failed"]
    assert stage.count("latest_forecasts") == 3 * 28
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text(daily_series(90, seed=number))
    forecast(f"{tmp_path}/*.csv", f"--output={tmp_path}/expected")
    for number in range(3):
        found = stage.object(f"f/{number}.csv").download_as_bytes()
        assert found == (tmp_path / f"expected/{number}.csv").read_bytes()


def test_a_watched_folder_is_forecast_also_if_workers_are_killed(start_cluster: StartCluster, tmp_path: Path) -> None:
    inbox, output = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    names = [f"{number}.csv" for number in range(60)]

    def drop(some: list[str]) -> None:
        for name in some:
            (inbox / name).write_text(daily_series(90, seed=int(name.removesuffix(".csv"))))

    def receipts() -> dict[str, str]:
        done = FolderLedger(output).receipts() if output.exists() else ()
        return {one.output: one.status for one in done}

    drop(names[:30])
    (inbox / "bad.csv").write_text("a,b\n1,2\n")
    (inbox / "bad.manifest.json").write_text("{")
    cluster = start_cluster()
    job = submitted(cluster, f"--input={inbox}", "--watch=true", f"--output={output}", "--checkpointing_interval=3000")
    wait_until(lambda: len(receipts()) >= 5, job, cluster)
    cluster.kill(1)
    drop(names[30:])
    wait_until(lambda: len(receipts()) >= 36, job, cluster)
    cluster.kill(2)
    wait_until(lambda: len(receipts()) == 61, job, cluster)
    assert receipts() == {**dict.fromkeys(names, "complete"), "bad.csv": "failed"}
    drop(["0.csv"])  # the same content again: nothing to do
    (inbox / "1.csv").write_text(daily_series(120, seed=1))
    longer = forecasts_and_notes(output)["1.csv"]
    wait_until(lambda: forecasts_and_notes(output)["1.csv"] != longer, job, cluster)
    cancelled(job, cluster)
    forecast(f"{inbox}/*.csv", f"--output={tmp_path}/expected")
    expected = forecasts_and_notes(tmp_path / "expected")
    assert len(expected) == 60
    assert forecasts_and_notes(output) == expected
    letters = [letter for found in FolderLedger(output).dead_letters() for letter in found.read()]
    assert sorted(letter.code for letter in letters) == ["BAD_MANIFEST", "NO_DATE_COLUMN"]


def cancelled(job: subprocess.Popen[bytes], cluster: FlinkCluster) -> None:
    """End a job that would run on."""
    cluster.cancel_all()
    job.kill()
    job.wait()


@pytest.mark.cloud
@pytest.mark.parametrize("kind", ["pubsub", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_messages_are_acknowledged_after_the_ledger_has_them_also_if_workers_are_killed(
    start_cluster: StartCluster, stage: Stage, request: pytest.FixtureRequest, kind: str
) -> None:
    environment = dict(stage.cloud.environment)
    cluster = start_cluster(**environment)
    names = [f"{number}.csv" for number in range(60)]
    generations = {name: stage.upload(name, daily_series(90, seed=seed)) for seed, name in enumerate(names[:30])}
    broker: KafkaBroker | None = None
    source = f"--input_subscription={stage.subscription}"
    if kind == "kafka":
        broker = request.getfixturevalue("broker")
        source = f"--input_kafka={broker.create_topic('uploads', 2)}"
        broker.send("uploads", [notification(stage, *item) for item in generations.items()])
    job = submitted(
        cluster, source, f"--output={stage.output}", f"--dataset={stage.dataset}", "--checkpointing_interval=3000",
        **environment,
    )  # fmt: skip
    wait_until(lambda: len(stage.receipts()) >= 5, job, cluster)
    cluster.kill(1)
    more = {name: stage.upload(name, daily_series(90, seed=seed)) for seed, name in enumerate(names[30:], 30)}
    if broker is not None:
        broker.send("uploads", [notification(stage, *item) for item in more.items()])
    wait_until(lambda: len(stage.receipts()) >= 35, job, cluster)
    cluster.kill(2)
    wait_until(lambda: len(stage.receipts()) == 60, job, cluster)
    assert {row["output"]: row["status"] for row in stage.receipts()} == dict.fromkeys(names, "complete")
    if broker is not None:
        wait_until(lambda: broker.committed("uploads", "dropcast-by-partition") == broker.ends("uploads"), job, cluster)
    else:
        time.sleep(40)  # more than a lease: what is not acknowledged would be there again
    cancelled(job, cluster)
    if broker is None:
        with stage.cloud.subscriber() as client:
            left = client.pull(subscription=stage.subscription, max_messages=100, return_immediately=True, timeout=30)
        assert not left.received_messages
    assert stage.count("latest_forecasts") == 28 * len(names)
