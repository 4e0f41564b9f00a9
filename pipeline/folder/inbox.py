"""A folder that files are dropped into: which of them lie still, and can be read whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.outputs.problem_note import SUFFIX
from pipeline.core.requests.names import INTERNAL

# What browsers, editors and copying tools call a file that they have not finished; and what we write ourselves.
_PASSED_OVER = (".tmp", ".part", ".partial", ".crdownload", ".download", ".swp", "~", SUFFIX)
_SYSTEM = frozenset({INTERNAL, "thumbs.db", "desktop.ini"})  # what shared folders grow by themselves


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

    def files(self) -> dict[str, State]:
        """Return what the files there look like, by absolute path and sorted.

        Only regular files count: reading from anything else might never end. Hidden and unfinished ones are passed
        over, and links to folders, which may lead back here.
        """
        return dict(sorted(_files(str(self.folder.absolute()))))

    def settled(self, path: str, state: State | None, now: float) -> State | None:
        """Return a file's state if it has not changed for a while, else None.

        How long that is, is measured from when it was first seen so: clocks of file servers are not to be trusted.

        Args:
            path: of the file, which need not be in the folder.
            state: what it looks like.
            now: a time in seconds that never goes back.
        """
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
        return _state(Path(path).stat())
    except (OSError, ValueError):  # a name with a NUL in it is a ValueError
        return None


def _state(found: os.stat_result) -> State:
    return State(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _files(folder: str) -> Iterator[tuple[str, State]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # it went while we looked, or is not ours to look into
    for entry in entries:
        if entry.name.startswith((".", "~$")) or entry.name.lower() in _SYSTEM:
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
                continue
            found = entry.stat()
        except OSError:  # a link that leads nowhere, or round in a circle
            continue
        if stat.S_ISREG(found.st_mode) and not entry.name.endswith(_PASSED_OVER) and _is_utf8(entry.name):
            yield entry.path, _state(found)


def _is_utf8(name: str) -> bool:
    return name.isprintable() or not any("\ud800" <= mark <= "\udfff" for mark in name)
