"""Good files among poison of every kind, in every way to run on folders, killed again and again."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.folder.query import connect
from tests.poison import poisoned
from tests.poison.files import good_files, poison_files

pytestmark = pytest.mark.long
ADDRESSES = 8_000_000_000  # bytes of address space of each process
RESIDENT = 1_500_000_000  # bytes of memory that the largest process has had
KILLS = 16  # of each way
MOST_WRITTEN = 6  # files, of any kind, that a run writes at most before it is killed
OPTIONS = ["--horizon=7"]
WAYS = {
    "forecast": ["-m", "pipeline.cli", "forecast", "{inbox}/*", "--output={out}", "--workers=1"],
    "processes": ["-m", "pipeline.cli", "forecast", "{inbox}/*", "--output={out}", "--workers=2"],
    "watch": ["-m", "pipeline.cli", "watch", "{inbox}", "{out}", "--once", "--settle=0"],
    "pipeline": ["-m", "pipeline.main", "--input={inbox}/*", "--output={out}", "--runner=FnApiRunner"],
    "reconcile": ["-m", "pipeline.cli", "reconcile", "--input={inbox}/*", "--output={out}"],
}


def start(way: str, inbox: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    arguments = [part.format(inbox=inbox, out=out) for part in WAYS[way]]
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *arguments, *OPTIONS], env=poisoned("by name"), stdout=file, stderr=file,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES)),
        )  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_good_files_among_poison_are_forecast_whatever_is_killed(way: str, tmp_path: Path) -> None:
    inbox, out, alone, log = tmp_path / "in", tmp_path / "out", tmp_path / "alone", tmp_path / "log"
    good, poison = good_files(), poison_files()
    for folder, files in ((alone, good), (inbox, good | {name: content for name, (content, _, _) in poison.items()})):
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    os.mkfifo(inbox / "fifo.csv")
    (inbox / "link.csv").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(inbox)  # a socket's name must be short
        bound.bind("socket.csv")
    if way == "reconcile":
        (out / "_dropcast").mkdir(parents=True)
    wanted = tmp_path / "wanted"
    assert start("forecast", alone, wanted, log).wait() == 0

    moments, killed, seen = random.Random(5), 0, set[Path]()
    while killed < KILLS:
        process = start(way, inbox, out, log)
        enough = len(seen) + moments.randint(1, MOST_WRITTEN)
        while process.poll() is None and len(seen) < enough:
            seen |= {Path(folder) / name for folder, _, names in os.walk(out) for name in names}
        if process.poll() in (0, 3):
            break  # all is done: killing what has nothing to do shows nothing
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    for _ in range(10):  # undisturbed
        code = start(way, inbox, out, log).wait()
        if code in (0, 3):
            break
        assert code == 9, log.read_text(errors="replace")[-3000:]
    assert killed > 3, "it was done before it was disturbed"

    for name in good:
        assert (out / name).read_bytes() == (wanted / name).read_bytes(), name
    tables = connect(out)

    def ask(sql: str) -> list[tuple[object, ...]]:
        return tables.sql(sql).fetchall()

    statuses = dict(ask("SELECT output, status FROM latest_receipts"))
    assert {name for name in good if statuses[name] != "complete"} == set(), "a good file is condemned"
    letters = ask("SELECT source, scope, series_id, code, output FROM dead_letters WHERE code <> 'NOTHING_FORECAST'")
    for name, (_, scope, wanted_code) in poison.items():
        if not wanted_code:
            continue
        mine = _outputs(name)
        found = [letter for letter in letters if (letter[4] in mine if mine else letter[0] == str(inbox / name))]
        assert [(letter[1], letter[3]) for letter in found] == [(scope, wanted_code)], (
            name,
            found,
        )
    assert [letter[3] for letter in letters if letter[0] == str(inbox / "link.csv")] == ["PATH_NOT_ALLOWED"]
    assert len(letters) == len(poison)  # the link for the one that is claimed
    (books,) = ask("""
        SELECT (SELECT sum(rows) FROM latest_receipts) = (SELECT count(*) FROM latest_forecasts),
          (SELECT sum(series - series_forecast) FROM latest_receipts)
            = (SELECT count(*) FROM dead_letters WHERE scope = 'series'),
          (SELECT count(*) FROM latest_receipts WHERE status = 'failed')
            = (SELECT count(*) FROM dead_letters WHERE scope = 'file')
    """)
    assert books == (True, True, True)
    assert "Traceback (most recent call last)" not in log.read_text(errors="replace")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < RESIDENT


def _outputs(name: str) -> tuple[str, ...]:
    numbers = {"features": "n1.csv", "order": "n2.csv", "costly": "n3.csv", "levels": "n4.csv", "horizon": "n5.csv"}
    return tuple(output for stem, output in numbers.items() if name.startswith(stem))
