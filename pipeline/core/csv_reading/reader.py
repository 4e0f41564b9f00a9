"""From rows of text to rows of numbers: reads a CSV in chunks, and reports every error with its line."""

from __future__ import annotations

import codecs
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from pipeline.core.arrays import Floats, Ints
from pipeline.core.csv_reading.columns import DASHES, WIDE_COLUMN, Columns, choose_columns
from pipeline.core.csv_reading.dialect import PLAIN, CsvDialect
from pipeline.core.csv_reading.header import (
    ANNOUNCED,
    column_names,
    first_record,
    parsed_rows,
    sample_rows,
    sniff_delimiter,
)
from pipeline.core.csv_reading.number_dialect import DialectEvidence
from pipeline.core.csv_reading.numbers import absent_texts, missing_cells, number_hint, read_numbers
from pipeline.core.csv_reading.table_place import lines_below_header, without_lines
from pipeline.core.csv_reading.text_chunks import LONGEST_ROW, Chunk, text_chunks, too_long_line
from pipeline.core.dates.calendars import DAY, MINUTE
from pipeline.core.dates.date_style import DateStyle, OffsetsSeen
from pipeline.core.dates.recognise_dates import bad_date, recognise_dates
from pipeline.core.errors import RecordError, shorten
from pipeline.core.forecast_spec import MAX_SKIPPED_LINES, ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.sources import ByteSource

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


@dataclass
class CsvReader:
    """Reads one CSV. Its attributes hold what it found, once `rows` is exhausted.

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
    _texts: Callable[[], pa.Table] = field(default=lambda: pa.table({}))
    _codes: dict[tuple[str, ...], int] = field(default_factory=dict)
    _chunks: Iterator[Chunk] = field(default_factory=lambda: iter(()))
    _header: list[str] = field(default_factory=list)
    _delimiter: str = ","
    # In a wide table ids alone do not make a series, so they are numbered separately.
    _wide_known: dict[tuple[str, ...], int] = field(default_factory=dict)
    _wide_ids: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def open(
        cls, file: ByteSource, spec: ForecastSpec, limits: Limits, undecided: bool = False, on_wall: bool = False
    ) -> CsvReader:
        """Read the header and a sample, and decide the roles of the columns.

        Args:
            file: the CSV.
            spec: how to read it.
            limits: the operator's limits.
            undecided: treat columns that may be ids as ids.
            on_wall: read dates as local time, whatever their offsets.

        Raises:
            RecordError: if the file is not such a CSV.
            UndecidedIdsError: if there are columns that may be ids, and `undecided` is false.
        """
        chunks = text_chunks(file, spec.encoding, limits, spec.delimiter)
        if spec.skip_rows or spec.skip_footer:
            chunks = without_lines(chunks, spec.skip_rows, spec.skip_footer)
        first = next(chunks, Chunk(1, b""))
        chunks = itertools.chain((first,), chunks)
        delimiter = spec.delimiter
        record, rest = first_record(chunks, delimiter)
        if announced := ANNOUNCED.fullmatch(record.data.strip()):
            delimiter = delimiter or announced[1].decode()
            record, rest = first_record(itertools.chain((rest,), chunks), delimiter)
        below = lines_below_header(Chunk(record.line, record.data + rest.data), delimiter) if spec.header else 0
        delimiter = delimiter or sniff_delimiter(record, rest, spec)
        if len(record.data) > LONGEST_ROW:
            raise too_long_line(record.line)
        _, names = next(parsed_rows(record.data.decode(), delimiter, record.line, skip_blanks=True))
        header = column_names(names, record.line, spec)
        body = rest if spec.header else Chunk(record.line, record.data + rest.data)
        if below:
            (body,) = without_lines(iter((rest,)), below, 0)
        first_rows, sample_line = sample_rows(body, delimiter)
        while not first_rows and (following := next(chunks, None)):  # blank lines, or a first row of megabytes
            body = following
            first_rows, sample_line = sample_rows(body, delimiter)
        if not first_rows:
            raise RecordError(
                "NO_ROWS",
                "The file has a header but no rows below it.",
                "Add rows, or check the export.",
                line=record.line,
            )
        width, _ = Counter(map(len, first_rows)).most_common(1)[0]
        if width == len(header) + 1 and all(len(row) == width and not row[-1].strip() for row in first_rows):
            header, names = [*header, f"column_{width}"], [*names, ""]  # a delimiter at the end of each row
        if width != len(header) and len(first_rows[0]) == width:
            raise ragged_row(width, len(header), delimiter.join(first_rows[0]), sample_line)
        sample = {name: [row[i] if i < len(row) else "" for row in first_rows] for i, name in enumerate(header)}
        unnamed = frozenset(name for name, given in zip(header, names, strict=True) if not given.strip())
        columns = choose_columns(header, sample, spec, record.line, unnamed)
        if undecided:
            columns = columns.with_undecided_ids
        elif columns.undecided or columns.numbering:
            raise UndecidedIdsError
        written = sample[columns.date]
        if columns.time:
            written = [
                f"{date.strip()} {time.strip()}".strip()
                for date, time in zip(written, sample[columns.time], strict=True)
            ]
        style = recognise_dates(written, columns.date, sample_line, spec.date_format)
        reader = cls(spec, limits, columns, replace(style, on_wall=on_wall))
        reader.unseen_missing = set(spec.missing_values)
        reader._header, reader._delimiter, reader.header_line = header, delimiter, record.line
        reader.dialect = DialectEvidence() if spec.decimal is None and spec.thousands is None else None
        reader._chunks = itertools.chain((body,), chunks)
        reader.lines_below_header = below
        with_mark = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16"}
        encoding = with_mark.get(spec.encoding, spec.encoding) if first.marked else spec.encoding
        reader.csv_dialect = CsvDialect(delimiter, spec.decimal or ".", encoding)
        return reader

    @property
    def final_style(self) -> DateStyle:
        """How to write dates, once all are read: several offsets become UTC."""
        return replace(self.style.with_offsets(self.offsets), timezone=self.spec.timezone or "")

    def rows(self) -> Iterator[Rows]:
        """Yield the rows, one chunk at a time.

        Raises:
            RecordError: if the rest of the file is not a CSV after all.
        """
        for chunk, following in _with_next(self._chunks):
            if chunk.data:
                yield from self._rows_of(chunk, last=following is None)
                self.end_line = chunk.line + chunk.line_feeds

    def _rows_of(self, chunk: Chunk, last: bool) -> Iterator[Rows]:
        table, lines = self._parse(chunk, last)
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
                blank &= np.asarray(pc.equal(pc.utf8_trim_whitespace(_whole(table, name)), ""))
        if not bad_dates.all():
            self.last_dated_line = int(lines[~bad_dates][-1])
        codes = self._row_codes(table, ~blank)
        self.row_count += int((~blank).sum())
        extra_numbers = np.column_stack([numbers for numbers, _ in extras]) if extras else np.empty((len(lines), 0))
        wide = self.columns.wide
        for position, (numbers, text) in enumerate(values):
            series = self._wide_codes(codes, self.columns.values[position]) if wide else codes
            self._note_bad_dates(series, bad_dates & ~blank, date_text, lines)
            self._note_bad_numbers(series, numbers, text, lines, self.columns.values[position])
            for name, (extra, extra_text) in zip(self.columns.extras, extras, strict=True):
                self._note_bad_numbers(series, extra, extra_text, lines, name)
            rows = Rows(series, dates, np.where(np.isinf(numbers), np.nan, numbers), lines, extra_numbers)
            yield rows.take(~bad_dates) if bad_dates.any() else rows

    def _require_constant_text(self, table: pa.Table) -> None:
        """Raise if text that was constant in the sample is not, so that it may tell series apart."""
        for name, text in self.columns.constants:
            column = pc.utf8_trim_whitespace(_whole(table, name))
            same = pc.equal(column, text)
            if not text:  # a column that was empty in the sample; numbers in it decide nothing
                same = pc.or_(missing_cells(column, ()), pc.match_substring_regex(column, r"^[+-]?[\d.,]+$"))
            if not pc.all(same).as_py():
                raise UndecidedIdsError

    # ----------------------------------------------------------------------------------- cells

    def _parse(self, chunk: Chunk, last: bool) -> tuple[pa.Table, Ints]:
        """Return the needed columns, typed if every cell is valid, and the line of each row."""
        direct = self.spec.thousands is None and not self.spec.missing_values
        columns, spec = self.columns, self.spec
        constants = (name for name, _ in columns.constants)
        times = (columns.time,) if columns.time else ()
        types = dict.fromkeys(
            (columns.date, *times, *columns.ids, *columns.values, *columns.extras, *constants), pa.string()
        )
        if direct:
            types |= dict.fromkeys((*columns.values, *columns.extras), pa.float64())
            if self.style.form in ("date", "datetime") and not columns.time:
                types[columns.date] = pa.timestamp("us")
        # Arrow takes a byte order mark at the start of its input for the file's own; inside a file it is text
        data = codecs.BOM_UTF8 + chunk.data if chunk.data.startswith(codecs.BOM_UTF8) else chunk.data
        skipped: list[pa_csv.InvalidRow] = []

        def skip(row: pa_csv.InvalidRow) -> str:
            skipped.append(row)
            return "skip"

        def read(column_types: dict[str, pa.DataType]) -> pa.Table:
            skipped.clear()
            return pa_csv.read_csv(
                pa.BufferReader(data),
                # without threads rows have numbers, and chunks come in order
                read_options=pa_csv.ReadOptions(
                    column_names=self._header, use_threads=False, block_size=len(data) + 1),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=skip),
                convert_options=pa_csv.ConvertOptions(
                    column_types=column_types, include_columns=list(types), null_values=[""],
                    strings_can_be_null=False, decimal_point=spec.decimal or "."),
            )  # fmt: skip

        try:
            table = read(types).combine_chunks()
            as_it_should_be = all(_is_plain(_whole(table, name), self.style.form) for name in types)
        except pa.ArrowInvalid:
            as_it_should_be = False
        strings = dict.fromkeys(types, pa.string())
        if not as_it_should_be:
            table = read(strings).combine_chunks()  # so that an invalid cell can be quoted as written
        self._texts = cache(lambda: read(strings).combine_chunks())
        return table, self._lines(chunk, table.num_rows, skipped, last)

    def _lines(self, chunk: Chunk, rows: int, skipped: list[pa_csv.InvalidRow], last: bool) -> Ints:
        """Return the line of each row.

        Raises:
            RecordError: RAGGED_ROW if a skipped row has more than delimiters.
        """
        if not skipped and rows == chunk.line_feeds:
            return chunk.line + np.arange(rows, dtype=np.int64)
        starts = _record_lines(chunk, self._delimiter)
        ragged = [row for row in skipped if row.text.strip(self._delimiter + " \t\r\n")]
        if ragged:
            row = ragged[0]
            known = row.number and row.number <= len(starts)
            line = int(starts[row.number - 1]) if known else chunk.line
            # only such rows until the end: lines below the table
            below = known and last and len(starts) - (row.number - 1) == len(skipped) - skipped.index(row)
            footer = chunk.line + chunk.line_feeds - line + self.spec.skip_footer
            raise ragged_row(
                row.actual_columns, row.expected_columns, row.text, line,
                footer if below and footer <= MAX_SKIPPED_LINES else 0)  # fmt: skip
        absent = {row.number - 1 for row in skipped if row.number}
        return np.delete(starts, sorted(absent))[:rows]

    def _read_dates(self, table: pa.Table) -> tuple[npt.NDArray[np.str_], Ints, npt.NDArray[np.bool_]]:
        column = _whole(table, self.columns.date)
        if pa.types.is_timestamp(column.type):
            bad = np.asarray(pc.is_null(column))
            dates = np.asarray(pc.fill_null(column.view(pa.int64()), 0))
            return np.broadcast_to(np.str_(""), len(column)), dates, bad
        text = pc.utf8_trim_whitespace(column)
        if self.columns.time:
            time = pc.utf8_trim_whitespace(_whole(table, self.columns.time))
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
        column = _whole(table, name)
        if pa.types.is_floating(column.type):
            numbers = np.asarray(pc.fill_null(column, np.nan))
            if name not in self.zeros and (numbers == 0).any():
                self.zeros.add(name)
            if self.dialect is not None and self.dialect.wants_text_of(numbers):
                self.dialect.add_text(_whole(self._texts(), name), name, lines)
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
        """Return the number of each row's series (for a wide table: of its ids)."""
        names = self.columns.ids
        if not names:
            return np.full(table.num_rows, self._code(()) if not self.columns.wide else 0, dtype=np.int64)
        encoded = [pc.dictionary_encode(_whole(table, name)) for name in names]
        if len(names) == 1 and keep.all():  # a dictionary has its values in order of appearance
            known = np.array([self._code((name,)) for name in encoded[0].dictionary.to_pylist()], dtype=np.int64)
            of_rows: Ints = known[np.asarray(encoded[0].indices)]
            return of_rows
        combined = np.asarray(encoded[0].indices).astype(np.int64)
        for column in encoded[1:]:
            combined = combined * max(len(column.dictionary), 1) + np.asarray(column.indices)
            combined = np.unique(combined, return_inverse=True)[1]  # so that the product stays small
        present = combined[keep]
        _, first, inverse = np.unique(present, return_index=True, return_inverse=True)
        row_numbers = np.flatnonzero(keep)
        values = [column.dictionary.to_pylist() for column in encoded]
        indices = [np.asarray(column.indices) for column in encoded]
        codes = np.empty(len(first), dtype=np.int64)
        for position in np.argsort(first):  # so that series are numbered as they appear
            row = row_numbers[first[position]]
            codes[position] = self._code(tuple(value[index[row]] for value, index in zip(values, indices, strict=True)))
        result = np.zeros(table.num_rows, dtype=np.int64)
        result[keep] = codes[inverse]
        return result

    def _wide_codes(self, codes: Ints, column: str) -> Ints:
        """Return the numbers of the series of one value column, given the numbers of the rows' ids."""
        if not self.columns.ids:
            return np.full(len(codes), self._code((column,)), dtype=np.int64)
        present, inverse = np.unique(codes, return_inverse=True)
        series = [self._code((*self._wide_ids[code], column)) for code in present.tolist()]
        return np.asarray(series, dtype=np.int64)[inverse]

    def _code(self, ids: tuple[str, ...]) -> int:
        partial = self.columns.wide and len(ids) == len(self.columns.ids)
        known, listed = (self._wide_known, self._wide_ids) if partial else (self._codes, self.ids)
        code = known.setdefault(ids, len(known))
        if code == len(listed):
            listed.append(ids)
            if max(map(len, ids), default=0) > self.limits.max_id_length:
                raise self._too_long_id(ids)
            if len(listed) > self.limits.max_series:
                raise RecordError(
                    "TOO_MANY_SERIES",
                    f"The file has more than {self.limits.max_series:,} series.",
                    "Split the file, check --id_columns, or ask the operator to raise --max_series.",
                )
        return code

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


def ragged_row(cells: int, expected: int, text: str, line: int, footer: int = 0) -> RecordError:
    """Return the error for a row whose number of cells differs from the header's.

    Args:
        cells: number of cells of the row.
        expected: number of cells of the header.
        text: the row.
        line: where it is.
        footer: number of lines from it to the end of the file, if all of them may be below the table; otherwise 0.
    """
    hint = "ut cells that contain the delimiter in quotes; fill up short rows."
    return RecordError(
        "RAGGED_ROW",
        f"This row has {cells} cell{'s' if cells > 1 else ''}, the header has {expected}: {shorten(text)!r}.",
        f"Use --skip_footer={footer} if the table ends above it; otherwise p{hint}" if footer else f"P{hint}",
        line=line,
        found=text,
        assume={"skip_footer": footer} if footer else None,
    )


def _with_next(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Chunk | None]]:
    """Yield each chunk with the one that follows it; None after the last one."""
    before = next(chunks, None)
    for chunk in chunks:
        if before is not None:
            yield before, chunk
        before = chunk
    if before is not None:
        yield before, None


def _first_of_each(codes: Ints, flagged: npt.NDArray[np.bool_]) -> Ints:
    """Return the first flagged row of each series."""
    rows = np.flatnonzero(flagged)
    _, first = np.unique(codes[rows], return_index=True)
    result: Ints = rows[first]
    return result


def _is_plain(column: pa.Array, date_form: str) -> bool:
    """Return whether a typed column holds only values that reading its text would also have accepted.

    Arrow accepts more as numbers and dates; what is accepted must not depend on the other cells of a chunk.
    """
    if pa.types.is_floating(column.type):
        return bool(pc.all(pc.is_finite(column)).as_py() is not False)
    if pa.types.is_timestamp(column.type) and date_form == "date":
        return not (np.asarray(pc.fill_null(column.view(pa.int64()), 0)) % DAY).any()
    return True


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _record_lines(chunk: Chunk, delimiter: str) -> Ints:
    """Return the line on which each row of a chunk begins, where rows may span lines or be blank."""
    lines = [line for line, row in parsed_rows(chunk.data.decode(), delimiter, chunk.line) if row]
    return np.asarray(lines, dtype=np.int64)
