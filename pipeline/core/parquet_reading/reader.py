"""Reads a Parquet file by the rules for a CSV, with the types that its columns have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.arrays import Floats, Ints
from pipeline.core.csv_reading.columns import choose_columns
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
from pipeline.core.parquet_reading.cells import (
    as_dates,
    as_numbers,
    as_text,
    bytes_of_rows,
    has_a_role,
    is_date,
    is_number,
    is_text,
    zone_of,
)

BATCH_ROWS = 1 << 16
BATCH_BYTES = 64 << 20  # of decoded cells at a time
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
    _file: pq.ParquetFile | None = None
    _names: dict[str, str] = field(default_factory=dict)  # in the file, by name without blanks

    @classmethod
    def open(cls, file: IO[bytes], spec: ForecastSpec, limits: Limits, undecided: bool = False) -> ParquetReader:
        """Read the schema and a sample, and decide the roles of the columns.

        Args:
            file: the Parquet file.
            spec: how to read it; options for text, such as delimiter, do not count.
            limits: the operator's limits.
            undecided: treat columns that may be ids as ids.

        Raises:
            RecordError: if the file is not such a table.
            UndecidedIdsError: if there are columns that may be ids, and `undecided` is false.
        """
        with _damage_refused():
            file.seek(0)
            schema = pq.ParquetFile(file).schema_arrow
            texts = [name for name, kind in zip(schema.names, schema.types, strict=True) if is_text(kind)]
            source = pq.ParquetFile(file, read_dictionary=texts)  # one long text in many rows stays one
        fields = [one for one in source.schema_arrow if has_a_role(one.type)]
        header = column_names([one.name for one in fields], HEADER_LINE, spec.model_copy(update={"header": True}))
        reader_names = dict(zip(header, (one.name for one in fields), strict=True))
        first = next(_batches(source, reader_names, SAMPLE_ROWS, limits), None)
        if first is None:
            raise RecordError("NO_ROWS", "The file has no rows.", "Check the export.")
        sample = {name: as_text(first.column(name)).to_pylist() for name in header}
        columns = choose_columns(header, sample, spec, HEADER_LINE, frozenset())
        others = tuple(one.name for one in source.schema_arrow if not has_a_role(one.type))
        columns = replace(columns, unused=(*columns.unused, *others))
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
        reader._file, reader._names, reader.unseen_missing = source, reader_names, set(spec.missing_values)
        reader.dialect = DialectEvidence() if spec.decimal is None and spec.thousands is None else None
        if typed:
            reader._take_type(kind)
        return reader

    def _take_type(self, kind: pa.DataType) -> None:
        """Set the style and the offset of dates that have a type of their own, of which all are looked at."""
        if getattr(kind, "tz", None):
            self.zone, self.offset = zone_of(kind)
        days = seconds = True
        date = {self.columns.date: self._names[self.columns.date]}
        for batch in _batches(self._source, date, BATCH_ROWS, self.limits):
            ticks = np.asarray(pc.fill_null(as_dates(batch.column(0)).view(pa.int64()), 0))
            days, seconds = days and not (ticks % DAY).any(), seconds and not (ticks % SECOND).any()
        fraction = 0 if seconds else 6
        if self.offset is not None:
            self.style = DateStyle("offset", " ", offset_minutes=0, fraction=fraction)
        elif not days:
            self.style = DateStyle("datetime", " ", fraction=fraction)

    @property
    def _source(self) -> pq.ParquetFile:
        assert self._file is not None  # for the type checker: open sets it
        return self._file

    def _tables(self) -> Iterator[tuple[pa.Table, Ints]]:
        columns = self.columns
        typed = self.style.form in ("date", "datetime", "offset") and not columns.time
        times = (columns.time,) if columns.time else ()
        constants = (name for name, _ in columns.constants)
        needed = dict.fromkeys(
            (columns.date, *times, *columns.ids, *columns.values, *columns.extras, *constants))  # fmt: skip
        numbers = {*columns.values, *columns.extras}
        line = FIRST_LINE
        for batch in _batches(self._source, {name: self._names[name] for name in needed}, BATCH_ROWS, self.limits):
            cells = {}
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
            if (numbers == number).any():
                numbers = np.where(numbers == number, np.nan, numbers)
                self.unseen_missing.discard(text)
        infinite = np.isinf(numbers)
        if not infinite.any():
            return numbers, np.broadcast_to(np.str_(""), len(numbers))
        return numbers, np.where(infinite, np.where(numbers > 0, "inf", "-inf"), "")

    def explain_rows_below(self) -> None:
        """Do nothing: below the rows of a Parquet file there are no lines to skip."""


def _batches(source: pq.ParquetFile, names: dict[str, str], rows: int, limits: Limits) -> Iterator[pa.RecordBatch]:
    """Yield some columns, some rows at a time and fewer where cells are long.

    Args:
        source: the file.
        names: of the columns, in the file by name in the batches.
        rows: most rows of a batch.
        limits: max_bytes applies to the decoded cells.

    Raises:
        RecordError: BAD_PARQUET, TOO_MANY_BYTES or LINE_TOO_LONG.
    """
    total = row = 0
    batches = source.iter_batches(batch_size=rows, columns=[*names.values()], use_threads=False)
    while True:
        with _damage_refused():
            read = next(batches, None)
            if read is None:
                return
            batch = pa.RecordBatch.from_arrays([read.column(name) for name in names.values()], [*names])
            batch.validate(full=True)
        sizes = bytes_of_rows(batch)
        if sizes.max(initial=0) > LONGEST_ROW:
            at = int(sizes.argmax())
            raise RecordError(
                "LINE_TOO_LONG", f"A row has more than {LONGEST_ROW:,} bytes.",
                "Check that this is a table of series.", line=FIRST_LINE + row + at,
            )  # fmt: skip
        ends = np.cumsum(sizes)
        total += int(sizes.sum())
        if total > limits.max_bytes:
            raise too_many_bytes(limits)
        cuts = np.searchsorted(ends, np.arange(BATCH_BYTES, int(ends[-1]) if len(ends) else 0, BATCH_BYTES))
        bounds = np.unique([0, *cuts.tolist(), batch.num_rows]).tolist()
        for first, last in pairwise(bounds):
            part = batch.slice(first, last - first)
            yield pa.RecordBatch.from_arrays([_decoded(column) for column in part.columns], [*names])
        row += batch.num_rows


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
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's
        raise RecordError(
            "BAD_PARQUET",
            f"The Parquet file is damaged, cut short, or of a kind that cannot be read: {shorten(str(error), 200)}.",
            "Write the file again, and upload it whole.",
        ) from None
