"""Folders for what is needed only while a process lives. What killed ones have left is removed by the next process."""

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


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Return an empty folder, which is removed afterwards."""
    with io(OSError):
        _sweep(os.getpid())
        folder, lock = _made()
    try:
        yield folder
    finally:
        _remove(folder, lock)


@cache
def process_folder(process: int) -> Path:
    """Return a folder that is removed when this process ends.

    Args:
        process: its number, so that one that was forked has its own.
    """
    _sweep(process)
    folder, lock = _made()
    atexit.register(_remove, folder, lock)
    return folder


def _made() -> tuple[Path, int]:
    """Return a new folder, and the lock by which others see that it is in use: whatever ends a process opens it."""
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
    """Remove, once for each process, the folders that nobody has locked."""
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
