"""A watched folder, pass by pass with a clock of our own; and as a process that is killed."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.core import process_request
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.watching import Pass
from pipeline.folder.inbox import Inbox
from pipeline.folder.output import FolderOutput
from pipeline.folder.query import connect
from pipeline.folder.watch import WatchedFolder
from pipeline.runs import FolderRun
from tests.conftest import daily_series
from tests.folder_contents import contents

WriteCsv = Callable[..., Path]


class Watch:
    """A watch with a clock of its own; `again` is what a new process would be."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root, self.out = root, root / "out"
        (root / "in").mkdir(exist_ok=True)
        self._settings = FolderRun((), self.out, ForecastSpec(**options), Limits(), (root / "in",))
        self.told: list[str] = []
        self.now = 0.0
        self.again()

    def again(self) -> None:
        self.watched = WatchedFolder(Inbox(self.root / "in", 1.0), self._settings, self._tell)

    def _tell(self, outcome: RunOutcome) -> None:
        self.told += [f"{receipt.status} {receipt.output}" for receipt in outcome.receipts]
        self.told += [f"{letter.code} {letter.output}" for letter in outcome.letters if letter.scope == "message"]

    def look(self) -> list[str]:
        """Let two seconds pass; return what was told since the last time."""
        self.watched.step(self.now)
        self.now += 2
        self.watched.step(self.now)
        self.now += 2
        told, self.told = self.told, []
        return told

    def note(self, name: str) -> str:
        path = self.out / f"{name}.problem.txt"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def watch(tmp_path: Path, naive_engine: None) -> Watch:
    return Watch(tmp_path)


def test_a_file_is_forecast_once(watch: Watch, write_csv: WriteCsv) -> None:
    path = write_csv("in/sub/a.csv")
    assert watch.look() == ["complete sub/a.csv"]
    assert (watch.out / "sub/a.csv").exists()
    assert watch.look() == []
    os.utime(path)  # the same content is the same file
    assert watch.look() == []
    watch.again()
    assert watch.look() == []


def test_it_lies_still_before_it_is_read(watch: Watch, write_csv: WriteCsv) -> None:
    path = write_csv("in/a.csv", daily_series(30))
    for days in range(31, 40):
        watch.watched.step(watch.now)
        path.write_text(daily_series(days))
        watch.now += 0.9
    assert watch.told == []
    assert watch.look() == ["complete a.csv"]
    rows = connect(watch.out).sql("SELECT MIN(forecast_timestamp)::DATE::TEXT FROM forecasts").fetchall()
    assert rows == [("2024-02-09",)]  # the day after all 39


def test_a_file_that_changes_while_it_is_read_leaves_no_trace(
    watch: Watch, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = write_csv("in/a.csv", daily_series(30)), process_request.load_file

    def load(*arguments: Any) -> Any:
        loaded = real(*arguments)
        with path.open("a") as file:
            file.write("2024-01-31,1\n")
        monkeypatch.undo()
        return loaded

    write_csv("in/b.csv")
    monkeypatch.setattr("pipeline.core.process_request.load_file", load)
    told = watch.look()
    assert "complete b.csv" in told
    assert not [line for line in told if line.startswith("failed")]
    assert "complete a.csv" in [*told, *watch.look()]
    assert connect(watch.out).sql("SELECT COUNT(*) FROM dead_letters").fetchall() == [(0,)]
    assert not [path for path in (watch.out / "_dropcast/work").rglob("*") if path.is_file()]


def test_a_bad_file_is_told_of_once_until_it_changes(watch: Watch, write_csv: WriteCsv) -> None:
    path = write_csv("in/bad.csv", "date,y\n2024-01-01,x\n")
    write_csv("in/good.csv")
    assert watch.look() == ["failed bad.csv", "complete good.csv"]
    assert "TOO_FEW_ROWS" in watch.note("bad.csv") or "BAD_NUMBER" in watch.note("bad.csv")
    watch.again()
    assert watch.look() == []
    path.write_text("date,y\n2024-01-01,??\n")
    assert watch.look() == ["failed bad.csv"]
    path.write_text(daily_series(30))
    assert watch.look() == ["complete bad.csv"]
    assert not watch.note("bad.csv")
    path.write_text("date,y\n")
    assert watch.look() == ["failed bad.csv"]
    assert watch.note("bad.csv")
    path.unlink()
    assert watch.look() == []
    assert not watch.note("bad.csv")
    assert (watch.out / "bad.csv").exists()  # the forecast of what it was


def test_a_note_that_a_kill_left_unwritten_is_written(watch: Watch, write_csv: WriteCsv) -> None:
    write_csv("in/bad.csv", "date,y\n")
    watch.look()
    (watch.out / "bad.csv.problem.txt").unlink()
    watch.again()
    assert watch.look() == []
    assert "NO_ROWS" in watch.note("bad.csv")


def test_the_current_content_wins(watch: Watch, write_csv: WriteCsv) -> None:
    path = write_csv("in/a.csv", daily_series(30))
    old = path.stat()
    watch.look()
    first = (watch.out / "a.csv").read_text()
    path.write_text(daily_series(60))
    assert watch.look() == ["complete a.csv"]
    path.write_text(daily_series(30))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert watch.look() == ["complete a.csv"]
    assert (watch.out / "a.csv").read_text() == first
    watch.again()
    assert watch.look() == []
    (watch.out / "a.csv").unlink()  # somebody took the forecast away
    watch.again()
    assert watch.look() == ["complete a.csv"]


def test_renamed_deleted_and_folders_in_the_way(watch: Watch, write_csv: WriteCsv) -> None:
    path = write_csv("in/.upload")
    assert watch.look() == []
    path.rename(path.with_name("a.csv"))
    assert watch.look() == ["complete a.csv"]
    path.with_name("a.csv").rename(path.with_name("b.csv"))
    assert watch.look() == ["complete b.csv"]
    shutil.rmtree(watch.root / "in")
    assert watch.look() == []
    write_csv("in/b.csv/c.csv")  # where a forecast lies
    write_csv("in/d.csv")
    assert watch.look() == ["failed b.csv/c.csv", "complete d.csv"]
    (watch.out / "b.csv").unlink()
    (watch.root / "in/b.csv/c.csv").touch()
    (watch.out / "e.csv").mkdir()
    write_csv("in/e.csv")
    assert watch.look() == ["failed e.csv"]


def test_a_manifest_says_how_its_csv_is_forecast(watch: Watch, write_csv: WriteCsv) -> None:
    manifest = write_csv("in/a.manifest.json", json.dumps({"input": "a.csv", "horizon": 3, "output": "mine.csv"}))
    assert watch.look() == ["failed mine.csv"]  # its CSV is not there yet
    assert "SOURCE_GONE" in watch.note("mine.csv")
    assert watch.look() == []
    path = write_csv("in/a.csv")
    assert watch.look() == ["complete mine.csv"]
    assert not watch.note("mine.csv")
    assert len((watch.out / "mine.csv").read_text().splitlines()) == 4
    path.write_text(daily_series(91))  # the CSV changes, the manifest does not
    assert watch.look() == ["complete mine.csv"]
    assert not (watch.out / "a.csv").exists()
    watch.again()
    assert watch.look() == []
    manifest.unlink()  # now the CSV stands for itself
    assert watch.look() == ["complete a.csv"]


def test_a_bad_manifest_and_two_for_one_output(watch: Watch, write_csv: WriteCsv) -> None:
    bad = write_csv("in/bad.manifest.json", "{")
    assert watch.look() == ["BAD_MANIFEST bad.manifest.json"]
    assert "BAD_MANIFEST" in watch.note("bad.manifest.json")
    watch.again()
    assert watch.look() == []
    write_csv("in/a.csv")
    write_csv("in/b.csv")
    write_csv("in/z.manifest.json", json.dumps({"input": "b.csv", "output": "a.csv"}))
    assert watch.look() == ["OUTPUT_TAKEN z.manifest.json", "complete a.csv"]
    watch.again()
    assert watch.look() == []
    bad.write_text(json.dumps({"input": "c.csv", "output": "c.csv"}))
    write_csv("in/c.csv")
    assert watch.look() == ["complete c.csv"]
    assert not watch.note("bad.manifest.json")


def test_nothing_that_is_dropped_ends_or_stops_the_watch(watch: Watch, write_csv: WriteCsv) -> None:
    inbox = watch.root / "in"
    os.mkfifo(inbox / "a.csv")
    os.mkfifo(inbox / "a.manifest.json")
    (inbox / "loop").symlink_to("loop")
    (inbox / "nowhere.csv").symlink_to("nowhere")
    write_csv(f"in/{'x' * 245}.csv", "date,y\n")
    write_csv(f"in/{'y' * 245}.csv")
    write_csv("in/z.csv", "date,y\n")
    (watch.out / "z.csv.problem.txt").mkdir(parents=True)
    write_csv("in/zz.csv")
    assert watch.look() == [f"failed {'x' * 245}.csv", f"complete {'y' * 245}.csv", "failed z.csv", "complete zz.csv"]
    found = watch.watched.step(watch.now)
    assert (found.unsettled, found.more) == ("", False)
    watch.again()
    assert watch.look() == []


def test_a_receipt_that_never_reached_the_disk_is_no_receipt(watch: Watch, write_csv: WriteCsv) -> None:
    write_csv("in/a.csv")
    watch.look()
    (receipt,) = (watch.out / "_dropcast/receipts").glob("*/*.parquet")
    receipt.write_bytes(b"")
    watch.again()
    assert watch.look() == ["complete a.csv"]


def test_rows_of_a_request_that_was_killed_and_is_gone_do_not_stay(watch: Watch, write_csv: WriteCsv) -> None:
    write_csv("in/a.csv")
    watch.look()
    (part,) = (watch.out / "_dropcast/forecasts").glob("*.parquet")
    shutil.copy(part, part.with_name(f"{'0' * 32}-000000.parquet"))
    FolderOutput(watch.out).clear_unfinished()
    assert [path.name for path in (watch.out / "_dropcast/forecasts").glob("*")] == [part.name]


def test_a_forecast_that_was_deleted_is_made_again(watch: Watch, write_csv: WriteCsv) -> None:
    write_csv("in/a.csv")
    watch.look()
    (watch.out / "a.csv").unlink()
    assert watch.look() == ["complete a.csv"]
    shutil.rmtree(watch.out)
    assert watch.look() == ["complete a.csv"]


def test_the_next_in_line_gets_the_output_when_the_first_goes(watch: Watch, write_csv: WriteCsv) -> None:
    for name in ("a", "b"):
        write_csv(f"in/{name}.csv")
        write_csv(f"in/{name}.manifest.json", json.dumps({"input": f"{name}.csv", "output": "o.csv"}))
    assert watch.look() == ["OUTPUT_TAKEN b.manifest.json", "complete o.csv"]
    assert watch.note("b.manifest.json")
    for path in (watch.root / "in").glob("a.*"):
        path.unlink()
    assert watch.look() == ["complete o.csv"]
    assert not watch.note("b.manifest.json")


def test_a_manifest_that_names_itself_or_another_is_refused_aloud(watch: Watch, write_csv: WriteCsv) -> None:
    write_csv("in/a.manifest.json", json.dumps({"input": "a.manifest.json"}))
    write_csv("in/b.manifest.json", json.dumps({"input": "c.csv"}))
    write_csv("in/c.csv")
    write_csv("in/d.manifest.json", json.dumps({"input": "b.manifest.json"}))
    told = watch.look()
    assert "complete c.csv" in told
    assert len([line for line in told if line.startswith("BAD_MANIFEST")]) == 2


def test_notes_go_when_what_they_complain_of_goes(watch: Watch, write_csv: WriteCsv) -> None:
    manifest = write_csv("in/a.manifest.json", json.dumps({"input": "absent.csv", "output": "one.csv"}))
    other = write_csv("in/b.manifest.json", json.dumps({"input": "absent.csv", "output": "two.csv"}))
    bad = write_csv("in/bad.csv", "date,y\n")
    watch.look()
    assert watch.note("one.csv")
    assert watch.note("two.csv")
    manifest.write_text(json.dumps({"input": "absent.csv", "output": "three.csv"}))
    other.unlink()
    watch.look()
    assert not watch.note("one.csv")
    assert not watch.note("two.csv")
    assert watch.note("three.csv")
    mine = watch.out / "mine.problem.txt"
    mine.write_text("my own words")
    bad.unlink()  # while nobody watches
    watch.again()
    watch.look()
    assert not watch.note("bad.csv")
    assert mine.exists()


def test_one_pass_does_so_much_and_no_more(watch: Watch, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.folder.watch.PASS_FILES", 2)
    for number in range(5):
        write_csv(f"in/{number}.csv")
    watch.watched.step(0)
    passes = [watch.watched.step(9 + number) for number in range(3)]
    assert [(one.done, one.more) for one in passes] == [(2, True), (2, True), (1, False)]


def test_how_long_it_sleeps_depends_on_how_long_looking_took(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.commands import watch as command

    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise KeyboardInterrupt

    looked = iter([0.0, 0.03, 9.0, 0.0])
    monkeypatch.setattr(command.time, "sleep", sleep)
    arguments = {"inbox": "in", "outbox": "out", "once": False}
    command._passes(lambda _: Pass(1, "", False, next(looked)), 0.5, arguments, command._Teller("out"))
    assert slept == [0.5, pytest.approx(3.0), 30.0, 0.5]


def test_a_full_disk_is_told_of_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.commands import watch as command

    slept: list[float] = []
    answers = iter([OSError(28, "No space left on device")] * 3 + [Pass(1, "", False, 0.0)])

    def step(now: float) -> Pass:
        answer = next(answers, None)
        if isinstance(answer, OSError):
            raise answer
        if answer is None:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(command.time, "sleep", slept.append)
    command._passes(step, 0.5, {"inbox": "in", "outbox": "out", "once": False}, command._Teller("out"))
    assert slept == [0.5, 1.0, 2.0, 0.5]
    assert capsys.readouterr().err.count("No space left on device. Fix this; dropcast retries") == 1
    once = {"inbox": "in", "outbox": "out", "once": True}
    answers = iter([OSError(28, "No space left on device")])
    assert command._passes(step, 0.5, once, command._Teller("out")) == 1


def test_two_watches_of_one_folder_do_not_disturb_each_other(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in/a.csv")
    first = start(tmp_path)
    assert first.stdout is not None
    assert b"Watching" in first.stdout.readline()
    second = start(tmp_path, "--once")
    assert second.communicate()[1].startswith(b"OUTBOX: another run of dropcast is writing to")
    assert second.returncode == 2
    first.send_signal(signal.SIGTERM)
    assert b"Stopped." in first.communicate()[0]
    assert first.returncode == 0


def start(root: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline.cli", "watch", str(root / "in"), str(root / "out"), "--settle=0", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_wrong_command_is_refused(tmp_path: Path) -> None:
    from pipeline.commands import watch

    (tmp_path / "in").mkdir()
    assert watch.main([]) == 2
    assert watch.main([str(tmp_path / "absent"), str(tmp_path / "out")]) == 2
    assert watch.main([str(tmp_path / "in"), str(tmp_path / "in/out")]) == 2
    assert watch.main([str(tmp_path / "in"), str(tmp_path)]) == 2
    assert watch.main([str(tmp_path / "in"), "gs://bucket/out"]) == 2
    assert watch.main([str(tmp_path / "in"), str(tmp_path / "out"), "--settle=soon"]) == 2
    assert watch.main([str(tmp_path / "in"), str(tmp_path / "out"), "--dataset=p.d"]) == 2
    assert not (tmp_path / "out").exists()


def test_once_ends_and_says_whether_all_is_forecast(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in/a.csv")
    assert start(tmp_path, "--once").wait() == 0
    write_csv("in/b.csv", "date,y\n")
    assert start(tmp_path, "--once").wait() == 3
    assert start(tmp_path, "--once").wait() == 0  # told of before


@pytest.mark.long
def test_killed_a_hundred_times_it_loses_nothing_and_does_nothing_twice(tmp_path: Path, write_csv: WriteCsv) -> None:
    """Files come, are written slowly, replaced and taken away while the watch is killed again and again."""
    chance, inbox, expected = random.Random(5), tmp_path / "in", {}
    stores = "store,date,y\n" + "".join(f"{s},2024-01-{d:02d},{s + d % 7}\n" for s in range(1100) for d in range(1, 15))
    told: list[str] = []
    for turn in range(100):
        process = start(tmp_path, "--every=0.05")
        name, days = f"{turn % 30:02d}.csv", chance.randint(10, 60)
        text = daily_series(days, seed=turn) if turn % 10 else stores.replace("2024", str(2000 + turn))
        if turn % 7 == 3:
            text = "date,y\n"
        (inbox / ".upload").parent.mkdir(exist_ok=True)
        (inbox / ".upload").write_text(text)
        (inbox / ".upload").rename(inbox / name)
        expected[name] = text
        try:
            process.wait(timeout=chance.uniform(0.2, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
        output, errors = process.communicate()
        assert not errors, errors
        told += [line[9:].split(" ->")[0] for line in output.decode().splitlines() if "complete" in line]
    assert len(told) <= 100  # what was dropped is forecast at most once
    assert start(tmp_path, "--once").wait() in (0, 3)  # 0: its bad files were told of before
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    shutil.copytree(inbox, undisturbed / "in")
    assert start(undisturbed, "--once").wait() == 3
    # of a file that is bad by now the forecast of what it was before stays, if it was made in time
    bad = {name for name, text in expected.items() if text == "date,y\n"}
    ours, theirs = (
        {name: text for name, text in contents_of_csvs(root / "out").items() if name not in bad}
        for root in (tmp_path, undisturbed)
    )
    assert ours == theirs
    assert all((tmp_path / f"out/{name}.problem.txt").exists() for name in bad)
    assert not [path for path in (tmp_path / "out/_dropcast/work").rglob("*") if path.is_file()]
    counts = []
    for root in (tmp_path, undisturbed):
        sql = "SELECT output, COUNT(*), COUNT(DISTINCT (series_id, step)) FROM latest_forecasts GROUP BY output"
        rows = {name: (count, different) for name, count, different in connect(root / "out").sql(sql).fetchall()}
        assert all(count == different for count, different in rows.values())
        counts.append({name: count for name, (count, _) in rows.items() if name not in bad})
    assert counts[0] == counts[1]
    assert start(tmp_path, "--once").communicate()[0] == b""


def contents_of_csvs(out: Path) -> dict[str, str]:
    return {name: text for name, text in contents(out).items() if not name.startswith("_dropcast")}


def test_the_forecast_of_a_parquet_file_in_the_inbox_is_a_csv(watch: Watch) -> None:
    table = pd.read_csv(io.StringIO(daily_series(30)), parse_dates=[0])
    table.to_parquet(watch.root / "in/a.parquet", index=False)
    assert watch.look() == ["complete a.parquet.csv"]
    assert len((watch.out / "a.parquet.csv").read_text().splitlines()) == 29
    assert watch.look() == []
