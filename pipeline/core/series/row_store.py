"""Rows collected by series: in memory for a small file, in work files for a large one.

A work file holds the rows of BUCKET_SERIES consecutive series in order of first appearance. Memory use
is one buffer plus one block, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.arrays import with_room
from pipeline.core.csv_reading.row_reader import Rows
from pipeline.core.csv_reading.text_chunks import too_much_work
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.io_faults import does_io
from pipeline.core.limits import Limits
from pipeline.core.spec_limits import outputs_of

# Series in a block: enough to amortise its fixed cost, few enough to distribute the work, which takes microseconds per
# series with one engine, milliseconds with another, and a tenth of a second with stan.
BLOCK_SERIES = {"native": 512, "auto": 512, "stan": 64}
MAX_BLOCK_BYTES = 16 << 20  # of a block of series, and of its forecasts, as they travel
BUCKET_SERIES = 512  # so that most blocks are read from their work file in one go
NEVER = 1 << 62  # spill_bytes of a store that stays in memory whatever its size
SPILL_BYTES = 128 << 20  # rows of a larger file go to work files
_READ_RECORDS = 1 << 20


@dataclass(frozen=True)
class BlockSizes:
    """How large blocks may become, and how much a series adds to one.

    Attributes:
        series: most series in a block.
        row: encoded bytes of a row of the history.
        future: bytes of a series apart from its history: the dates to forecast, and extra columns on them.
        forecast: bytes of a series' forecast.
        most: maximum bytes of a block, and of its forecasts; a single series may have more.
    """

    series: int
    row: int
    future: int
    forecast: int
    most: int = MAX_BLOCK_BYTES

    @classmethod
    def of(cls, spec: ForecastSpec, extras: int) -> BlockSizes:
        """Return the sizes for a request's options and a number of extra columns."""
        outputs = outputs_of(spec)
        return cls(
            BLOCK_SERIES[spec.solver], 16 + 8 * extras, spec.horizon * (8 + 8 * extras), 8 * (spec.horizon + outputs)
        )


def block_bounds(counts: npt.NDArray[np.int64], sizes: BlockSizes, max_rows: int) -> list[tuple[int, int]]:
    """Return blocks as ranges of consecutive series, limited in number and in bytes of rows and forecasts.

    Args:
        counts: rows of each series.
        sizes: of blocks.
        max_rows: of a series that has more than so many, the others do not count.
    """
    most = min(sizes.series, max(sizes.most // sizes.forecast, 1))
    bounds, start, size = [], 0, 0
    for code, count in enumerate(np.minimum(counts, max_rows).tolist()):
        own = count * sizes.row + sizes.future
        full = code - start == most or size + own > sizes.most or code % BUCKET_SERIES == 0
        if code > start and full:
            bounds.append((start, code))
            start, size = code, 0
        size += own
    if len(counts) > start:
        bounds.append((start, len(counts)))
    return bounds


MOST_LINES = 2**32 - 1  # whose number a record has room for


def record_type_of(extras: int) -> np.dtype[np.void]:
    """Return the type of a row with a number of extra columns, as work files hold it."""
    fields = [("date", "<i8"), ("value", "<f8"), ("code", "<i4"), ("line", "<u4")]
    return np.dtype(fields + [(f"extra_{i}", "<f8") for i in range(extras)])


class RowStore:
    """Collects rows and returns them by series.

    Args:
        folder: for work files; created with the first one.
        extras: number of extra columns.
        limits: a series' rows beyond max_rows are only counted; max_work_bytes is the most on disk.
        sizes: of blocks.
        spill_bytes: size of the buffer; SPILL_BYTES by default.
    """

    def __init__(
        self, folder: Path, extras: int, limits: Limits, sizes: BlockSizes, spill_bytes: int | None = None
    ) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.spilled = False
        self._folder = folder
        self._limits, self._max_rows = limits, limits.max_rows
        self._sizes = sizes
        self._written = 0  # bytes of work files
        self._spill_bytes = SPILL_BYTES if spill_bytes is None else spill_bytes
        self._type = record_type_of(extras)
        self._buffer: list[Rows] = []
        self._buffered = 0  # bytes in memory
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._sorted = True  # whether the rows came sorted
        self._last = (-1, 0)  # series and date of the last row
        self._blocks: list[tuple[int, int]] | None = None  # once all rows are in; each block asks for their number

    def add(self, rows: Rows) -> None:
        """Add rows; a series' rows beyond the limit are counted and dropped."""
        if not len(rows.codes):
            return
        self.counts = with_room(self.counts, int(rows.codes.max()) + 1)
        np.add.at(self.counts, rows.codes, 1)  # however many series there are besides those of these rows
        within = self.counts[rows.codes] <= self._max_rows
        if not within.all():
            rows = rows.take(within)
            if not len(rows.codes):
                return
        self._sorted = self._sorted and (int(rows.codes[0]), int(rows.dates[0])) > self._last and _is_sorted(rows)
        self._last = (int(rows.codes[-1]), int(rows.dates[-1]))
        self._buffer.append(rows)
        self._buffered += len(rows.codes) * (4 + rows.extras.shape[1]) * 8
        # sorting the buffer takes several times its size, so later buffers are smaller
        if self._buffered > (self._spill_bytes // 4 if self.spilled else self._spill_bytes):
            self._spill()

    @does_io(OSError)
    def finish(self, series: int) -> None:
        """Declare that all rows are in, and how many series there are."""
        self.counts = with_room(self.counts, series)[:series]
        longest = min(int(self.counts.max(initial=0)), self._max_rows)
        if longest * self._sizes.row + self._sizes.future > self._sizes.most and self._spill_bytes != NEVER:
            self._spill()  # a series that is larger than a block travels by reference
        if self.spilled:
            self._spill()
            self._wait_until_written()
            if self._writer is not None:
                self._writer.shutdown()
            for code in range(0, series, BUCKET_SERIES):  # a series may have only faulty rows
                self.work_file(code).touch()

    def give_up(self) -> None:
        """Write no more: wait until what is being written is on disk, whether or not that succeeds."""
        if self._writer is not None:
            self._writer.shutdown()

    def blocks(self) -> list[tuple[int, int]]:
        """Return the blocks as ranges of consecutive series, once all rows are in."""
        if self._blocks is None:
            self._blocks = block_bounds(self.counts, self._sizes, self._max_rows)
        return self._blocks

    def read_all(self) -> Iterator[tuple[int, int, Rows]]:
        """Yield each block's range of series and its rows."""
        if self.spilled:
            for first, last in self.blocks():
                yield first, last, read_work_file(self.work_file(first), first, last, self._type)
            return
        if not self._sorted:
            self._buffer, self._sorted = [sorted_rows(concatenated(self._buffer, self._type))], True
        for first, last in self.blocks():
            yield first, last, self._rows_between(first, last)

    def _rows_between(self, first: int, last: int) -> Rows:
        """Return the rows of a range of series; the buffer is sorted."""
        found = []
        for rows in self._buffer:
            if rows.codes[0] < last and rows.codes[-1] >= first:
                start, end = np.searchsorted(rows.codes, (first, last))
                found.append(rows.take(slice(int(start), int(end))))
        return found[0] if len(found) == 1 else concatenated(found, self._type)

    @does_io(OSError)
    def write_all(self, path: Path) -> tuple[npt.NDArray[np.int64], bool]:
        """Write all rows that were kept, none of them spilled, to a file, in the order in which they came.

        Returns:
            How many there are of each series (of one with more than max_rows, any number up to that), and whether they
            came by series.
        """
        records = records_of(self._buffer, self._type)
        records.tofile(path)
        codes = records["code"]
        return np.bincount(codes, minlength=len(self.counts)), not (codes[1:] < codes[:-1]).any()

    def work_file(self, code: int) -> Path:
        """Return the work file that holds a series' rows."""
        return self._folder / f"rows-{code // BUCKET_SERIES:06d}.bin"

    @does_io(OSError)
    def _spill(self) -> None:
        if not self.spilled:
            self._folder.mkdir(parents=True, exist_ok=True)
            for stale in self._folder.glob("rows-*.bin"):
                stale.unlink()  # of a run that was killed
            self.spilled = True
        if not self._buffer:
            return
        self._written += sum(len(rows.codes) for rows in self._buffer) * self._type.itemsize
        if self._written > self._limits.max_work_bytes:
            raise too_much_work(self._limits)
        if int(self._buffer[-1].lines[-1]) > MOST_LINES:
            raise RecordError("TOO_MANY_BYTES", f"The file has more than {MOST_LINES:,} lines.", "Split the file.")
        self._wait_until_written()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, "spill")
        self._writing = self._writer.submit(self._write, self._buffer)
        self._buffer, self._buffered = [], 0

    def _wait_until_written(self) -> None:
        """Wait until what was spilled is on disk.

        Raises:
            OSError: if it cannot be written.
        """
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, parts: list[Rows]) -> None:
        """Append rows to the work files; called by one thread, while the next rows are read."""
        records = records_of(parts, self._type)
        parts.clear()
        records = sorted_by(records, records["code"] // BUCKET_SERIES)
        buckets = records["code"] // BUCKET_SERIES
        starts = np.concatenate([[0], np.flatnonzero(np.diff(buckets)) + 1])
        for start, end in pairwise([*starts.tolist(), len(records)]):
            with self.work_file(int(buckets[start]) * BUCKET_SERIES).open("ab") as file:
                records[start:end].tofile(file)


def sorted_by(records: npt.NDArray[np.void], keys: npt.NDArray[np.int32]) -> npt.NDArray[np.void]:
    """Return records sorted by keys from 0 on, those with equal ones in the order in which they came."""
    if not (keys[1:] < keys[:-1]).any():
        return records
    order = np.argsort(keys.astype(np.uint16) if keys.max() < 1 << 16 else keys, kind="stable")  # sorts bits of 16
    # as bytes: NumPy moves records field by field
    found: npt.NDArray[np.void] = records.view(f"V{records.itemsize}")[order].view(records.dtype)
    return found


@does_io(OSError)
def read_work_file(path: Path, first: int, last: int, record_type: np.dtype[np.void] | int) -> Rows:
    """Return the rows of a range of series from a work file, sorted by series, date and line.

    Args:
        path: the work file.
        first: the first series.
        last: after the last series.
        record_type: type of the records, or the number of extra columns.
    """
    kind = record_type_of(record_type) if isinstance(record_type, int) else record_type
    found = []
    with path.open("rb") as file:
        while len(records := np.fromfile(file, dtype=kind, count=_READ_RECORDS)):
            wanted = (records["code"] >= first) & (records["code"] < last)
            found.append(records if wanted.all() else records[wanted])
    return sorted_rows(rows_of(np.concatenate(found) if found else np.empty(0, dtype=kind)))


def records_of(parts: list[Rows], kind: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """Return rows as records."""
    records = np.empty(sum(len(rows.codes) for rows in parts), dtype=kind)
    start = 0
    for rows in parts:
        own = records[start : start + len(rows.codes)]
        own["code"], own["date"], own["value"], own["line"] = rows.codes, rows.dates, rows.values, rows.lines
        for i in range(rows.extras.shape[1]):
            own[f"extra_{i}"] = rows.extras[:, i]
        start += len(own)
    return records


def rows_of(records: npt.NDArray[np.void]) -> Rows:
    """Return records as rows."""
    names = [name for name in records.dtype.names or () if name.startswith("extra_")]
    extras = np.column_stack([records[name] for name in names]) if names else np.empty((len(records), 0))
    dates, values = (np.ascontiguousarray(records[name]) for name in ("date", "value"))
    return Rows(records["code"].astype(np.int64), dates, values, records["line"].astype(np.int64), extras)


def concatenated(parts: list[Rows], kind: np.dtype[np.void]) -> Rows:
    """Return all rows of several parts, whose records would have the given type."""
    if not parts:
        return rows_of(np.empty(0, dtype=kind))
    return Rows(*(np.concatenate([getattr(rows, field.name) for rows in parts]) for field in fields(Rows)))


def _is_sorted(rows: Rows) -> bool:
    """Return whether rows are sorted by series and date, without a date that occurs twice in a series."""
    codes, dates = rows.codes, rows.dates
    later = dates[1:] > dates[:-1]
    return bool(((codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & later)).all())


def sorted_rows(rows: Rows) -> Rows:
    """Return rows sorted by series, date and line."""
    if _is_sorted(rows):
        return rows
    keys = (rows.dates, rows.codes)  # rows mostly come in the order of their lines, which the sort keeps
    return rows.take(np.lexsort(keys if (np.diff(rows.lines) > 0).all() else (rows.lines, *keys)))
