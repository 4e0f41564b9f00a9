"""What local requests read: files, and the rows of queries in .sql files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.io_faults import io
from pipeline.core.limits import Limits
from pipeline.core.requests.bigquery_sources import is_query
from pipeline.core.sources import HashingReader, Source, content_version, open_source


@contextmanager
def open_input(path: Path, limits: Limits) -> Iterator[Source]:
    """Open a local file for reading, or run the query that it has.

    Raises:
        RecordError: if it cannot be read.
    """
    if is_query(str(path)):
        from pipeline.core.local_inputs.query_rows import open_query  # imports DuckDB and sqlglot

        with open_query(path, limits) as rows:
            yield rows
        return
    with io(OSError):
        raw = open_source(path)
    with raw:
        yield HashingReader(raw)


def version_of(path: Path) -> str:
    """Return the version of what a local file has now: of a query, with the files that it reads.

    Raises:
        RecordError: if it cannot be read.
    """
    if is_query(str(path)):
        from pipeline.core.requests.local_queries import read_query  # imports sqlglot

        return read_query(path).version()
    return content_version(path)
