"""Rows that come in no order, from a table or a query: written to disk, sorted, and handed on as a Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.csv_reading.text_chunks import too_many_bytes, too_much_work
from pipeline.core.errors import RecordError
from pipeline.core.io_faults import io
from pipeline.core.limits import Limits
from pipeline.core.parquet_reading.cells import has_a_role

MEMORY = "1GB"  # of DuckDB; more goes to disk


class SortedRows:
    """The rows, as the bytes of a Parquet file.

    Args:
        path: the file.
        version: returns the version of what was read, once it has been read.
    """

    def __init__(self, path: Path, version: Callable[[], str]) -> None:
        self._file, self._version = path.open("rb"), version

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        return self._file.read(size)

    def restart(self) -> None:
        """Start again from the beginning."""
        self._file.seek(0)

    def version(self) -> str:
        """Return the version of what was read."""
        return self._version()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def sorted_rows(
    batches: Iterator[pa.RecordBatch], version: Callable[[], str], limits: Limits, scratch: Path
) -> Iterator[SortedRows]:
    """Give rows in an order of their own, whatever that in which they came.

    Columns that can have no role, such as arrays, are left out.

    Args:
        batches: the rows.
        version: see SortedRows.
        limits: of a file; max_bytes applies to the rows in memory, max_work_bytes to their file.
        scratch: an empty folder.

    Raises:
        RecordError: NO_ROWS, TOO_MANY_BYTES.
    """
    given, ordered = scratch / "rows.parquet", scratch / "sorted.parquet"
    _write(batches, given, limits)
    if not given.exists():
        raise RecordError("NO_ROWS", "The query has no rows.", "Check its conditions.")
    with io(), duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(scratch)}) as sorter:
        sorter.execute("SET threads = 1")
        sorter.execute("SET TimeZone = 'UTC'")
        sorter.execute(f"COPY (FROM read_parquet('{given}') ORDER BY ALL) TO '{ordered}' (FORMAT parquet)")
    given.unlink()
    source = SortedRows(ordered, version)
    try:
        yield source
    finally:
        source.close()


def _sortable(column: pa.Array) -> pa.Array:
    """Return a column as DuckDB can sort it without loss: it has no decimals of more than 38 digits."""
    return column.cast(pa.string()) if pa.types.is_decimal256(column.type) else column


def _write(batches: Iterator[pa.RecordBatch], path: Path, limits: Limits) -> None:
    total, writer = 0, None
    try:
        for batch in batches:
            kept = [at for at, one in enumerate(batch.schema) if has_a_role(one.type)]
            if not kept:
                raise RecordError("NO_DATE_COLUMN", "No column can be a date, a value or an id.", "Select others.")
            columns = [_sortable(batch.column(at)) for at in kept]
            part = pa.RecordBatch.from_arrays(columns, [batch.schema.names[at] for at in kept])
            total += part.nbytes
            if total > limits.max_bytes:
                raise too_many_bytes(limits)
            with io(OSError):
                writer = writer or pq.ParquetWriter(path, part.schema)
                writer.write_batch(part)
                if path.stat().st_size > limits.max_work_bytes:
                    raise too_much_work(limits)
    finally:
        if writer is not None:
            writer.close()
