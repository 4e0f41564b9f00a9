from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pipeline.folder.inbox import Inbox, State, state_of
from pipeline.folder.lookout import FoundFile, Lookout


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path, settle=2.0)


def settled(inbox: Inbox, path: Path, now: float) -> State | None:
    return inbox.settled(str(path), state_of(str(path)), now)


def test_a_file_is_settled_once_it_has_not_changed_for_a_while(inbox: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ds,y\n")
    assert settled(inbox, path, 10.0) is None  # however old it is: nobody has watched it
    assert settled(inbox, path, 11.9) is None
    with path.open("a") as file:
        file.write("2024-01-01,1\n")
    assert settled(inbox, path, 12.1) is None
    assert settled(inbox, path, 14.0) is None
    state = settled(inbox, path, 14.1)
    assert state is not None
    assert state.size == path.stat().st_size


@pytest.mark.parametrize("change", ["replace", "chmod", "touch"])
def test_what_does_not_change_the_size_counts_too(inbox: Inbox, tmp_path: Path, change: str) -> None:
    path, other = tmp_path / "a.csv", tmp_path / ".b"
    path.write_text("ds,y\n")
    other.write_text("ds,z\n")
    settled(inbox, path, 0)
    if change == "replace":
        stat = path.stat()
        os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        other.rename(path)
    elif change == "chmod":
        path.chmod(0o600 if path.stat().st_mode & 0o77 else 0o644)
    else:
        os.utime(path, ns=(1, 1))
    assert settled(inbox, path, 2.5) is None
    assert settled(inbox, path, 4.5) is not None


def test_a_file_that_turned_out_to_be_changing_settles_anew(inbox: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ds,y\n")
    settled(inbox, path, 0)
    assert settled(inbox, path, 2) is not None
    inbox.disturbed(str(path))
    assert settled(inbox, path, 3) is None


def test_which_files_are_looked_at(inbox: Inbox, tmp_path: Path) -> None:
    for name in (
        "b.csv",
        "sub/a.csv",
        ".hidden.csv",
        ".git/x.csv",
        "c.csv.part",
        "d.csv~",
        "_dropcast/e.csv",
        "[x].csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / os.fsdecode(b"not-utf8-\xff.csv")).write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "linked.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "absent")
    (tmp_path / "itself.csv").symlink_to("itself.csv")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    (tmp_path / "b.csv.problem.txt").write_text("")
    os.mkfifo(tmp_path / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.csv"))
    found = [os.path.relpath(path, tmp_path) for path in inbox.files()]
    assert found == ["[x].csv", "b.csv", "linked.csv", "sub/a.csv"]


def look(lookout: Lookout, now: float) -> dict[str, FoundFile]:
    return {found.file.output: found for found in lookout.look(now).files}


def test_a_manifest_waits_for_its_csv_to_lie_still(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "job.manifest.json").write_text('{"input": "sales.csv"}')
    csv, lookout = tmp_path / "sales.csv", Lookout(inbox)
    assert look(lookout, 0)["job.manifest.json"].unsettled
    absent = look(lookout, 2)["job.manifest.json"]
    assert (absent.unsettled, absent.source_is_absent) == (False, True)
    csv.write_text("ds,y\n")
    for now, size in ((3, 5), (4.9, 5), (5, 5)):
        (found,) = look(lookout, now).values()
        assert found.source == str(csv)
        assert (found.unsettled, found.source_is_absent) == (now < 5, now < 5)
        assert csv.stat().st_size == size
    lookout.disturbed(found)
    assert look(lookout, 6)["job.manifest.json"].unsettled
    assert not look(lookout, 8)["job.manifest.json"].unsettled
    with csv.open("a") as file:
        file.write("2024-01-01,1\n")
    assert look(lookout, 9)["job.manifest.json"].unsettled


def test_of_two_files_with_one_output_the_first_takes_it(inbox: Inbox, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("ds,y\n")
        (tmp_path / f"{name}.manifest.json").write_text(f'{{"input": "{name}.csv", "output": "same.csv"}}')
    (tmp_path / "other.csv").write_text("ds,y\n")
    seen = Lookout(inbox).look(0)
    assert {found.file.output: found.taker for found in seen.files} == {
        "a.manifest.json": "", "b.manifest.json": str(tmp_path / "a.manifest.json"), "other.csv": ""}  # fmt: skip
    assert seen.outputs == {"a.manifest.json", "b.manifest.json", "other.csv", "same.csv"}
    assert seen.of_interest == {str(path) for path in tmp_path.iterdir()}


def test_a_folder_that_is_gone_is_empty(tmp_path: Path) -> None:
    assert Inbox(tmp_path / "absent", 1).files() == {}
    assert settled(Inbox(tmp_path, 1), tmp_path / "absent.csv", 0) is None
