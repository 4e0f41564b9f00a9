"""Series of a file that was read in ranges: numbered over all of them, and where the rows of each block are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.arrays import Ints, with_room
from pipeline.core.csv_reading.numbering import IdNumbers
from pipeline.core.csv_reading.row_reader import RowReader
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.batch import reference_batch
from pipeline.core.series.layout import Layout
from pipeline.core.series.load import ReadOtherwiseError, layout_of, settle
from pipeline.core.series.range_state import RangeState
from pipeline.core.series.row_slices import RowSlice, rows_name, sorted_name
from pipeline.core.series.row_store import (
    MOST_LINES,
    BlockSizes,
    block_bounds,
    record_type_of,
    sorted_by,
)


@dataclass(frozen=True)
class NumberedFile:
    """A file that was read in ranges.

    Attributes:
        layout: of its forecast.
        ids: ids of each series, in order of first appearance.
        faults: faults of series, by number.
        bounds: the blocks, as ranges of series.
        lines: lines before each range.
        unsorted: the ranges whose rows have to be sorted by block, since their series come in another order than in the
            file.
        seconds: what reading all ranges took.
        versions: of the bytes of each range.
        kept: folder with the numbers of each range's series; they are too many for memory.
    """

    layout: Layout
    ids: list[tuple[str, ...]]
    faults: dict[int, RecordError]
    bounds: list[tuple[int, int]]
    lines: list[int]
    unsorted: list[int]
    seconds: float
    versions: list[str]
    kept: Path

    def places(self, number: int) -> npt.NDArray[np.int32]:
        """Return the number of each of a range's series in the whole file, and that of its block, shape (2, n)."""
        codes, _ = _kept(self.kept, number)
        return np.array([codes, self._block_of()[codes]], np.int32)

    def _block_of(self) -> Ints:
        """Return the block of each series."""
        return np.repeat(np.arange(len(self.bounds)), [last - first for first, last in self.bounds])

    def references(self) -> Iterator[tuple[int, int, pa.RecordBatch, tuple[RowSlice, ...]]]:
        """Yield each block's range of series, ids with known faults, and where its rows are."""
        block_of = self._block_of()
        work_files = []
        for number, line in enumerate(self.lines):
            codes, rows = _kept(self.kept, number)
            of_blocks = np.bincount(block_of[codes], weights=rows, minlength=len(self.bounds))
            places = [0, *np.cumsum(of_blocks).astype(np.int64).tolist()]  # of each block, and the end
            if number in self.unsorted:
                work_files.append((sorted_name(number), 0, line, places))
            elif len(codes):
                work_files.append((rows_name(number), int(codes[0]), line, places))
        for block, (first, last) in enumerate(self.bounds):
            slices = tuple(
                RowSlice(name, places[block], places[block + 1] - places[block], shift, line)
                for name, shift, line, places in work_files
                if places[block + 1] > places[block]
            )
            yield first, last, reference_batch(self.ids[first:last], self.faults, first), slices


def _kept(folder: Path, number: int) -> npt.NDArray[np.int32]:
    """Return the numbers of a range's series in the whole file, and how many rows each has in the range."""
    found: npt.NDArray[np.int32] = np.load(folder / f"{number}.npy", allow_pickle=False)
    return found


def numbered(
    states: Iterable[RangeState], reader: RowReader, spec: ForecastSpec, limits: Limits, source_time: str, folder: Path
) -> NumberedFile:
    """Number the series of a file that was read in ranges.

    Args:
        states: of all ranges, in their order; one at a time is used.
        reader: of the whole file, which has read no row; what the ranges found is added to it.
        spec: how the file was read.
        limits: the operator's limits.
        source_time: as for load_file.
        folder: an empty one, for the numbers.

    Raises:
        RecordError: if the whole shows that the file is too large, or was not read as meant.
        ReadOtherwiseError: if it has to be read once more.
    """
    numbers, lines, unsorted, versions = IdNumbers(), [0], [], []
    counts = np.zeros(0, np.int64)
    records, seconds = 0, 0.0
    for number, state in enumerate(states):
        codes = _codes_of(state, numbers, reader)
        if len(reader.ids) > limits.max_series:
            raise ReadOtherwiseError  # which refuses it
        state.add_to(reader, codes, lines[-1])
        lines.append(lines[-1] + state.lines)
        versions.append(state.version)
        counts = with_room(counts, len(reader.ids))
        counts[codes] += state.counts
        records, seconds = records + int(state.kept.sum()), seconds + state.seconds
        np.save(folder / f"{number}.npy", np.array([codes, state.kept], np.int32))
        if len(codes) and not (state.by_series and (codes == codes[0] + np.arange(len(codes))).all()):
            unsorted.append(number)
    settle(reader, spec, limits, source_time)
    counts, extras = counts[: len(reader.ids)], len(reader.columns.extras)
    if records * record_type_of(extras).itemsize > limits.max_work_bytes or lines[-1] > MOST_LINES:
        raise ReadOtherwiseError
    layout = layout_of(reader, counts, spec, limits)
    bounds = block_bounds(counts, BlockSizes.of(spec, extras), limits.max_rows)
    return NumberedFile(layout, reader.ids, reader.faults, bounds, lines[:-1], unsorted, seconds, versions, folder)


def _codes_of(state: RangeState, numbers: IdNumbers, reader: RowReader) -> Ints:
    """Return the number of each of a range's series in the whole file; list those that are new."""
    if not state.ids:  # the file is one series
        reader.ids += [()] * (len(state.counts) - len(reader.ids))
        return np.zeros(len(state.counts), np.int64)
    each = pa.array(np.arange(len(state.counts), dtype=np.int32))
    columns = [pa.DictionaryArray.from_arrays(each, texts) for texts in state.ids]
    codes, new = numbers.of_rows(columns, np.ones(len(each), np.bool_))
    reader.ids += zip(*(texts.take(pa.array(new)).to_pylist() for texts in state.ids), strict=True)
    return codes


def renumbered(records: npt.NDArray[np.void], places: npt.NDArray[np.int32]) -> npt.NDArray[np.void]:
    """Return a range's rows by their blocks, with the numbers that series have in the whole file.

    Args:
        records: the rows.
        places: as NumberedFile returns them for the range.
    """
    codes, blocks = places
    own = records["code"].copy()
    records["code"] = codes[own]
    return sorted_by(records, blocks[own])
