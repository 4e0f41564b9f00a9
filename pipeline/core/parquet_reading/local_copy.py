"""Tells Parquet files from others by their first bytes, and copies them to disk: they are read from their end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from pipeline.core.csv_reading.text_chunks import READ_BYTES, too_many_bytes, too_much_work
from pipeline.core.io_faults import io
from pipeline.core.limits import Limits
from pipeline.core.sources import ByteSource, restart

MAGIC = b"PAR1"


class Remembering:
    """A source whose first bytes have been looked at, and are read again.

    Args:
        source: at its beginning.
        look: called before each read; may raise to end it.
    """

    def __init__(self, source: ByteSource, look: Callable[[], None] = lambda: None) -> None:
        self._source, self._look = source, look
        self._start = b""
        while len(self._start) < len(MAGIC) and (more := source.read(len(MAGIC) - len(self._start))):
            self._start += more
        self.is_parquet = self._start == MAGIC

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""
        self._look()
        if self._start and size:
            wanted = len(self._start) if size < 0 else min(size, len(self._start))
            start, self._start = self._start[:wanted], self._start[wanted:]
            return start + self._source.read(-1 if size < 0 else size - wanted)
        return self._source.read(size)

    def restart(self) -> None:
        """Start again from the beginning; a Parquet file is read once only, into its copy."""
        if not self.is_parquet:
            self._start = b""
            restart(self._source)


@contextmanager
def parquet_copy(source: Remembering, limits: Limits) -> Iterator[IO[bytes] | None]:
    """Give a copy of a Parquet file that can be read at any place; None if it is another kind of file.

    Raises:
        RecordError: TOO_MANY_BYTES.
    """
    if not source.is_parquet:
        yield None
        return
    with io(OSError):
        copy = tempfile.TemporaryFile(prefix="dropcast-")  # noqa: SIM115 - closed below
    with copy:
        size = 0
        while data := source.read(READ_BYTES):
            size += len(data)
            if size > min(limits.max_bytes, limits.max_work_bytes):
                raise too_many_bytes(limits) if size > limits.max_bytes else too_much_work(limits)
            with io(OSError):
                copy.write(data)
        yield copy
