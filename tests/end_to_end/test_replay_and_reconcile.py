"""dropcast reconcile and replay on folders; on buckets they are tested in tests/cloud."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.folder.query import connect
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("naive_engine")


class Folders:
    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.out, self._capsys = root, root / "out", capsys

    def __call__(self, command: str, *options: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed."""
        given = [f"--input={self.root}/in/**/*"] if command == "reconcile" else []
        code = cli.main([command, *given, f"--output={self.out}", *options])
        captured = self._capsys.readouterr()
        return code, captured.out + captured.err

    def receipts(self) -> dict[str, tuple[str, int]]:
        rows = connect(self.out).sql("SELECT output, status, attempt FROM latest_receipts").fetchall()
        return {output: (status, attempt) for output, status, attempt in rows}


@pytest.fixture
def folders(tmp_path: Path, capsys: pytest.CaptureFixture[str], write_csv: WriteCsv) -> Folders:
    write_csv("in/a.csv")
    assert cli.main(["forecast", str(tmp_path / "in/a.csv"), f"--output={tmp_path}/out", "--quiet"]) == 0
    return Folders(tmp_path, capsys)


def test_reconcile_does_what_has_no_receipt(folders: Folders, write_csv: WriteCsv) -> None:
    assert folders("reconcile") == (0, "0 requests made.\n")
    write_csv("in/sub/b.csv")
    write_csv("in/bad.csv", "date,y\n")
    code, told = folders("reconcile", "--dry_run")
    assert (code, told.count("would request"), "2 requests would be made." in told) == (0, 2, True)
    code, told = folders("reconcile")
    assert (code, "2 requests made." in told) == (3, True)
    assert folders.receipts() == {"a.csv": ("complete", 0), "sub/b.csv": ("complete", 0), "bad.csv": ("failed", 0)}
    assert (folders.out / "sub/b.csv").exists()
    assert folders("reconcile") == (0, "0 requests made.\n")
    write_csv("in/a.csv", daily_series(91))  # another version
    assert "1 requests made." in folders("reconcile")[1]
    assert "0 requests" in folders("reconcile", "--since=2999-01-01", "--again=x")[1]


def test_again_does_what_is_done_once_for_each_label(folders: Folders) -> None:
    assert "1 requests made." in folders("reconcile", "--again=new-year")[1]
    assert folders.receipts() == {"a.csv": ("complete", 1)}
    assert "0 requests made." in folders("reconcile", "--again=new-year")[1]
    assert "1 requests made." in folders("reconcile", "--again=easter")[1]
    assert folders.receipts() == {"a.csv": ("complete", 2)}


def test_a_manifest_that_is_fixed_is_taken_up(folders: Folders, write_csv: WriteCsv) -> None:
    manifest = write_csv("in/m.manifest.json", json.dumps({"input": "../other/b.csv"}))
    write_csv("other/b.csv")
    assert "PATH_NOT_ALLOWED" in folders("reconcile")[1]
    assert folders.receipts() == {"a.csv": ("complete", 0)}
    code, told = folders("reconcile", f"--allow={folders.root}/other")
    assert (code, "1 requests made." in told) == (0, True)
    manifest.write_text("{")
    folders("forecast", str(manifest))
    code, told = folders("replay")
    assert (code, "fix it" in told, "0 requests and 0 messages replayed." in told) == (0, True, True)
    manifest.write_text(json.dumps({"input": "a.csv", "output": "mine.csv"}))
    assert "1 requests made." in folders("reconcile")[1]
    assert connect(folders.out).sql("SELECT COUNT(*) FROM dead_letters").fetchall() == [(0,)]


def test_replay_tries_once_more_what_may_work_by_now(folders: Folders, write_csv: WriteCsv) -> None:
    bad, many = write_csv("in/bad.csv", "date,y\n"), write_csv("in/many.csv")
    assert folders("forecast", str(bad), str(many), "--max_rows=50")[0] == 3
    assert folders.receipts() == {"a.csv": ("complete", 0), "bad.csv": ("failed", 0), "many.csv": ("failed", 0)}
    code, told = folders("replay", "--code=TOO_MANY_ROWS", "--dry_run")
    assert (code, told.count("would request")) == (0, 1)
    code, told = folders("replay", "--code=TOO_MANY_ROWS")
    assert (code, "1 requests and 0 messages replayed." in told) == (0, True)
    assert folders.receipts()["many.csv"] == ("complete", 1)
    assert (folders.out / "many.csv").exists()
    assert "0 requests" in folders("replay", "--code=TOO_MANY_ROWS")[1]
    code, told = folders("replay")
    assert (code, "1 requests and 0 messages replayed." in told) == (3, True)  # it is as bad as before
    assert folders.receipts()["bad.csv"] == ("failed", 1)
    bad.write_text(daily_series())
    assert "outdated: the file has changed since" in folders("replay", "--prefix=" + str(bad))[1]
    bad.unlink()
    assert "still missing" in folders("replay")[1]


def test_what_was_fixed_by_other_options_is_left_alone(folders: Folders, write_csv: WriteCsv) -> None:
    rows = "".join(f"2024-01-{d:02d},2024-02-{d:02d},{d}\n" for d in range(1, 29))
    path = write_csv("in/orders.csv", "ordered,delivered,amount\n" + rows)
    assert folders("forecast", str(path))[0] == 3
    assert folders("forecast", str(path), "--date_column=ordered")[0] == 0
    code, told = folders("replay")
    assert (code, "fixed since" in told, "0 requests" in told) == (0, True, True)
    assert folders.receipts()["orders.csv"][0] == "complete"


def test_a_forecast_of_another_file_is_not_overwritten(folders: Folders, write_csv: WriteCsv) -> None:
    other = write_csv("elsewhere/a.csv", daily_series(50))
    code, told = folders("forecast", str(other))
    assert (code, "OUTPUT_TAKEN" in told, f"{folders.root}/in/a.csv" in told) == (3, True, True)
    (folders.root / "in/a.csv").unlink()  # nobody's any more
    assert folders("forecast", str(other))[0] == 0


def test_a_wrong_command_is_refused(folders: Folders, tmp_path: Path) -> None:
    assert folders("reconcile", "--input=gs://in/")[0] == 2
    assert folders("reconcile", f"--input={tmp_path}/absent*")[0] == 2
    assert "works only with buckets" in folders("replay", "--topic=projects/p/topics/t")[1]
    assert "nothing was forecast into" in folders("replay", f"--output={tmp_path}/nowhere")[1]
    assert not (tmp_path / "nowhere").exists()
