"""A folder that files are dropped into: which of them have settled and can be read whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.outputs.problem_note import SUFFIX
from pipeline.core.requests.names import INTERNAL

# Names that browsers, editors and copying tools give to unfinished files; and Dropcast's own notes.
_PASSED_OVER = (".tmp", ".part", ".partial", ".crdownload", ".download", ".swp", "~", SUFFIX)
_SYSTEM = frozenset({INTERNAL, "thumbs.db", "desktop.ini"})  # files that systems add to shared folders


@dataclass(frozen=True)
class State:
    """A file's metadata; if it differs, the file may have changed.

    Attributes:
        size: in bytes.
        modified: when its content changed, in ns.
        changed: when its content, name or permissions changed, in ns.
        inode: identifies the file: one renamed over another has its own.
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
        """Return the states of the files in the folder, by absolute path, sorted.

        Only regular files count: reading from anything else might never end. Hidden and unfinished files are skipped,
        and so are links to folders, which may lead back here.
        """
        return dict(sorted(_files(str(self.folder.absolute()))))

    def settled(self, path: str, state: State | None, now: float) -> State | None:
        """Return a file's state if it has not changed for a while, else None.

        The time is measured from when this state was first seen: clocks of file servers are unreliable.

        Args:
            path: of the file, which need not be in the folder.
            state: its current state.
            now: a time in seconds that never goes back.
        """
        known = self._since.get(path)
        if known is None or known[0] != state:
            self._since[path] = known = (state, now)
        return state if now - known[1] >= self._settle else None

    def disturbed(self, path: str) -> None:
        """Record that a file turned out to be changing, so that it has to settle again."""
        self._since.pop(path, None)

    def forget_all_but(self, paths: set[str]) -> None:
        """Forget files that are no longer of interest."""
        self._since = {path: known for path, known in self._since.items() if path in paths}


def state_of(path: str) -> State | None:
    """Return a file's state; None if it does not exist or cannot be looked at."""
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
        return  # removed meanwhile, or not accessible
    for entry in entries:
        if entry.name.startswith((".", "~$")) or entry.name.lower() in _SYSTEM:
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
                continue
            found = entry.stat()
        except OSError:  # a broken link, or a loop of links
            continue
        if stat.S_ISREG(found.st_mode) and not entry.name.endswith(_PASSED_OVER) and _is_utf8(entry.name):
            yield entry.path, _state(found)


def _is_utf8(name: str) -> bool:
    return name.isprintable() or not any("\ud800" <= mark <= "\udfff" for mark in name)
