"""Runs the query of a local .sql file on DuckDB, which can reach nothing but the query's own files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.core.errors import RecordError, shorten
from pipeline.core.limits import Limits
from pipeline.core.parquet_reading.sorted_rows import MEMORY, SortedRows, sorted_rows
from pipeline.core.requests.bigquery_queries import bad_query
from pipeline.core.requests.local_queries import LocalQuery, read_query
from pipeline.core.scratch import scratch_folder

SECONDS = 600.0  # that a query may take
ROWS = 100_000  # of a batch
DOUBLE = '"'  # the quote of names


@contextmanager
def open_query(path: Path, limits: Limits) -> Iterator[SortedRows]:
    """Open the rows of a query.

    Args:
        path: the .sql file.
        limits: of a file.

    Raises:
        RecordError: BAD_QUERY, NO_ROWS, TOO_MANY_BYTES, or why one of the files cannot be read.
    """
    query = read_query(path)
    query.version()  # says what is wrong with a file better than DuckDB does
    with (
        scratch_folder() as scratch,
        sorted_rows(_rows(query, scratch), lambda: read_query(path).version(), limits, scratch) as rows,
    ):
        yield rows


def _rows(query: LocalQuery, scratch: Path) -> Iterator[pa.RecordBatch]:
    with duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(scratch / "spilled")}) as connection:
        connection.execute("SET threads = 1")
        connection.execute("SET TimeZone = 'UTC'")
        files = [str(path) for path in query.files.values()]
        try:
            for name, path in query.files.items():
                connection.execute(f"CREATE VIEW {_quoted(name, DOUBLE)} AS FROM read_parquet({_quoted(str(path))})")
            # from here on it reaches these files and no other, nor any network
            connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, files))}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            clock = threading.Timer(SECONDS, connection.interrupt)
            clock.start()
            try:
                yield from connection.sql(query.sql).to_arrow_reader(ROWS)
            finally:
                clock.cancel()
        except duckdb.InterruptException:
            raise bad_query(f"The query takes longer than {SECONDS:.0f} seconds.") from None
        except duckdb.OutOfMemoryException:
            raise RecordError("TOO_MANY_BYTES", "The query needs too much memory.", "Read or group less.") from None
        except duckdb.Error as error:
            raise bad_query(f"DuckDB refuses the query: {shorten(str(error), 300)}") from None


def _quoted(text: str, mark: str = "'") -> str:
    return f"{mark}{text.replace(mark, 2 * mark)}{mark}"
