"""A large CSV cut into ranges of bytes, which several workers read at once.

Only an ordinary file is cut: UTF-8, uncompressed, with a start that explains its columns. Where a cut turns out to be
within quotes, or anything else is odd, the file is read as a whole after all: what its owner is told does not depend on
where it was cut.
"""

from __future__ import annotations

import codecs
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.core.csv_reading.reader import CsvReader
from pipeline.core.csv_reading.row_reader import UndecidedIdsError
from pipeline.core.csv_reading.text_chunks import (
    GZIP,
    LONGEST_ROW,
    READ_BYTES,
    likely_delimiter,
    range_chunks,
)
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.parquet_reading.local_copy import MAGIC
from pipeline.core.range_sizes import FEWEST_RANGES
from pipeline.core.series.range_state import RangeState
from pipeline.core.series.row_store import NEVER, BlockSizes, RowStore
from pipeline.core.sources import DividedSource

_ENCODINGS = ("utf-8", "utf-8-sig")
ONE_AT_A_TIME = threading.Lock()  # in a process: each needs memory for its rows


@dataclass(frozen=True)
class ByteRange:
    """A range of a file.

    Attributes:
        start, end: its bytes, up to but excluding `end`.
        mark: the delimiter that tells which quotes open a cell.
    """

    start: int
    end: int
    mark: str


def cut_into_ranges(source: DividedSource, spec: ForecastSpec, limits: Limits, range_bytes: int) -> list[ByteRange]:
    """Return the ranges of a file; none if it is not to be cut.

    Each begins behind a line end. Whether that ends a row is known once the range before it is read.

    Args:
        source: the file.
        spec: how to read it.
        limits: the operator's limits.
        range_bytes: of each range, about.
    """
    size = source.size()
    ordinary = spec.encoding in _ENCODINGS and not spec.skip_footer
    if not ordinary or not FEWEST_RANGES * range_bytes < size <= limits.max_bytes:
        return []
    start = source.part(0, READ_BYTES).read()
    if start.startswith((GZIP, MAGIC)):
        return []
    try:
        CsvReader.open(source.part(0, size), spec, limits)
    except (RecordError, UndecidedIdsError):
        return []
    mark = spec.delimiter or likely_delimiter(start.removeprefix(codecs.BOM_UTF8), spec.skip_rows)
    bounds = [0]
    for nominal in range(range_bytes, size, range_bytes):
        found = source.part(nominal - 1, min(nominal + LONGEST_ROW, size)).read().find(b"\n")
        if found < 0 and nominal + LONGEST_ROW < size:
            return []  # there is no such row
        if found < 0 or nominal + found == size:
            break
        if nominal + found > bounds[-1]:
            bounds.append(nominal + found)
    return [ByteRange(a, b, mark) for a, b in pairwise([*bounds, size])]


def read_range(
    source: DividedSource, own: ByteRange, spec: ForecastSpec, limits: Limits, rows_file: Path
) -> RangeState:
    """Read a range; write its rows to a file.

    Args:
        source: the file.
        own: the range.
        spec: how to read the file.
        limits: the operator's limits.
        rows_file: for the rows.

    Raises:
        RecordError: if anything is wrong with the range, or with the whole file.
        UndecidedIdsError: if only the whole file shows how to read it.
    """
    with ONE_AT_A_TIME:
        begun = time.perf_counter()
        part = source.part(own.start, own.end)
        if own.start == 0:
            reader = CsvReader.open(part, spec, limits)
        else:
            reader = CsvReader.open(source.part(0, source.size()), spec, limits)  # which knows the columns by the start
            reader.read_instead(range_chunks(part, own.mark))
        store = RowStore(rows_file.parent, len(reader.columns.extras), limits, BlockSizes.of(spec, 0), NEVER)
        with closing(reader.rows()) as every:
            for rows in every:
                store.add(rows)
        store.finish(len(reader.ids))
        kept, by_series = store.write_all(rows_file)
        seconds = time.perf_counter() - begun
        return RangeState.of(reader, store.counts, kept, by_series, (own.start, own.end), part.version(), seconds)
