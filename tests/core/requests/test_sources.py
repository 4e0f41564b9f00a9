from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core import scratch
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.requests.local_files import UNREAD, InputFile, list_inputs, request_for
from pipeline.core.requests.names import matching_files
from pipeline.core.sources import open_source
from pipeline.folder.inbox import Inbox
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]


def special_files(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "fifo.csv")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "socket.csv"))
    server.close()
    (folder / "folder.csv").mkdir()
    (folder / "device.csv").symlink_to("/dev/zero")
    return {name: folder / f"{name}.csv" for name in ("fifo", "socket", "device", "folder")}


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    for name, path in special_files(tmp_path).items():
        with pytest.raises(RecordError) as refused:
            open_source(path)
        assert refused.value.code == ("SOURCE_IS_DIRECTORY" if name == "folder" else "SOURCE_NOT_A_FILE")


def test_a_pattern_means_files_alone(tmp_path: Path, write_csv: WriteCsv) -> None:
    good = write_csv("in/a.csv")
    special_files(good.parent)
    (good.parent / "gone.csv").symlink_to("/nowhere")
    assert [path.name for path in matching_files(f"{good.parent}/*.csv")] == ["a.csv", "gone.csv"]


def test_a_special_file_that_is_named_is_a_request_that_fails(tmp_path: Path) -> None:
    for name, path in special_files(tmp_path).items():
        files, problems = list_inputs([str(path)], tmp_path / "out")
        if name == "folder":
            assert problems
            continue
        assert request_for(files[0], ForecastSpec(), [tmp_path]).version == UNREAD


@pytest.mark.parametrize("kind", ["csv", "manifest"])
def test_a_link_in_an_inbox_leads_no_further_than_the_allowed_folders(
    kind: str, tmp_path: Path, write_csv: WriteCsv
) -> None:
    suffix = ".csv" if kind == "csv" else ".manifest.json"
    secret = write_csv(f"secret/x{suffix}", daily_series() if kind == "csv" else '{"input": "a.csv"}')
    write_csv("in/a.csv")
    link = tmp_path / "in" / f"link{suffix}"
    link.symlink_to(secret)
    assert str(link) in Inbox(tmp_path / "in", 0).files()
    found = InputFile(str(link), f"link{suffix}")
    with pytest.raises(RecordError) as refused:
        request_for(found, ForecastSpec(), [tmp_path / "in"])
    assert refused.value.code == "PATH_NOT_ALLOWED"
    with pytest.raises(RecordError):
        request_for(found, ForecastSpec(), [])
    allowed = [tmp_path / "in", tmp_path / "secret"]
    assert request_for(found, ForecastSpec(), allowed)
    inside = tmp_path / "in" / f"inside{suffix}"
    inside.symlink_to(tmp_path / "in/a.csv" if kind == "csv" else write_csv(f"in/y{suffix}", '{"input": "a.csv"}'))
    assert request_for(InputFile(str(inside), "b"), ForecastSpec(), [tmp_path / "in"])
    files, _ = list_inputs([str(link)], tmp_path / "out")
    assert files[0].named
    assert request_for(files[0], ForecastSpec(), [tmp_path / "in"]), "who names a link means it"
    patterned, _ = list_inputs([f"{tmp_path}/in/link*"], tmp_path / "out")
    assert not patterned[0].named


def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os; from pipeline.core.scratch import scratch_folder\n"
        "with scratch_folder() as folder:\n (folder / 'x').touch(); os._exit(9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "x").exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch._sweep.cache_clear()
    with scratch.scratch_folder() as mine:
        assert list(tmp_path.iterdir()) == [mine]
        scratch._sweep.cache_clear()
        with scratch.scratch_folder() as other:
            assert {mine, other} == set(tmp_path.iterdir()), "what somebody uses is left alone"
            (other / "x").touch()
    assert list(tmp_path.iterdir()) == [mine], "what was used is removed, and what was not is kept for the next"
    with scratch.scratch_folder() as again:
        assert again == mine
        again.rmdir()
    with scratch.scratch_folder() as another:
        assert another.is_dir(), "what somebody has removed is not used again"
    monkeypatch.undo()
    code = "from pipeline.core.scratch import scratch_folder\nwith scratch_folder() as folder:\n assert folder.is_dir()"
    empty = tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(empty)}, check=True)
    assert list(empty.iterdir()) == [], "a process leaves none behind"
