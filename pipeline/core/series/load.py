"""From a CSV or a Parquet file to blocks of series."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Ints
from pipeline.core.csv_reading.columns import id_of_each_row
from pipeline.core.csv_reading.id_evidence import (
    MAX_EVIDENCE_IDS,
    MAX_EVIDENCE_ROWS,
    IdColumns,
    TextRows,
    ids_by_content,
    ids_too_many_to_tell,
)
from pipeline.core.csv_reading.reader import CsvReader
from pipeline.core.csv_reading.row_reader import RowReader, Rows, UndecidedIdsError
from pipeline.core.errors import RecordError, joined
from pipeline.core.faults.internal_error import InternalErrors
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.parquet_reading.local_copy import Remembering, parquet_copy
from pipeline.core.parquet_reading.reader import ParquetReader
from pipeline.core.plain_text import printable
from pipeline.core.series.batch import reference_batch, series_batch, too_many_rows
from pipeline.core.series.layout import Layout
from pipeline.core.series.row_store import BlockSizes, RowStore
from pipeline.core.sources import ByteSource
from pipeline.core.spec_limits import refuse_large_forecast

MAX_QUESTIONS = 8  # that one refusal asks
CENTURY_GAP_YEARS = 30  # between sorted two-digit years
FUTURE_YEARS = 10  # by which such a year may be later than the file


@dataclass
class LoadedFile:
    """A file that was read to its end, its rows gathered by series.

    Attributes:
        layout: of its forecast.
        ids: ids of each series, in order of first appearance.
        faults: faults of series, by number.
        rows: number of rows.
        date_column, value_columns: names of these columns.
        unused: columns that have no role.
    """

    spec: ForecastSpec
    limits: Limits
    layout: Layout
    ids: list[tuple[str, ...]]
    faults: dict[int, RecordError]
    rows: int
    date_column: str
    value_columns: tuple[str, ...]
    unused: tuple[str, ...]
    store: RowStore = field(repr=False)

    @property
    def parts(self) -> int:
        """Number of blocks."""
        return len(self.store.blocks())

    def batches(self, errors: InternalErrors = InternalErrors()) -> Iterator[pa.RecordBatch]:  # noqa: B008 - frozen
        """Yield the blocks, each a batch of core/series/batch.py.

        Args:
            errors: turns an unexpected exception into the error of a series.
        """
        for first, last, rows in self.store.read_all():
            yield series_batch(
                rows, self.ids[first:last], self.faults, first, self.layout, self.spec, self.limits, errors
            )

    def references(self) -> Iterator[tuple[str, int, int, pa.RecordBatch]]:
        """Yield, for a large file, each block's work file, range of series, and ids with known faults."""
        for first, last in self.store.blocks():
            yield (
                self.store.work_file(first).name,
                first,
                last,
                reference_batch(self.ids[first:last], self.faults, first),
            )


def _nothing() -> None:
    """Let the work go on."""


def load_file(
    file: ByteSource,
    spec: ForecastSpec,
    limits: Limits,
    work: Path,
    source_time: str = "",
    look: Callable[[], None] = _nothing,
) -> LoadedFile:
    """Read a CSV or a Parquet file to its end.

    Args:
        file: its bytes.
        spec: how to read it.
        limits: the operator's limits.
        work: folder for the work files of a large file.
        source_time: when the file was created, RFC 3339, if that is known.
        look: called now and then while it is read; may raise to end it.

    Raises:
        RecordError: if it cannot be read.
    """
    source = Remembering(file, look)
    with parquet_copy(source, limits) as copy:

        def opened(spec: ForecastSpec, limits: Limits, undecided: bool = False, on_wall: bool = False) -> RowReader:
            if copy is not None:
                return ParquetReader.open(copy, spec, limits, undecided, look)
            return CsvReader.open(source, spec, limits, undecided, on_wall)

        return _load_asking(source.restart, opened, spec, limits, work, source_time)


def load_table(
    table: pa.Table, spec: ForecastSpec, limits: Limits, work: Path, look: Callable[[], None] = _nothing
) -> LoadedFile:
    """Read a table in memory as if it were a Parquet file.

    Args:
        table: the rows.
        spec: how to read it.
        limits: the operator's limits.
        work: folder for the work files of a large table.
        look: called now and then while it is read; may raise to end it.

    Raises:
        RecordError: if it cannot be read.
    """

    def opened(spec: ForecastSpec, limits: Limits, undecided: bool = False, on_wall: bool = False) -> RowReader:
        return ParquetReader.open(table, spec, limits, undecided, look)

    return _load_asking(lambda: None, opened, spec, limits, work, "")


Opened = Callable[..., RowReader]


def _load_asking(
    restart: Callable[[], None], opened: Opened, spec: ForecastSpec, limits: Limits, work: Path, source_time: str
) -> LoadedFile:
    read_as, notes, on_wall = spec, [], False
    questions: list[RecordError] = []
    asked: list[str] = []
    while True:
        try:
            loaded = _load(opened, read_as, limits, work, source_time, on_wall)
        except _ReadOnWall:
            on_wall = True
        except _InZone as zone:
            read_as = read_as.model_copy(update={"timezone": zone.name})
            notes.append(f"dates were read on the clock of {zone.name}, the time zone of their type")
        except _OtherDialect as other:
            read_as = read_as.model_copy(update={"decimal": other.decimal, "thousands": other.thousands})
            notes.append(other.note)
        except UndecidedIdsError:
            restart()
            try:
                ids = _ids_of(opened, read_as, limits)
            except RecordError as error:
                read_as = _assuming(read_as, error, questions, asked)
            else:
                read_as = read_as.model_copy(update={"id_columns": ids.names})
                notes += [ids.note] if ids.note else []
        except RecordError as error:
            read_as = _assuming(read_as, error, questions, asked)
        else:
            if questions:
                raise joined(_with_first_fault(questions, loaded))
            loaded.spec, loaded.layout = spec, replace(loaded.layout, notes=(*loaded.layout.notes, *notes))
            return loaded
        restart()


def _with_first_fault(questions: list[RecordError], loaded: LoadedFile) -> list[RecordError]:
    """Return the questions and the first cell's error, which needs an option too; of two footers, the longer."""
    first = min(loaded.faults.values(), key=lambda fault: fault.line or 0, default=None)
    if first is None:
        return questions
    others = [
        known for known in questions if not ("skip_footer" in (known.assume or {}) and "--skip_footer" in first.hint)
    ]
    return [*others, first]


def _assuming(spec: ForecastSpec, error: RecordError, questions: list[RecordError], asked: list[str]) -> ForecastSpec:
    """Return options with which to read on, so that everything a file needs is asked at once.

    Args:
        spec: the options so far.
        error: the next question.
        questions: those so far; later ones may replace earlier ones.
        asked: the texts of all questions so far: a repeated one ends the loop.

    Raises:
        RecordError: with all questions so far, if there is no point in reading on.
    """
    asked.append(str(error))
    if error.assume is None or str(error) in asked[:-1] or len(asked) > MAX_QUESTIONS:
        raise joined(questions) if questions else error
    # a later answer includes an earlier one: of two footers, the longer
    questions[:] = [known for known in questions if not (known.assume or {}).keys() & error.assume.keys()]
    questions.append(error)
    return spec.model_copy(update=error.assume)


def _ids_of(opened: Opened, spec: ForecastSpec, limits: Limits) -> IdColumns:
    """Return which columns tell series apart, from all rows.

    Raises:
        RecordError: if the rows do not decide it.
    """
    most = min(limits.max_series, MAX_EVIDENCE_IDS)
    reader = opened(spec, limits.model_copy(update={"max_series": most}), undecided=True)
    parts: list[Rows] = []
    count = 0
    columns = reader.columns
    try:
        with closing(reader.rows()) as every:
            for rows in every:
                parts.append(rows)
                count += len(rows.codes)
                if count > MAX_EVIDENCE_ROWS:
                    raise ids_too_many_to_tell(columns, reader.header_line)
    except RecordError as error:
        if error.code in ("TOO_MANY_SERIES", "ID_TOO_LONG"):
            raise ids_too_many_to_tell(columns, reader.header_line) from None
        raise
    named = tuple(name for name in columns.ids if name not in columns.undecided)
    rows_of_text = TextRows(
        np.concatenate([rows.dates for rows in parts]),
        np.concatenate([rows.values for rows in parts]),
        np.concatenate([rows.lines for rows in parts]),
        np.concatenate([rows.codes for rows in parts]),
        reader.ids,
        named,
        columns.undecided,
    )
    return ids_by_content(rows_of_text, reader.header_line, adding_up=spec.aggregate is not None)


def _load(
    opened: Opened, spec: ForecastSpec, limits: Limits, work: Path, source_time: str, on_wall: bool
) -> LoadedFile:
    reader = opened(spec, limits, on_wall=on_wall)
    if isinstance(reader, ParquetReader) and reader.zone and spec.timezone is None:
        raise _InZone(reader.zone)
    sizes = BlockSizes.of(spec, len(reader.columns.extras))
    store = RowStore(work, len(reader.columns.extras), limits, sizes)
    try:
        return _loaded(reader, store, spec, limits, source_time, on_wall)
    except BaseException:
        store.give_up()  # before its folder is removed, or the file is read again
        raise


def _loaded(
    reader: RowReader, store: RowStore, spec: ForecastSpec, limits: Limits, source_time: str, on_wall: bool
) -> LoadedFile:
    with closing(reader.rows()) as every:  # closed at once, since the file may be read again
        for rows in every:
            store.add(rows)
    settle(reader, spec, limits, source_time, on_wall)
    store.finish(len(reader.ids))
    layout = layout_of(reader, store.counts, spec, limits, on_wall)
    columns = reader.columns
    return LoadedFile(
        spec,
        limits,
        layout,
        reader.ids,
        reader.faults,
        reader.row_count,
        columns.date,
        columns.values,
        columns.unused,
        store,
    )


class ReadOtherwiseError(Exception):
    """The file, read to its end, shows that it has to be read in another way."""


class _OtherDialect(ReadOtherwiseError):  # noqa: N818 - no error
    """The numbers of the file turned out to have other marks than assumed."""

    def __init__(self, decimal: str, thousands: str | None) -> None:
        super().__init__(decimal, thousands)
        self.decimal, self.thousands = decimal, thousands

    @property
    def note(self) -> str:
        """What the owner should know."""
        grouped = f", {self.thousands!r} between thousands" if self.thousands else ""
        return f"numbers were read with {self.decimal!r} as the decimal mark{grouped}"


class _InZone(ReadOtherwiseError):  # noqa: N818 - no error
    """The type of the dates names a time zone."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _ReadOnWall(ReadOtherwiseError):  # noqa: N818 - no error
    """The dates turned out to be whole days in a time zone with summer time: read them as local time."""


def settle(reader: RowReader, spec: ForecastSpec, limits: Limits, source_time: str, on_wall: bool = False) -> None:
    """Look whether a file, once all of it is read, was read as meant.

    Raises:
        RecordError: if not, or if it is too large.
        ReadOtherwiseError: if it has to be read once more.
    """
    if reader.dialect is not None:
        decimal, thousands = reader.dialect.settled()
        if (decimal, thousands) != (".", None):
            raise _OtherDialect(decimal, thousands)
    if spec.timezone is None and not on_wall and reader.offsets.are_days:
        raise _ReadOnWall
    _refuse_misread(reader, spec, limits, source_time)


def layout_of(reader: RowReader, counts: Ints, spec: ForecastSpec, limits: Limits, on_wall: bool = False) -> Layout:
    """Return the layout of a file's forecast; add the faults that only the numbers of rows show to the reader's.

    Args:
        reader: of the whole file.
        counts: rows of each series, shape (number of series,).
        spec: how it was read.
        limits: the operator's limits.
        on_wall: whether dates were read as local time.

    Raises:
        RecordError: if each row has its own id.
    """
    columns = reader.columns
    if spec.id_columns is None and columns.ids and len(counts) > 3 and counts.max() == 1:
        distinct = [len({ids[i] for ids in reader.ids}) for i in range(len(columns.ids))]
        most = columns.ids[distinct.index(max(distinct))]
        raise id_of_each_row(columns.ids, most, reader.header_line)
    for code in (counts > limits.max_rows).nonzero()[0].tolist():
        reader.faults[code] = too_many_rows(limits.max_rows)
    several_offsets = len(reader.offsets.minutes) > 1 and spec.timezone is None
    return Layout(
        reader.id_columns,
        columns.values[0],
        reader.final_style,
        columns.extras,
        tuple(_notes(reader, several_offsets, on_wall)),
        several_offsets and not on_wall,
        reader.csv_dialect,
    )


def _refuse_misread(reader: RowReader, spec: ForecastSpec, limits: Limits, source_time: str) -> None:
    """Refuse a file of which only the whole shows that it is too large or was not read as meant."""
    if not reader.ids:
        raise RecordError("NO_ROWS", "The file has a header but no row with a date below it.", "Add rows.")
    too_large = refuse_large_forecast(len(reader.ids), spec, limits)
    if too_large is not None:
        raise too_large
    _refuse_century_jump(reader, source_time)
    reader.refuse_dashes()
    reader.explain_rows_below()


def _notes(reader: RowReader, several_offsets: bool, on_wall: bool) -> list[str]:
    """Return what the owner should know about how the file was read.

    Args:
        reader: of the file, which is read to its end.
        several_offsets: whether its dates have several offsets from UTC and no time zone was named.
        on_wall: whether these were read as local time.
    """
    notes = []
    if reader.columns.unused:
        notes.append("columns not used: " + ", ".join(map(printable, reader.columns.unused)))
    if reader.lines_below_header:
        lines = "line" if reader.lines_below_header == 1 else f"{reader.lines_below_header} lines"
        notes.append(f"the {lines} below the header, without numbers or dates, did not count")
    if reader.missing:
        cells = "cell has" if reader.missing == 1 else "cells have"
        notes.append(f"{reader.missing:,} {cells} a word or mark that means a missing value")
    if reader.unseen_missing:
        notes.append(
            "no cell matches these --missing_values: " + ", ".join(sorted(map(printable, reader.unseen_missing)))
        )
    if several_offsets:
        notes.append(
            "dates have several UTC offsets: they were read as local time, and are written in UTC by the last offset; "
            "--timezone=Europe/Berlin, for example, would write them in that zone's local time"
            if on_wall
            else "dates have several UTC offsets: all were converted to UTC; --timezone=Europe/Berlin, for example, "
            "would forecast them in that zone's local time"
        )
    return notes


def _refuse_century_jump(reader: RowReader, source_time: str) -> None:
    """Raise if two-digit years were assigned to the wrong century."""
    years = sorted(reader.short_years)
    if not years:
        return
    gap = next(((a, b) for a, b in pairwise(years) if b - a >= CENTURY_GAP_YEARS), None)
    late = bool(source_time) and years[-1] > int(source_time[:4]) + FUTURE_YEARS
    if gap is None and not late:
        return
    why = f"with none from {gap[0] + 1} to {gap[1] - 1}" if gap else f"in a file of {source_time[:4]}"
    raise RecordError(
        "BAD_DATE_FORMAT",
        f"Two-digit years were read as {years[0]} to {years[-1]}, {why}: some belong to another century.",
        f"Write them with four digits, and use --date_format={reader.style.format.replace('%y', '%Y')!r}.",
        column=reader.columns.date,
    )


def resolve_reference(
    rows: Rows,
    first: int,
    reference: pa.RecordBatch,
    layout: Layout,
    spec: ForecastSpec,
    limits: Limits,
    errors: InternalErrors = InternalErrors(),  # noqa: B008 - frozen
) -> pa.RecordBatch:
    """Return the block of series for a reference.

    Args:
        rows: of the block, as read_work_file returns them.
        first: its first series.
        reference: the ids of its series, with known faults.
        layout: of the file's forecast.
        spec: how it was read.
        limits: the operator's limits.
        errors: turns an unexpected exception into the error of a series.
    """
    ids = [tuple(ids) for ids in reference.column("ids").to_pylist()]
    faults = {
        first + i: RecordError.from_json(text)
        for i, text in enumerate(reference.column("fault").to_pylist()) if text is not None
    }  # fmt: skip
    return series_batch(rows, ids, faults, first, layout, spec, limits, errors)
