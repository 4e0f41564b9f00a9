"""Where the rows of a block are, if its file was read in ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pipeline.core.csv_reading.row_reader import Rows
from pipeline.core.series.row_store import concatenated, record_type_of, rows_of, sorted_rows


class RowSlice(NamedTuple):
    """Consecutive rows of a block in the work file of one range.

    Attributes:
        name: of the work file.
        first: the first row.
        rows: how many.
        shift: what to add to the numbers of their series.
        line: what to add to the numbers of their lines.
    """

    name: str
    first: int
    rows: int
    shift: int
    line: int


def part_of(rows: RowSlice, extras: int) -> tuple[str, int, int]:
    """Return the name of the work file that has some rows, their first byte in it, and how many bytes they have.

    Args:
        rows: the rows.
        extras: number of extra columns.
    """
    size = record_type_of(extras).itemsize
    return rows.name, rows.first * size, rows.rows * size


def rows_of_slices(slices: Sequence[RowSlice], contents: Sequence[bytes], extras: int) -> Rows:
    """Return the rows of a block, sorted by series, date and line.

    Args:
        slices: where they are.
        contents: the bytes of each slice.
        extras: number of extra columns.

    Raises:
        ValueError: if a slice has not all of its rows.
    """
    kind, found = record_type_of(extras), []
    for place, content in zip(slices, contents, strict=True):
        if len(content) != place.rows * kind.itemsize:
            raise ValueError(f"{place.name} has {len(content)} bytes of {place.rows} rows")
        rows = rows_of(np.frombuffer(content, kind))
        found.append(replace(rows, codes=rows.codes + place.shift, lines=rows.lines + place.line))
    return sorted_rows(concatenated(found, kind))


OF_RANGES = "range-"  # how the names of such work files begin


def rows_name(number: int) -> str:
    """Return the name of the work file with a range's rows as they came, and the range's own numbers of series."""
    return f"{OF_RANGES}{number:06d}.rows"


def sorted_name(number: int) -> str:
    """Return the name of the work file with a range's rows by their blocks, and series' numbers in the whole file."""
    return f"{OF_RANGES}{number:06d}.sorted"
