"""Arrow list columns: one series per row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import Dates

TIMESTAMPS = pa.list_(pa.timestamp("us"))
NUMBERS = pa.list_(pa.float64())


def timestamps(dates: Dates) -> pa.Array:
    """Return dates as Arrow timestamps."""
    return pa.array(dates).view(pa.timestamp("us"))


def list_column(offsets: np.ndarray, flat: pa.Array) -> pa.ListArray:
    """Return a list column whose row i is flat[offsets[i]:offsets[i + 1]]."""
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat)


def timestamp_lists(parts: Sequence[Dates]) -> pa.ListArray:
    """Return dates as a list column of timestamps."""
    return list_column(_offsets(parts), timestamps(np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)))


def number_lists(parts: Sequence[Floats]) -> pa.ListArray:
    """Return numbers as a list column."""
    return list_column(_offsets(parts), pa.array(np.concatenate(parts) if parts else np.empty(0)))


def _offsets(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(part) for part in parts])])


def flat_list(batch: pa.RecordBatch, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a list column's numbers, timestamps as int64 microseconds, and the offsets of its rows."""
    column = batch.column(name)
    flat = column.values
    if pa.types.is_timestamp(flat.type):
        flat = flat.view(pa.int64())
    offsets = np.asarray(column.offsets).astype(np.int64)
    return np.asarray(flat)[offsets[0] : offsets[-1]], offsets - offsets[0]


def first_of_same_dates(ds: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return for each row whether its dates differ from those of the row before it, shape (n,).

    Args:
        ds: dates of all rows, one after the other, shape (N,).
        offsets: row i is ds[offsets[i]:offsets[i + 1]], shape (n + 1,).
    """
    lengths = np.diff(offsets)
    first = np.ones(len(lengths), dtype=np.bool_)
    first[1:] = lengths[1:] != lengths[:-1]
    for start, end in pairwise([*np.flatnonzero(first).tolist(), len(lengths)]):
        if end - start > 1:
            dates = ds[offsets[start] : offsets[end]].reshape(end - start, -1)
            first[start + 1 : end] = (dates[1:] != dates[:-1]).any(axis=1)
    return first


def lists_of(batch: pa.RecordBatch, name: str) -> list[np.ndarray]:
    """Return a list column as one NumPy array per row; timestamps as int64 microseconds."""
    numbers, offsets = flat_list(batch, name)
    return [numbers[start:end] for start, end in pairwise(offsets)]


def last_of_lists(batch: pa.RecordBatch, names: Sequence[str], count: int) -> dict[str, pa.ListArray]:
    """Return list columns of the same lengths with the last values of each row only, at most `count`."""
    offsets = np.asarray(batch.column(names[0]).offsets).astype(np.int64)
    lengths = np.minimum(np.diff(offsets), count)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    rows = pa.array(np.repeat(offsets[1:] - lengths - bounds[:-1], lengths) + np.arange(bounds[-1]))
    return {name: list_column(bounds, batch.column(name).values.take(rows)) for name in names}
