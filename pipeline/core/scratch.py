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


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder, which is removed afterwards."""
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
