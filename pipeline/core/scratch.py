"""Temporary folders that live as long as their process; leftovers of killed processes are removed by the next one."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pipeline.core.io_faults import io

_PREFIX = "dropcast-scratch-"
MOST_KEPT = 8  # empty folders


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder, which is removed afterwards."""
    with io(OSError):
        folder, lock = _taken(os.getpid())
    try:
        yield folder
    finally:
        _leave(folder, lock)


def _taken(process: int) -> tuple[Path, int]:
    """Return a folder that was left empty, or a new one, and its lock."""
    with contextlib.suppress(IndexError):
        return _left_empty(process, tempfile.gettempdir()).pop()
    _sweep(process)
    return _made()


def _leave(folder: Path, lock: int) -> None:
    """Keep an empty folder for whoever needs one next, since many write nothing; remove another."""
    empty = _left_empty(os.getpid(), str(folder.parent))
    try:
        with os.scandir(folder) as found:
            used = any(found)
    except OSError:  # it was moved or removed
        used = True
    if len(empty) < MOST_KEPT and not used:
        empty.append((folder, lock))
    else:
        _remove(folder, lock)


@cache
def _left_empty(process: int, place: str) -> list[tuple[Path, int]]:
    """Return the empty folders of a process in a place, which are removed when it ends."""
    folders: list[tuple[Path, int]] = []

    def remove() -> None:
        while folders:
            _remove(*folders.pop())

    atexit.register(remove)
    return folders


@cache
def process_folder(process: int) -> Path:
    """Return a folder that is removed when this process ends.

    Args:
        process: its id, so that a forked process gets its own folder.
    """
    _sweep(process)
    folder, lock = _made()
    atexit.register(_remove, folder, lock)
    return folder


def _made() -> tuple[Path, int]:
    """Return a new folder, and the lock that marks it as in use; the lock is released however the process ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # swept, just before it was locked
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.close(lock)


@cache
def _sweep(process: int) -> None:
    """Remove folders that nobody has locked, once per process."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # another user's, or gone
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # in use
            continue
        finally:
            os.close(lock)
