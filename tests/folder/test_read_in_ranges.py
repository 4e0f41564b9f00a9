"""One large file on all processes of the command line."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pipeline.core.file_ranges import FileRange
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.process_ranges import Each, read_one
from pipeline.core.requests.local_files import InputFile
from pipeline.folder import run as folder_run
from pipeline.folder.output import FolderOutput
from pipeline.folder.run import forecast_files
from pipeline.runs import FolderRun
from tests.folder_contents import forecasts_and_notes

SERIES = 1200
DIED = "died"  # a file of a range whose reader has died once


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is read in some forty ranges."""
    rows = [f"s{s:04},2024-01-{d:02},{(s + d) % 7}.5\n" for s in range(SERIES) for d in range(1, 15)]
    random.Random(0).shuffle(rows)
    path = tmp_path / "many.csv"
    path.write_text("store,date,y\n" + "".join(rows) + "s0007,2024-02-01,oops\n")
    monkeypatch.setattr(folder_run, "LOCAL_RANGE_BYTES", 10_000)
    return path


def run_of(source: Path, output: Path) -> FolderRun:
    output.mkdir()
    return FolderRun((InputFile(str(source), source.name),), output, ForecastSpec(horizon=3), Limits(), ())


def read_or_die(own: FileRange, limits: Limits, output: FolderOutput) -> None:
    """Read a range; but every tenth ends its process, once."""
    died = output.root / f"{DIED}{own.part}"
    if own.part % 10 == 3 and not died.exists():
        died.touch()
        os._exit(1)
    read_one(own, limits, output)


def test_processes_read_ranges_and_the_forecasts_are_those_of_one_process(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: dict[str, int] = {}
    real = folder_run.load_in_ranges

    def noted(request: object, limits: object, output: object, size: int, each: Each) -> object:
        def each_dying(step: object, own: list[FileRange]) -> None:
            done[step.__name__] = len(own)  # type: ignore[attr-defined]
            each(read_or_die if step is read_one else step, own)  # type: ignore[arg-type]

        return real(request, limits, output, size, each_dying)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_run, "load_in_ranges", noted)
    for workers in (1, 4):
        outcome = forecast_files(run_of(source, tmp_path / f"{workers}"), workers)
        assert [(receipt.status, receipt.series) for receipt in outcome.receipts] == [("partial", SERIES)]
    assert done["read_one"] > 30
    assert done["sort_one"] == done["read_one"]
    for died in (tmp_path / "4").glob(f"{DIED}*"):
        died.unlink()
    expected = forecasts_and_notes(tmp_path / "1")
    assert forecasts_and_notes(tmp_path / "4") == expected
    assert expected["many.csv"].count(b"\n") == 1 + 3 * (SERIES - 1)
    assert not [path for path in (tmp_path / "3/_dropcast/work").rglob("*") if path.is_file()]
