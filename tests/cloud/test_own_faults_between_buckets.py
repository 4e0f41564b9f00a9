"""What a fault of our own may cost between buckets: the series that meets it, in streaming, batch and by hand."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cloud.conftest import Stage, daily
from tests.poison import poisoned

pytestmark = pytest.mark.cloud
NAMES = ("a", "poison", "b")


def upload(stage: Stage) -> None:
    rows = [f"{name},{line}" for name in NAMES for line in daily().splitlines()[1:]]
    stage.upload("first.csv", daily(1))
    stage.upload("mixed.csv", "store,ds,y\n" + "\n".join(rows) + "\n")
    stage.upload("last.csv", daily(2))


def check_books(stage: Stage, code: str) -> None:
    receipts = {row["output"]: row["status"] for row in stage.receipts()}
    assert receipts == {"first.csv": "complete", "mixed.csv": "partial", "last.csv": "complete"}
    assert [(row["scope"], row["series_id"], row["code"]) for row in stage.letters()] == [("series", "poison", code)]
    names = stage.query(
        "SELECT series_id, COUNT(*) AS n FROM `{}.latest_forecasts` WHERE output = 'mixed.csv' GROUP BY 1"
    )
    assert {row["series_id"]: row["n"] for row in names} == {"a": 28, "b": 28}
    assert stage.count("latest_forecasts") == sum(row["rows"] for row in stage.receipts())
    assert stage.names("f/_dropcast/work/") == []


def by_hand(stage: Stage, kind: str, *command: str) -> subprocess.CompletedProcess[str]:
    places = [f"--output={stage.output}", f"--dataset={stage.dataset}"]
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command, *places], env={**os.environ, **poisoned(kind)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_stream_goes_on_beside_a_fault_of_ours(stage: Stage) -> None:
    process = stage.run(environment=poisoned("raise"))
    upload(stage)
    stage.wait("all receipts", lambda: len(stage.receipts()) == 3)
    stage.upload("later.csv", daily(3))
    stage.wait("the receipt of a later file", lambda: len(stage.receipts()) == 4)
    assert process.poll() is None
    (letter,) = stage.letters()
    assert (letter["series_id"], letter["code"]) == ("poison", "INTERNAL_ERROR")
    log = process.log.read_text()  # type: ignore[attr-defined]
    (error,) = stage.names("f/_dropcast/errors/")
    error_id = error.rpartition("/")[2].removesuffix(".txt")
    assert error_id in letter["message"]
    assert f"INTERNAL_ERROR {error_id}" in log, "what the alert looks for"
    assert "Traceback (most recent call last)" in log


@pytest.mark.parametrize("kind", ["raise", "memory"])
def test_a_batch_costs_the_fault_its_series_alone(kind: str, stage: Stage) -> None:
    upload(stage)
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (8_000_000_000,) * 2); "
    code = limited + "from pipeline.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, f"--input=gs://{stage.uploads}/*", f"--output={stage.output}",
         f"--dataset={stage.dataset}", "--runner=FnApiRunner"],
        env={**os.environ, **poisoned(kind)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr[-3000:]
    assert "1 x INTERNAL_ERROR" in done.stdout
    check_books(stage, "INTERNAL_ERROR")


def test_reconcile_proves_a_crash_that_ended_a_run_and_replay_makes_up_for_it(stage: Stage) -> None:
    upload(stage)
    assert by_hand(stage, "exit", "forecast", f"gs://{stage.uploads}/*").returncode == 9
    assert [name for name in stage.names("f/_dropcast/work/") if "/markers/" in name]
    done = by_hand(stage, "exit", "reconcile", f"--input=gs://{stage.uploads}/")
    assert done.returncode == 0, done.stderr
    check_books(stage, "CRASHED")
    done = by_hand(stage, "", "replay", "--code=CRASHED")
    assert (done.returncode, "1 requests and 0 messages replayed" in done.stdout) == (0, True), done.stderr
    assert stage.count("latest_forecasts") == 5 * 28
    assert stage.count("open_dead_letters") == 0


def test_watch_forecasts_the_rest(stage: Stage) -> None:
    upload(stage)
    command = ["watch", f"gs://{stage.uploads}/", stage.output, f"--dataset={stage.dataset}", "--once"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command], env={**os.environ, **poisoned("raise")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    check_books(stage, "INTERNAL_ERROR")
    assert "INTERNAL_ERROR" in stage.object("f/mixed.csv.problem.txt").download_as_text()
