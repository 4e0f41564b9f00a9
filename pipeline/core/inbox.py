"""A folder that files are dropped into: which of them lie still, and can be read whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.naming import INTERNAL

# What browsers, editors and copying tools call a file that they have not finished.
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".download", ".swp", "~")


@dataclass(frozen=True)
class State:
    """What a file looks like from outside; when it differs, the file may be another.

    Attributes:
        size: in bytes.
        modified: when its content changed, in ns.
        changed: when its content, name or permissions changed, in ns.
        inode: which file it is: one that is renamed into another's place has its own.
    """

    size: int
    modified: int
    changed: int
    inode: int


class Inbox:
    """Looks at a folder again and again.

    Args:
        folder: what to look at, folders in it included.
        settle: for how many seconds a file must not have changed.
    """

    def __init__(self, folder: Path, settle: float) -> None:
        self.folder = folder
        self._settle = settle
        self._since: dict[str, tuple[State | None, float]] = {}

    def paths(self) -> list[str]:
        """Return the absolute paths of the files there, sorted; hidden and unfinished ones are passed over."""
        return sorted(_files(str(self.folder.absolute())))

    def settled(self, path: str, now: float) -> State | None:
        """Look at a file; return its state if it has not changed for a while, else None.

        How long that is, is measured from when it was first seen so: clocks of file servers are not to be trusted.

        Args:
            path: of the file, which need not be in the folder.
            now: a time in seconds that never goes back.
        """
        state = state_of(path)
        known = self._since.get(path)
        if known is None or known[0] != state:
            self._since[path] = known = (state, now)
        return state if now - known[1] >= self._settle else None

    def disturbed(self, path: str) -> None:
        """Note that a file turned out to be changing: it has to lie still anew."""
        self._since.pop(path, None)

    def forget_all_but(self, paths: set[str]) -> None:
        """Forget files that are no longer of interest."""
        self._since = {path: known for path, known in self._since.items() if path in paths}


def state_of(path: str) -> State | None:
    """Return a file's state; None if there is none, or it cannot even be looked at."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):  # a name with a NUL in it is a ValueError
        return None
    return State(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _files(folder: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # it went while we looked, or is not ours to look into
    for entry in entries:
        if entry.name.startswith(".") or entry.name == INTERNAL:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif not (entry.is_dir() or entry.name.endswith(_UNFINISHED)) and _is_utf8(entry.name):
            yield entry.path  # a link to a folder is not followed: it may lead back here


def _is_utf8(name: str) -> bool:
    return name.isprintable() or not any("\ud800" <= mark <= "\udfff" for mark in name)
