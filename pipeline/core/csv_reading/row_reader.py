"""From tables of cells to rows of numbers, whatever file they come from: dates, numbers, series, errors by line."""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.arrays import Floats, Ints
from pipeline.core.csv_reading.column_sample import DASHES
from pipeline.core.csv_reading.columns import WIDE_COLUMN, Columns
from pipeline.core.csv_reading.dialect import PLAIN, CsvDialect
from pipeline.core.csv_reading.number_dialect import DialectEvidence
from pipeline.core.csv_reading.numbering import IdNumbers
from pipeline.core.csv_reading.numbers import absent_texts, missing_cells, number_hint, read_numbers
from pipeline.core.dates.calendars import MINUTE
from pipeline.core.dates.date_style import DateStyle, OffsetsSeen
from pipeline.core.dates.recognise_dates import bad_date
from pipeline.core.errors import RecordError, shorten
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits

MAX_FOOTER_LINES = 20  # that a hint offers to skip


@dataclass(frozen=True)
class Rows:
    """Rows of numbers.

    Attributes:
        codes: number of each row's series, in order of first appearance, shape (n,).
        dates: microseconds, shape (n,).
        values: NaN where missing, shape (n,).
        lines: line in the file, shape (n,).
        extras: regressors, cap and floor, shape (n, k).
    """

    codes: Ints
    dates: Ints
    values: Floats
    lines: Ints
    extras: Floats

    def take(self, rows: npt.NDArray[np.bool_] | Ints | slice) -> Rows:
        """Return some of the rows."""
        return Rows(self.codes[rows], self.dates[rows], self.values[rows], self.lines[rows], self.extras[rows])


class UndecidedIdsError(Exception):
    """The id columns can be decided only from all rows of the file."""


def _no_texts() -> pa.Table:
    return pa.table({})


def _none() -> bool:
    return False


@dataclass
class RowReader(ABC):
    """Reads the rows of one file. Its attributes hold what it found, once `rows` is exhausted.

    Attributes:
        columns: the roles of the columns.
        style: how dates are written.
        ids: id values of each series, in order of first appearance; for a wide table the last one is
            the column's name.
        faults: the first error of each series that has one.
        row_count: rows read so far.
        missing: number of cells with a word or mark for a missing value.
        zeros: columns that have a zero.
        dashes: the first lone dash of each column that has one, and its line.
        short_years: the years that were written with two digits.
        dialect: what the numbers say about their marks; None if the options set them.
        header_line: where the header is.
        csv_dialect: how the file is written.
        unseen_missing: texts of --missing_values that have not occurred.
        lines_below_header: number of lines skipped below the header because they are not rows, such as units.
        offsets: UTC offsets of the dates.
        last_dated_line: line of the last row with a date.
        end_line: the line after the last one.
    """

    spec: ForecastSpec
    limits: Limits
    columns: Columns
    style: DateStyle
    ids: list[tuple[str, ...]] = field(default_factory=list)
    faults: dict[int, RecordError] = field(default_factory=dict)
    row_count: int = 0
    header_line: int = 1
    csv_dialect: CsvDialect = PLAIN
    unseen_missing: set[str] = field(default_factory=set)
    lines_below_header: int = 0
    offsets: OffsetsSeen = field(default_factory=OffsetsSeen)
    last_dated_line: int = 0
    end_line: int = 1
    dialect: DialectEvidence | None = None
    short_years: set[int] = field(default_factory=set)
    missing: int = 0
    zeros: set[str] = field(default_factory=set)
    dashes: dict[str, tuple[str, int]] = field(default_factory=dict)
    _texts: Callable[[], pa.Table] = field(default=_no_texts)
    _whole_with_points: Callable[[], bool] = field(default=_none)
    _numbers: IdNumbers = field(default_factory=IdNumbers)

    @abstractmethod
    def _tables(self) -> Iterator[tuple[pa.Table, Ints]]:
        """Yield the needed columns, typed if every cell is valid and otherwise text, and the line of each row.

        Raises:
            RecordError: if the rest of the file cannot be read after all.
        """

    @property
    def final_style(self) -> DateStyle:
        """How to write dates, once all are read: several offsets become UTC."""
        return replace(self.style.with_offsets(self.offsets), timezone=self.spec.timezone or "")

    def rows(self) -> Generator[Rows, None, None]:
        """Yield the rows, one table at a time; see _tables."""
        try:
            for table, lines in self._tables():
                yield from self._rows_of(table, lines)
        finally:  # which hold the last table, and this reader: it would stay until cycles are collected
            self._texts, self._whole_with_points = _no_texts, _none

    def _rows_of(self, table: pa.Table, lines: Ints) -> Iterator[Rows]:
        self._require_constant_text(table)
        date_text, dates, bad_dates = self._read_dates(table)
        values = [self._read_numbers(table, name, lines) for name in self.columns.values]
        extras = [self._read_numbers(table, name, lines, switches=True) for name in self.columns.extras]
        blank = bad_dates
        if bad_dates.any():
            blank = bad_dates & (date_text == "")
            for numbers, text in (*values, *extras):
                blank &= np.isnan(numbers) & (text == "")
            for name in self.columns.ids:
                blank &= np.asarray(pc.equal(pc.utf8_trim_whitespace(as_texts(whole_column(table, name))), ""))
        if not bad_dates.all():
            self.last_dated_line = int(lines[~bad_dates][-1])
        codes = self._row_codes(table, ~blank)
        self.row_count += int((~blank).sum())
        extra_numbers = np.column_stack([numbers for numbers, _ in extras]) if extras else np.empty((len(lines), 0))
        wide = self.columns.wide
        for position, (numbers, text) in enumerate(values):
            series = codes * len(values) + position if wide else codes
            self._note_bad_dates(series, bad_dates & ~blank, date_text, lines)
            self._note_bad_numbers(series, numbers, text, lines, self.columns.values[position])
            for name, (extra, extra_text) in zip(self.columns.extras, extras, strict=True):
                self._note_bad_numbers(series, extra, extra_text, lines, name)
            rows = Rows(series, dates, np.where(np.isinf(numbers), np.nan, numbers), lines, extra_numbers)
            yield rows.take(~bad_dates) if bad_dates.any() else rows

    def _require_constant_text(self, table: pa.Table) -> None:
        """Raise if text that was constant in the sample is not, so that it may tell series apart."""
        for name, text in self.columns.constants:
            column = pc.utf8_trim_whitespace(whole_column(table, name))
            same = pc.equal(column, text)
            if not text:  # a column that was empty in the sample; numbers in it decide nothing
                same = pc.or_(missing_cells(column, ()), pc.match_substring_regex(column, r"^[+-]?[\d.,]+$"))
            if not pc.all(same).as_py():
                raise UndecidedIdsError

    # ----------------------------------------------------------------------------------- cells

    def _read_dates(self, table: pa.Table) -> tuple[npt.NDArray[np.str_], Ints, npt.NDArray[np.bool_]]:
        column = whole_column(table, self.columns.date)
        if pa.types.is_timestamp(column.type):
            bad = np.asarray(pc.is_null(column))
            dates = np.asarray(pc.fill_null(column.view(pa.int64()), 0))
            return np.broadcast_to(np.str_(""), len(column)), dates, bad
        text = pc.utf8_trim_whitespace(column)
        if self.columns.time:
            time = pc.utf8_trim_whitespace(whole_column(table, self.columns.time))
            text = pc.utf8_trim_whitespace(pc.binary_join_element_wise(text, time, " "))
        dates, bad, minutes = self.style.read(text)
        if minutes is not None:
            utc = dates - minutes * MINUTE if self.style.on_wall else dates
            self.offsets.add(utc[~bad], minutes[~bad])
        if self.style.form == "format" and "%y" in self.style.format:
            years = dates[~bad].astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
            self.short_years |= set(np.unique(years).tolist())
        shown = np.where(bad, text.to_numpy(zero_copy_only=False), "") if bad.any() else np.broadcast_to("", len(text))
        return shown.astype(str), dates, bad

    def _read_numbers(
        self, table: pa.Table, name: str, lines: Ints, switches: bool = False
    ) -> tuple[Floats, npt.NDArray[np.str_]]:
        """Return a column's numbers, NaN where missing, and the text of cells that are not valid numbers.

        With `switches`, true and false count as 1 and 0.
        """
        column = whole_column(table, name)
        if pa.types.is_floating(column.type):
            numbers = np.asarray(pc.fill_null(column, np.nan))
            if name not in self.zeros and (numbers == 0).any():
                self.zeros.add(name)
            if self.dialect is not None and self.dialect.wants_text_of(numbers, self._whole_with_points):
                self.dialect.add_text(whole_column(self._texts(), name), name, lines)
            return numbers, np.broadcast_to(np.str_(""), len(column))
        if switches:
            lower = pc.utf8_lower(column)
            column = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", column))
        if self.dialect is not None:
            self.dialect.add_text(column, name, lines)
        self._note_missing(pc.utf8_trim_whitespace(column), name, lines)
        found = read_numbers(column, self.spec.decimal or ".", self.spec.thousands, self.spec.missing_values)
        self.unseen_missing -= absent_texts(column, self.unseen_missing)
        if (found[0] == 0).any():
            self.zeros.add(name)
        return found

    def _note_missing(self, text: pa.StringArray, name: str, lines: Ints) -> None:
        missing = np.asarray(pc.and_(missing_cells(text, self.spec.missing_values), pc.not_equal(text, "")))
        self.missing += int(missing.sum())
        dashes = [dash for dash in DASHES if dash not in self.spec.missing_values]
        at = np.flatnonzero(np.asarray(pc.is_in(text, value_set=pa.array(dashes, pa.string()))))
        if len(at):
            self.dashes.setdefault(name, (text[int(at[0])].as_py(), int(lines[at[0]])))

    def explain_rows_below(self) -> None:
        """Add to the errors of rows without a date how to skip them, if they are all at the end."""
        for code, fault in self.faults.items():
            if fault.code == "BAD_DATE" and fault.line is not None and fault.line > self.last_dated_line > 0:
                footer = self.end_line - self.last_dated_line - 1 + self.spec.skip_footer
                if footer > MAX_FOOTER_LINES or re.search(r"^\d[\d/.-]*\d$", fault.found or ""):
                    continue  # a date of another form
                hint = f"Use --skip_footer={footer} if the table ends above it, or fix the cell."
                self.faults[code] = RecordError(
                    fault.code, fault.message, hint, line=fault.line, column=fault.column, found=fault.found
                )

    def refuse_dashes(self) -> None:
        """Raise if a lone dash may mean zero: in a column that has no zero written as 0."""
        for name, (dash, line) in self.dashes.items():
            if name not in self.zeros:
                raise RecordError(
                    "AMBIGUOUS_NUMBER",
                    f"A lone {dash!r} may mean zero, or that there is no value.",
                    f"Use --missing_values={dash} if it means no value; write 0 if it means zero.",
                    line=line,
                    column=name,
                    found=dash,
                    assume={"missing_values": (*self.spec.missing_values, dash)},
                )

    # ----------------------------------------------------------------------------------- series

    def _row_codes(self, table: pa.Table, keep: npt.NDArray[np.bool_]) -> Ints:
        """Return the number of each row's series (for a wide table: of its ids); any number of a row not to keep."""
        names = self.columns.ids
        if not names:
            if not self.ids:
                self._list([()])
            return np.zeros(table.num_rows, dtype=np.int64)
        columns = [pc.dictionary_encode(whole_column(table, name)) for name in names]
        codes, new = self._numbers.of_rows(columns, keep)
        if len(new):
            texts = [as_texts(column.take(pa.array(new))) for column in columns]
            self._list(list(zip(*(column.to_pylist() for column in texts), strict=True)))
        return codes

    def _list(self, ids: list[tuple[str, ...]]) -> None:
        """Add the series of ids that are new: one of each, or in a wide table one for each value column.

        Raises:
            RecordError: if there are too many, or an id is too long.
        """
        if self.columns.wide:
            ids = [(*own, name) for own in ids for name in self.columns.values]
        room = self.limits.max_series - len(self.ids)
        self.ids += ids
        if max(map(len, itertools.chain.from_iterable(ids)), default=0) > self.limits.max_id_length:
            most = self.limits.max_id_length
            at = next(i for i, series in enumerate(ids) if max(map(len, series), default=0) > most)
            if at <= room:
                raise self._too_long_id(ids[at])
        if len(ids) > room:
            raise RecordError(
                "TOO_MANY_SERIES",
                f"The file has more than {self.limits.max_series:,} series.",
                "Split the file, check --id_columns, or ask the operator to raise --max_series.",
            )

    def _too_long_id(self, ids: tuple[str, ...]) -> RecordError:
        longest = max(ids, key=len)
        names = self.columns.ids
        return RecordError(
            "ID_TOO_LONG",
            f"An id has {len(longest):,} characters; at most {self.limits.max_id_length:,} are allowed.",
            "Name the columns that tell the series apart with --id_columns, or ask the operator to raise "
            "--max_id_length.",
            column=names[ids.index(longest)] if ids.index(longest) < len(names) else None,
            found=longest,
        )

    # ----------------------------------------------------------------------------------- faults

    def _note_bad_dates(self, codes: Ints, bad: npt.NDArray[np.bool_], text: npt.NDArray[np.str_], lines: Ints) -> None:
        for row in _first_of_each(codes, bad):
            error = bad_date(str(text[row]), self.spec.date_format, int(lines[row]), self.columns.date)
            self._note(int(codes[row]), error)

    def _note_bad_numbers(
        self, codes: Ints, numbers: Floats, text: npt.NDArray[np.str_], lines: Ints, column: str
    ) -> None:
        bad = text != ""
        if not bad.any():
            return
        for row in _first_of_each(codes, bad):
            found, number = str(text[row]), numbers[row]
            if np.isinf(number):
                error = RecordError(
                    "NOT_FINITE",
                    f"{shorten(found)!r} is infinite.",
                    "Leave the cell empty if the value is unknown.",
                    line=int(lines[row]),
                    column=column,
                    found=found,
                )
            else:
                error = RecordError(
                    "BAD_NUMBER",
                    f"{shorten(found)!r} is not a number.",
                    number_hint(found),
                    line=int(lines[row]),
                    column=column,
                    found=found,
                )
            self._note(int(codes[row]), error)

    def _note(self, code: int, error: RecordError) -> None:
        known = self.faults.get(code)
        if known is None or (error.line or 0) < (known.line or 0):
            self.faults[code] = error

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Names of the columns that tell series apart in the output."""
        return (*self.columns.ids, WIDE_COLUMN) if self.columns.wide else self.columns.ids


def _first_of_each(codes: Ints, flagged: npt.NDArray[np.bool_]) -> Ints:
    """Return the first flagged row of each series."""
    rows = np.flatnonzero(flagged)
    _, first = np.unique(codes[rows], return_index=True)
    result: Ints = rows[first]
    return result


def as_texts(column: pa.Array) -> pa.Array:
    """Return a column of texts that may have come as a dictionary of them."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def whole_column(table: pa.Table, name: str) -> pa.Array:
    """Return a column of a table as one array."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
