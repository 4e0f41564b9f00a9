"""What a fault of our own may cost, in every way to run: the series that meets it, and nothing else."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.elements import Request
from pipeline.folder.query import connect
from tests.conftest import daily_series
from tests.poison import RAISES, poisoned

WriteCsv = Callable[..., Path]
MEMORY = 8_000_000_000  # bytes of address space
WAYS = {
    "forecast": ["-m", "pipeline.cli", "forecast", "{inbox}/*", "--output={out}", "--horizon=5"],
    "pipeline": ["-m", "pipeline.main", "--input={inbox}/*", "--output={out}", "--horizon=5",
                 "--runner=FnApiRunner"],
    "watch": ["-m", "pipeline.cli", "watch", "{inbox}", "{out}", "--horizon=5", "--once", "--settle=0"],
}  # fmt: skip


@pytest.fixture
def inbox(write_csv: WriteCsv) -> Path:
    names = ("a", "b", "poison", "c", "d")
    rows = [f"{name},{line}" for name in names for line in daily_series(40).splitlines()[1:]]
    write_csv("in/mixed.csv", "store,date,y\n" + "\n".join(rows) + "\n")
    write_csv("in/first.csv", daily_series(40, seed=1))
    return write_csv("in/zz_last.csv", daily_series(40, seed=2)).parent


def run(way: str, inbox: Path, out: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    arguments = [part.format(inbox=inbox, out=out) for part in WAYS[way]]
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )  # fmt: skip


def check_books(out: Path, code: str) -> None:
    """Check that all but the poison is forecast, that the poison has one dead letter, and that the books balance."""
    tables = connect(out)

    def ask(sql: str) -> list[tuple[object, ...]]:
        return tables.sql(sql).fetchall()

    receipts = dict(ask("SELECT output, status FROM latest_receipts"))
    assert receipts == {"first.csv": "complete", "zz_last.csv": "complete",
                        "mixed.csv": "partial" if code else "complete"}  # fmt: skip
    letters = ask("SELECT scope, series_id, code, replayable FROM dead_letters")
    assert letters == ([("series", "poison", code, True)] if code else [])
    rows = ask("SELECT series_id, count(*) FROM latest_forecasts WHERE output = 'mixed.csv' GROUP BY ALL ORDER BY ALL")
    wanted = {"a", "b", "c", "d"} | (set() if code else {"poison"})
    assert rows == [(name, 5) for name in sorted(wanted)]
    assert ask("SELECT sum(rows) FROM latest_receipts") == ask("SELECT count(*) FROM latest_forecasts")
    text = (out / "mixed.csv").read_text()
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == wanted
    assert not [path for path in (out / "_dropcast/work").rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["raise", "sys_exit", "memory"])
def test_an_exception_costs_its_series_alone(kind: str, way: str, inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(way, inbox, out, poisoned(kind))
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    check_books(out, "INTERNAL_ERROR")
    (error,) = (out / "_dropcast/errors").iterdir()
    assert f"error id {error.stem}" in done.stdout
    assert f"{RAISES[kind]}" in error.read_text()
    assert "Traceback (most recent call last)" in error.read_text()
    again = run(way, inbox, tmp_path / "again", poisoned(kind))
    assert f"error id {error.stem}" in again.stdout, "a retry says the same"


@pytest.mark.parametrize("way", WAYS)
def test_an_exception_that_does_not_come_again_costs_nothing(way: str, inbox: Path, tmp_path: Path) -> None:
    done = run(way, inbox, tmp_path / "out", poisoned("raise", once=tmp_path / "once"))
    assert (tmp_path / "once").exists()
    assert done.returncode == 0, done.stderr
    check_books(tmp_path / "out", "")


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_costs_its_series_alone_once_it_is_proven(way: str, inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(way, inbox, out, poisoned("exit")).returncode == 9
    assert list((out / "_dropcast/work/markers").iterdir()), "what was being done when the process ended is marked"
    done = run(way, inbox, out, poisoned("exit"))
    assert done.returncode == 3, done.stderr
    check_books(out, "CRASHED")


def test_a_crash_that_was_none_of_the_series_doing_is_no_proof(inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("forecast", inbox, out, poisoned("exit", once=tmp_path / "once")).returncode == 9
    done = run("forecast", inbox, out, poisoned("exit", once=tmp_path / "once"))
    assert done.returncode == 0, done.stderr
    check_books(out, "")


def test_a_worker_process_that_dies_is_replaced(inbox: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "forecast", f"{inbox}/*", f"--output={tmp_path / 'out'}",
               "--horizon=5", "--workers=2"]  # fmt: skip
    done = subprocess.run(command, env=poisoned("exit"), capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "a worker process died" in done.stderr
    check_books(tmp_path / "out", "CRASHED")


@pytest.mark.parametrize("command", ["replay", "reconcile"])
def test_what_failed_for_a_fault_of_ours_is_done_once_that_is_fixed(command: str, inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [f"--output={out}", "--code=INTERNAL_ERROR"]
    assert run("forecast", inbox, out, poisoned("raise")).returncode == 3
    if command == "reconcile":
        options = [f"--output={out}", f"--input={inbox}/*", "--again=fixed", "--horizon=5"]
    done = subprocess.run([sys.executable, "-m", "pipeline.cli", command, *options], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    tables = connect(out)
    assert tables.sql("SELECT status, attempt FROM latest_receipts WHERE output = 'mixed.csv'").fetchall() == [
        ("complete", 1)
    ]
    assert tables.sql("SELECT count(*) FROM open_dead_letters").fetchall() == [(0,)]


def test_a_fault_in_reading_costs_the_file_alone(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline import cli
    from pipeline.core import process_request

    read = process_request._read

    def broken(request: Request, *arguments: object) -> object:
        if "mixed" in request.source:
            raise ZeroDivisionError
        return read(request, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(process_request, "_read", broken)
    assert cli.main(["forecast", f"{inbox}/*", f"--output={tmp_path / 'out'}", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [(letter["code"], letter["scope"]) for letter in told["dead_letters"]] == [("INTERNAL_ERROR", "file")]
    assert [receipt["status"] for receipt in told["receipts"]] == ["complete", "failed", "complete"]


def test_watch_goes_on_beside_a_fault_of_ours(inbox: Path, tmp_path: Path, write_csv: WriteCsv) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pipeline.cli", "watch", str(inbox), str(out), "--horizon=5", "--settle=0.1",
               "--every=0.05"]  # fmt: skip
    process = subprocess.Popen(command, env=poisoned("raise"), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("partial   mixed.csv" in line for line in lines)
        write_csv("in/later.csv", daily_series(40, seed=3))
        assert any("complete  later.csv" in line for line in lines)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    note = (out / "mixed.csv.problem.txt").read_text()
    assert "INTERNAL_ERROR" in note
    assert (out / "later.csv").exists()
