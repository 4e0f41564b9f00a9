"""A table in memory, read as a Parquet file is."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa


class ArrowTable:
    """A table with those parts of a ParquetFile by which its rows are read.

    Args:
        table: the rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self.schema_arrow = table.schema
        self._table = table

    def iter_batches(self, batch_size: int, columns: list[str] | None, use_threads: bool) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some columns, or of all, at most `batch_size` at a time."""
        del use_threads  # there is nothing to decode
        table = self._table if columns is None else self._table.select(columns)
        yield from table.to_batches(max_chunksize=batch_size)
