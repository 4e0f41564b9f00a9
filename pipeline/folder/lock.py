"""One run at a time writes to an output folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.core.io_faults import io
from pipeline.core.requests.names import INTERNAL


class BusyError(Exception):
    """Another process writes to the same folder."""


@contextmanager
def lock(root: Path) -> Iterator[None]:
    """Keep others from writing to an output folder meanwhile; the lock ends with the process, even if it is killed.

    Raises:
        BusyError: if another process is writing there.
    """
    file = FileLock(root / INTERNAL / "lock", blocking=False)
    with io(OSError):
        (root / INTERNAL).mkdir(parents=True, exist_ok=True)
        try:
            file.acquire()
        except Timeout:
            raise BusyError(f"another run of dropcast is writing to {root}") from None
    try:
        yield
    finally:
        for empty in (root / INTERNAL / "work" / "markers", root / INTERNAL / "work"):
            with suppress(OSError):
                empty.rmdir()
        file.release()
