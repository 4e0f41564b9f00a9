"""What local requests read: files, and the rows of queries in .sql files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.io_faults import io
from pipeline.core.limits import Limits
from pipeline.core.requests.bigquery_sources import is_query
from pipeline.core.sources import HashingReader, Source, open_source


@contextmanager
def open_input(path: Path, limits: Limits) -> Iterator[Source]:
    """Open a local file for reading, or run the query that it has.

    Raises:
        RecordError: if it cannot be read.
    """
    if is_query(str(path)):
        from pipeline.folder.local_query import open_query  # imports DuckDB

        with open_query(path, limits) as rows:
            yield rows
        return
    with io(OSError):
        raw = open_source(path)
    with raw:
        yield HashingReader(raw)
