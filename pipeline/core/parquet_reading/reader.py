"""Reads a Parquet file by the rules for a CSV, with the types that its columns have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.arrays import Floats, Ints
from pipeline.core.csv_reading.columns import choose_columns, is_named_like_an_id
from pipeline.core.csv_reading.header import SAMPLE_ROWS, column_names
from pipeline.core.csv_reading.number_dialect import DialectEvidence
from pipeline.core.csv_reading.numbers import numbers_among
from pipeline.core.csv_reading.row_reader import RowReader, UndecidedIdsError, whole_column
from pipeline.core.csv_reading.text_chunks import LONGEST_ROW, too_many_bytes
from pipeline.core.dates.calendars import DAY, SECOND
from pipeline.core.dates.date_style import DateStyle
from pipeline.core.dates.recognise_dates import recognise_dates
from pipeline.core.errors import RecordError, shorten
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.parquet_reading.arrow_table import ArrowTable
from pipeline.core.parquet_reading.cells import (
    as_dates,
    as_numbers,
    as_text,
    bytes_of_rows,
    has_a_role,
    has_nul,
    is_date,
    is_number,
    is_text,
    zone_of,
)

BATCH_ROWS = 1 << 16
MOST_COLUMNS = 100_000
BATCH_BYTES = 64 << 20  # of decoded cells at a time
SMALL_ROWS = 1024  # that are decoded before it is known how long their cells are
MILLISECOND = 1000  # microseconds
BEYOND = "a date beyond the years 1 to 9999"
FIRST_LINE = 2  # rows have the lines that they would have in a CSV, below its header
HEADER_LINE = 1


@dataclass
class ParquetReader(RowReader):
    """Reads one Parquet file.

    Attributes:
        zone: the time zone of the dates, "" if they have none or are in UTC.
        offset: the offset from UTC of the dates, in minutes; None if they have none.
    """

    zone: str = ""
    offset: int | None = None
    _table: _Table | None = None
    _dates: pa.Array | None = None  # of the table that is read, as they are in the file

    @classmethod
    def open(
        cls,
        file: IO[bytes] | pa.Table,
        spec: ForecastSpec,
        limits: Limits,
        undecided: bool = False,
        look: Callable[[], None] = lambda: None,
    ) -> ParquetReader:
        """Read the schema and a sample, and decide the roles of the columns.

        Args:
            file: the Parquet file, or a table like one.
            spec: how to read it; options for text, such as delimiter, do not count.
            limits: the operator's limits.
            undecided: treat columns that may be ids as ids.
            look: called between pieces of work; may raise to end it.

        Raises:
            RecordError: if the file is not such a table.
            UndecidedIdsError: if there are columns that may be ids, and `undecided` is false.
        """
        source = ArrowTable(file) if isinstance(file, pa.Table) else _opened(file, limits)
        table = _Table(source, spec, look)
        first = next(table.batches([*table.positions], SAMPLE_ROWS, limits, sample=True), None)
        if first is None:
            raise RecordError("NO_ROWS", "The file has no rows.", "Check the export.")
        sample = {}
        for name in table.positions:
            try:
                cells = as_text(first.column(name)).to_pylist()
            except pa.ArrowInvalid:  # bytes that are no text
                cells = ["\0"]
            if any("\0" in cell for cell in cells):
                table.unreadable.append(name)
            else:
                sample[name] = cells
        table.refuse_if_needed(spec)
        columns = choose_columns([*sample], sample, spec, HEADER_LINE, frozenset())
        columns = replace(columns, unused=(*columns.unused, *table.unreadable))
        if undecided:
            columns = columns.with_undecided_ids
        elif columns.undecided or columns.numbering:
            raise UndecidedIdsError
        written = sample[columns.date]
        if columns.time:
            written = [f"{date} {time}".strip() for date, time in zip(written, sample[columns.time], strict=True)]
        kind = first.schema.field(columns.date).type
        typed = is_date(kind) and not columns.time
        reader = cls(
            spec, limits, columns, DateStyle("date") if typed else recognise_dates(
                written, columns.date, FIRST_LINE, spec.date_format)
        )  # fmt: skip
        reader._table, reader.unseen_missing = table, set(spec.missing_values)
        reader.dialect = DialectEvidence() if spec.decimal is None and spec.thousands is None else None
        if typed:
            reader._take_type(kind)
        return reader

    def _take_type(self, kind: pa.DataType) -> None:
        """Set the style and the offset of dates that have a type of their own, of which all are looked at."""
        if getattr(kind, "tz", None):
            try:
                self.zone, self.offset = zone_of(kind)
            except ValueError as error:
                if self.spec.timezone is None:
                    raise RecordError(
                        "BAD_DATE_FORMAT", f"The type of the dates names the time zone {error}, which is not known.",
                        "Use --timezone to say which one it is, such as --timezone=Europe/Berlin.",
                        column=self.columns.date,
                    ) from None  # fmt: skip
                self.offset = 0
        days = seconds = milliseconds = True
        for batch in self._source.batches([self.columns.date], BATCH_ROWS, self.limits):
            ticks = np.asarray(pc.fill_null(as_dates(batch.column(0)).view(pa.int64()), 0))
            days, seconds = days and not (ticks % DAY).any(), seconds and not (ticks % SECOND).any()
            milliseconds = milliseconds and not (ticks % MILLISECOND).any()
        fraction = 0 if seconds else 3 if milliseconds else 6
        if self.offset is not None:
            self.style = DateStyle("offset", " ", offset_minutes=0, fraction=fraction)
        elif not days:
            self.style = DateStyle("datetime", " ", fraction=fraction)

    @property
    def _source(self) -> _Table:
        assert self._table is not None  # for the type checker: open sets it
        return self._table

    def _tables(self) -> Iterator[tuple[pa.Table, Ints]]:
        columns = self.columns
        typed = self.style.form in ("date", "datetime", "offset") and not columns.time
        times = (columns.time,) if columns.time else ()
        constants = (name for name, _ in columns.constants)
        needed = dict.fromkeys(
            (columns.date, *times, *columns.ids, *columns.values, *columns.extras, *constants))  # fmt: skip
        numbers = {*columns.values, *columns.extras}
        line = FIRST_LINE
        for batch in self._source.batches([*needed], BATCH_ROWS, self.limits):
            cells, self._dates = {}, batch.column(columns.date)
            for name in needed:
                column = batch.column(name)
                if name == columns.date and typed and is_date(column.type):
                    cells[name] = as_dates(column)
                elif name in numbers and is_number(column.type):
                    cells[name] = as_numbers(column)
                else:
                    cells[name] = as_text(column)
            yield pa.table(cells), line + np.arange(batch.num_rows, dtype=np.int64)
            line += batch.num_rows

    def _read_dates(self, table: pa.Table) -> tuple[npt.NDArray[np.str_], Ints, npt.NDArray[np.bool_]]:
        text, dates, bad = super()._read_dates(table)
        if self._dates is not None and is_date(self._dates.type) and bad.any():
            text = np.where(bad & np.asarray(pc.is_valid(self._dates)), BEYOND, "")
        if self.offset is not None:
            self.offsets.add(dates[~bad], np.full(int((~bad).sum()), self.offset, np.int64))
        return text, dates, bad

    def _read_numbers(
        self, table: pa.Table, name: str, lines: Ints, switches: bool = False
    ) -> tuple[Floats, npt.NDArray[np.str_]]:
        column = whole_column(table, name)
        if not pa.types.is_floating(column.type):
            return super()._read_numbers(table, name, lines, switches)
        numbers = np.asarray(pc.fill_null(column, np.nan))
        if (numbers == 0).any():
            self.zeros.add(name)
        for text, number in numbers_among(self.spec.missing_values).items():
            found = int((numbers == number).sum())
            if found:
                numbers = np.where(numbers == number, np.nan, numbers)
                self.unseen_missing.discard(text)
                self.missing += found
        infinite = np.isinf(numbers)
        if not infinite.any():
            return numbers, np.broadcast_to(np.str_(""), len(numbers))
        return numbers, np.where(infinite, np.where(numbers > 0, "inf", "-inf"), "")

    def explain_rows_below(self) -> None:
        """Do nothing: below the rows of a Parquet file there are no lines to skip."""


def _opened(file: IO[bytes], limits: Limits) -> pq.ParquetFile:
    """Return an open Parquet file.

    Raises:
        RecordError: BAD_PARQUET; TOO_MANY_BYTES if a part of it that is read at once says that it has too many.
    """
    with _damage_refused():
        file.seek(0)
        found = pq.ParquetFile(file)
        schema, parts = found.schema_arrow, found.metadata
        if any(parts.row_group(i).total_byte_size > limits.max_bytes for i in range(parts.num_row_groups)):
            raise too_many_bytes(limits)
        texts = [name for name, kind in zip(schema.names, schema.types, strict=True) if is_text(kind)]
        return pq.ParquetFile(
            file,
            read_dictionary=texts,  # one long text in many rows stays one
            coerce_int96_timestamp_unit="us",  # nanoseconds end in 2262, and begin again
        )


class _Table:
    """The columns of a Parquet file, by names without blanks around them, some rows at a time.

    Attributes:
        positions: of the columns that may have a role, in the file.
        unreadable: names of the others.

    Args:
        source: the file.
        spec: how to read it.

    Raises:
        RecordError: DUPLICATE_COLUMN and others of a header; NOT_TEXT.
    """

    def __init__(self, source: pq.ParquetFile | ArrowTable, spec: ForecastSpec, look: Callable[[], None]) -> None:
        self._source, self._look = source, look
        schema = source.schema_arrow
        if len(schema.names) > MOST_COLUMNS:
            raise RecordError(
                "LINE_TOO_LONG", f"The table has {len(schema.names):,} columns; at most {MOST_COLUMNS:,} can be read.",
                "Write a row for each date and series, and a column for the value.",
            )  # fmt: skip
        self._unique = len(set(schema.names)) == len(schema.names)
        if any("\0" in name for name in schema.names):
            raise _nul()
        names = column_names(schema.names, HEADER_LINE, spec.model_copy(update={"header": True}))
        readable = [has_a_role(kind) for kind in schema.types]
        self.positions = {name: at for at, name in enumerate(names) if readable[at]}
        self.unreadable = [name for at, name in enumerate(names) if not readable[at]]

    def refuse_if_needed(self, spec: ForecastSpec) -> None:
        """Raise if a column that cannot be read is named by an option, or is named like an id."""
        named = {*(spec.id_columns or ()), *(spec.value_column or ()), *spec.extra_columns(), spec.date_column or ""}
        wanted = {name.lower() for name in named}
        for name in self.unreadable:
            if name.lower() in wanted or (spec.id_columns is None and is_named_like_an_id(name)):
                raise RecordError(
                    "UNKNOWN_COLUMN",
                    f"The column {shorten(name)!r} has a type that cannot be read, such as lists or bytes.",
                    "Write it as text, or leave it out"
                    + (" and name the ids with --id_columns." if name.lower() not in wanted else "."),
                    column=name,
                )

    def batches(self, names: list[str], rows: int, limits: Limits, sample: bool = False) -> Iterator[pa.RecordBatch]:
        """Yield some columns, some rows at a time and fewer where cells are long.

        Args:
            names: of the columns.
            rows: most rows of a batch.
            limits: max_bytes applies to the decoded cells.
            sample: whether columns of bytes may turn out to be no texts.

        Raises:
            RecordError: BAD_PARQUET, NOT_TEXT, TOO_MANY_BYTES or LINE_TOO_LONG.
        """
        collected: list[pa.RecordBatch] = []
        total = gathered = row = 0
        for batch, sizes in self._bounded_batches(names, sample):
            self._look()
            if sizes.max(initial=0) > LONGEST_ROW:
                raise RecordError(
                    "LINE_TOO_LONG", f"A row has more than {LONGEST_ROW:,} bytes.",
                    "Check that this is a table of series.", line=FIRST_LINE + row + int(sizes.argmax()),
                )  # fmt: skip
            total += int(sizes.sum())
            if total > limits.max_bytes:
                raise too_many_bytes(limits)
            row += batch.num_rows
            with _damage_refused():
                collected.append(pa.RecordBatch.from_arrays([_decoded(one) for one in batch.columns], names))
            gathered += int(sizes.sum())
            if gathered >= BATCH_BYTES or sum(one.num_rows for one in collected) >= rows:
                yield pa.concat_batches(collected)
                collected, gathered = [], 0
        if collected:
            yield pa.concat_batches(collected)

    def _bounded_batches(self, names: list[str], sample: bool) -> Iterator[tuple[pa.RecordBatch, Ints]]:
        """Yield rows and the bytes that each takes when it is decoded, so few that all together do not take many."""
        for batch in self._small_batches(names, sample):
            sizes = bytes_of_rows(batch)
            parts = np.cumsum(sizes) // BATCH_BYTES
            ends = [*np.flatnonzero(np.diff(parts)) + 1, batch.num_rows]
            for start, end in pairwise([0, *ends]):
                yield batch.slice(start, end - start), sizes[start:end]

    def _small_batches(self, names: list[str], sample: bool) -> Iterator[pa.RecordBatch]:
        """Yield rows so few that none of them can take much memory before they are looked at."""
        schema = self._source.schema_arrow
        own = [schema.names[self.positions[name]] for name in names] if self._unique else None
        batches = self._source.iter_batches(batch_size=SMALL_ROWS, columns=own, use_threads=False)
        while True:
            with _damage_refused():
                read = next(batches, None)
                if read is None:
                    return
                at = {name: i for i, name in enumerate(read.schema.names)} if own is not None else {}
                columns = [read.column(self.positions[name]) for name in names] if own is None else [
                    read.column(at[name]) for name in own]  # fmt: skip
                batch = pa.RecordBatch.from_arrays(columns, names)
                batch.validate(full=True)
            if has_nul(batch, and_bytes=not sample):
                raise _nul()
            if batch.num_rows:
                yield batch


def _nul() -> RecordError:
    return RecordError("NOT_TEXT", "The file has NUL characters in its texts.", "Write it again, without them.")


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


@contextmanager
def _damage_refused() -> Iterator[None]:
    """Turn errors of a damaged file into a refusal.

    Raises:
        RecordError: BAD_PARQUET.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise  # this machine's fault, not the file's
        raise RecordError(
            "BAD_PARQUET",
            f"The Parquet file is damaged, cut short, or of a kind that cannot be read: {shorten(str(error), 200)}.",
            "Write the file again, and upload it whole.",
        ) from None
