"""What a person reads when a disk, a lock, a stream or a clock is not as it should be: one line."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import cli, main
from pipeline.commands import watch
from pipeline.core.io_faults import io
from pipeline.folder.output import FolderOutput
from pipeline.terminal import carried_out
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]
COMMANDS = {
    "forecast": ["-m", "pipeline.cli", "forecast", "{inbox}/*", "--output={out}"],
    "pipeline": ["-m", "pipeline.main", "--input={inbox}/*", "--output={out}", "--runner=FnApiRunner"],
    "watch": ["-m", "pipeline.cli", "watch", "{inbox}", "{out}", "--once", "--settle=0"],
    "reconcile": ["-m", "pipeline.cli", "reconcile", "--input={inbox}/*", "--output={out}"],
}
LIMIT = 20_000  # bytes of a file, which stand for a full disk


def run(
    command: str, inbox: Path, out: Path, largest_file: int | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    arguments = [part.format(inbox=inbox, out=out) for part in COMMANDS[command]]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([sys.executable, *arguments], text=True, check=False, preexec_fn=limit, **given)  # type: ignore[call-overload,no-any-return]


def the_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line on standard error that is no log of this project's."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith('{"severity"')]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr + (done.stdout or "")
    return lines[0]


@pytest.fixture
def inbox(write_csv: WriteCsv) -> Path:
    rows = [f"s{i},{line}" for i in range(300) for line in daily_series(30).splitlines()[1:]]
    return write_csv("in/large.csv", "store,date,y\n" + "\n".join(rows) + "\n").parent


@pytest.mark.parametrize("command", ["forecast", "pipeline", "watch"])
def test_a_full_disk_is_one_line_and_the_next_run_does_the_rest(command: str, inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(command, inbox, out, largest_file=LIMIT)
    assert done.returncode == 1
    assert "File too large" in the_line(done)
    assert str(out) in the_line(done)
    assert not (out / "large.csv").exists()
    assert not list((out / "_dropcast").glob("receipts/*/*")), "what was not written is not done"
    assert run(command, inbox, out).returncode == 0
    assert (out / "large.csv").read_text().count("\n") == 1 + 300 * 28


def test_a_full_disk_under_work_files_is_one_line(inbox: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pipeline.core.series import row_store; row_store.SPILL_BYTES = 1000\n"
        "from pipeline import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "forecast", f"{inbox}/*", f"--output={tmp_path}/out"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))),
    )  # fmt: skip
    assert done.returncode == 1
    assert the_line(done)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_lock_that_cannot_be_opened_is_one_line(command: str, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "out/_dropcast/lock").mkdir(parents=True)
    done = run(command, inbox, tmp_path / "out")
    assert done.returncode == 1
    assert "out/_dropcast/lock: Is a directory" in the_line(done)


@pytest.mark.parametrize("stream", ["closed", "full"])
@pytest.mark.parametrize("command", ["forecast", "pipeline"])
def test_a_standard_output_that_takes_nothing_is_one_line(
    command: str, stream: str, inbox: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if stream == "full":
        with Path("/dev/full").open("w") as full:
            done = run(command, inbox, out, stdout=full)
    else:
        arguments = " ".join(part.format(inbox=f"'{inbox}'", out=f"'{out}'") for part in COMMANDS[command])
        done = subprocess.run(
            f"{sys.executable} {arguments} >&-", shell=True, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert the_line(done) == f"standard output: {'No space left on device' if stream == 'full' else 'it is closed'}"


def test_both_streams_may_be_closed(inbox: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m pipeline.cli forecast '{inbox}'/* --output='{tmp_path}/out' <&- >&- 2>&-",
        shell=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert (tmp_path / "out/large.csv").read_text().startswith("store,date,prediction"), "no file took a stream's place"


def test_watch_goes_on_when_its_standard_output_is_gone(inbox: Path, tmp_path: Path, write_csv: WriteCsv) -> None:
    reader, writer = os.pipe()
    command = [part.format(inbox=inbox, out=tmp_path / "out") for part in COMMANDS["watch"] if part != "--once"]
    process = subprocess.Popen(
        [sys.executable, *command, "--every=0.05"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    try:
        assert os.read(reader, 100).startswith(b"Watching")
        os.close(reader)
        assert process.stderr is not None
        assert "Forecasting goes on." in process.stderr.readline()
        write_csv("in/later.csv")
        while not list((tmp_path / "out/_dropcast/receipts").glob("*/*")):
            assert process.poll() is None
        while not (tmp_path / "out/later.csv").exists():
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_watch_tells_of_an_outbox_that_is_gone_once_and_goes_on(tmp_path: Path, write_csv: WriteCsv) -> None:
    inbox, out = write_csv("in/a.csv").parent, tmp_path / "out"
    command = [part.format(inbox=inbox, out=out) for part in COMMANDS["watch"] if part != "--once"]
    process = subprocess.Popen([sys.executable, *command, "--every=0.05"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any("complete  a.csv" in line for line in iter(process.stdout.readline, ""))
        (out / "_dropcast/forecasts").rename(tmp_path / "aside")
        (out / "_dropcast/forecasts").write_text("in the way")
        write_csv("in/b.csv", daily_series(60, seed=1))
        told = process.stderr.readline()
        assert "retries until it succeeds" in told
        (out / "_dropcast/forecasts").unlink()
        (tmp_path / "aside").rename(out / "_dropcast/forecasts")
        assert any("complete  b.csv" in line for line in iter(process.stdout.readline, ""))
    finally:
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=30)
    assert "tried again" not in rest, "it is told once"


@pytest.mark.parametrize("year", [1971, 2200])
def test_what_a_run_did_is_known_whatever_the_clock_says(
    year: int, write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv("in/good.csv")
    write_csv("in/bad.csv", "date,y\n2024-01-01,x\n")
    write_csv("in/no.manifest.json", "{")
    options = [f"--input={tmp_path}/in/*", f"--output={tmp_path}/out", "--runner=FnApiRunner"]
    assert main.main([*options, "--horizon=3"]) == 3
    capsys.readouterr()

    class Stepped(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(year, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("pipeline.core.outputs.receipts.datetime", Stepped)
    for place in (tmp_path / "out").rglob("*"):
        os.utime(place, (0, 0))
    assert main.main(options) == 3
    told = capsys.readouterr().out
    assert "1 file and 1 series forecast, 28 rows; 2 dead letters." in told
    assert not list((tmp_path / "out/_dropcast").glob("work/run-*"))


def test_what_an_earlier_run_did_is_not_told_again(
    write_csv: WriteCsv, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv("in/bad.csv", "date,y\n2024-01-01,x\n")
    assert cli.main(["forecast", f"{tmp_path}/in/*", f"--output={tmp_path}/out"]) == 3
    write_csv("in2/good.csv")
    left = FolderOutput(tmp_path / "out", run="killed")
    left._notes.add("x-y")
    capsys.readouterr()
    assert main.main([f"--input={tmp_path}/in2/*", f"--output={tmp_path}/out", "--runner=FnApiRunner"]) == 0
    assert "1 file and 1 series forecast, 28 rows; 0 dead letters." in capsys.readouterr().out


def test_a_file_that_the_disk_does_not_give_keeps_no_other_from_its_forecast(
    write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        write_csv(f"in/{name}.csv", daily_series(60, seed=ord(name)))
    from pipeline.core.requests import local_files as requests

    real = requests.open_source

    def broken(path: Path) -> object:
        if path.name == "b.csv":
            raise OSError(5, "Input/output error", str(path))
        return real(path)

    monkeypatch.setattr(requests, "open_source", broken)
    assert cli.main(["forecast", f"{tmp_path}/in/*", f"--output={tmp_path}/out"]) == 1
    assert "in/b.csv: Input/output error" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.csv")) == ["a.csv", "c.csv"]


def test_a_server_that_does_not_answer_is_no_error_of_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        with io():
            raise RuntimeError("no answer for 300 seconds")

    assert carried_out(command) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "no answer for 300 seconds" in told and "Nothing is lost" in told


def test_watch_takes_no_silent_server_for_an_error_of_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    looks = 0

    def step(now: float) -> watch.Pass:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise KeyboardInterrupt
        with io():
            raise RuntimeError("no answer for 300 seconds")

    arguments = {"once": False, "inbox": "gs://in/", "outbox": "gs://out/f"}
    assert watch._passes(step, 0.0, arguments, watch._Teller("gs://out/f")) == 0
    told = capsys.readouterr().err
    assert looks == 3 and told.count("no answer for 300 seconds") == 1, "once, however often it is tried"
    assert "internal error" not in told
