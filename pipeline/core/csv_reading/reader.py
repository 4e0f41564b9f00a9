"""Reads a CSV in chunks, and reports every error with its line."""

from __future__ import annotations

import codecs
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from pipeline.core.ahead import done_ahead
from pipeline.core.arrays import Ints
from pipeline.core.csv_reading.columns import choose_columns
from pipeline.core.csv_reading.dialect import CsvDialect
from pipeline.core.csv_reading.header import (
    ANNOUNCED,
    column_names,
    first_record,
    parsed_rows,
    sample_rows,
    sniff_delimiter,
)
from pipeline.core.csv_reading.number_dialect import DialectEvidence
from pipeline.core.csv_reading.row_reader import RowReader, UndecidedIdsError, whole_column
from pipeline.core.csv_reading.table_place import lines_below_header, without_lines
from pipeline.core.csv_reading.text_chunks import LONGEST_ROW, Chunk, text_chunks, too_long_line
from pipeline.core.dates.calendars import DAY
from pipeline.core.dates.recognise_dates import recognise_dates
from pipeline.core.errors import RecordError, shorten
from pipeline.core.forecast_spec import MAX_SKIPPED_LINES, ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.sources import ByteSource

PARSED_AT_ONCE = min(4, os.cpu_count() or 1)  # chunks, each by a thread; more would only wait for what uses them
PARSED_AHEAD = 2 * PARSED_AT_ONCE  # chunks whose rows are not used yet
_Chunks = tuple[Chunk, Chunk | None]  # one, and the one that follows it


@dataclass(frozen=True)
class _Parsed:
    """The columns of a chunk.

    Attributes:
        table: typed if every cell is valid, otherwise text.
        skipped: rows that have another number of cells than the header.
        texts: returns the columns as text.
    """

    table: pa.Table
    skipped: list[pa_csv.InvalidRow]
    texts: Callable[[], pa.Table]


@dataclass
class CsvReader(RowReader):
    """Reads one CSV."""

    _chunks: Iterator[Chunk] = field(default_factory=lambda: iter(()))
    _header: list[str] = field(default_factory=list)
    _delimiter: str = ","

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
        chunks = text_chunks(file, spec.encoding, limits, spec.delimiter, spec.skip_rows)
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
        first_rows, sample_lines = sample_rows(body, delimiter)
        while not first_rows and (following := next(chunks, None)):  # blank lines, or a first row of megabytes
            body = following
            first_rows, sample_lines = sample_rows(body, delimiter)
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
            raise ragged_row(width, len(header), delimiter.join(first_rows[0]), sample_lines[0])
        columns_of_sample = itertools.zip_longest(*first_rows, fillvalue="")
        sample = {name: list(next(columns_of_sample, [""] * len(first_rows))) for name in header}
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
        style = recognise_dates(written, columns.date, sample_lines[0], spec.date_format)
        reader = cls(spec, limits, columns, replace(style, on_wall=on_wall))
        reader.unseen_missing = set(spec.missing_values)
        reader._header, reader._delimiter, reader.header_line = header, delimiter, record.line
        reader.dialect = DialectEvidence() if spec.decimal is None and spec.thousands is None else None
        if reader.dialect is not None:
            for name in (*columns.values, *columns.extras):
                reader.dialect.add_sample(sample[name], name, sample_lines)
        reader._chunks = itertools.chain((body,), chunks)
        reader.lines_below_header = below
        with_mark = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16"}
        encoding = with_mark.get(spec.encoding, spec.encoding) if first.marked else spec.encoding
        reader.csv_dialect = CsvDialect(delimiter, spec.decimal or ".", encoding)
        return reader

    def read_instead(self, chunks: Iterator[Chunk]) -> None:
        """Let `rows` read these rows of the file instead of all."""
        self._chunks = chunks

    def _tables(self) -> Iterator[tuple[pa.Table, Ints]]:
        chunks = _with_next(self._chunks)
        first = next(chunks, None)
        if first is None:
            return
        yield from self._tables_of([(first, self._parse(first[0]))])
        if first[1] is not None:
            with closing(done_ahead(chunks, lambda two: self._parse(two[0]), PARSED_AT_ONCE, PARSED_AHEAD)) as parsed:
                yield from self._tables_of(parsed)

    def _tables_of(self, parsed: Iterable[tuple[_Chunks, _Parsed]]) -> Iterator[tuple[pa.Table, Ints]]:
        """Yield parsed chunks, each with the line of each row; see _tables."""
        for (chunk, following), part in parsed:
            if chunk.data:
                self._texts, self._whole_with_points = part.texts, partial(_whole_with_points, chunk.data)
                yield part.table, self._lines(chunk, part.table.num_rows, part.skipped, last=following is None)
                self.end_line = chunk.line + chunk.line_feeds

    def _parse(self, chunk: Chunk) -> _Parsed:
        """Return the needed columns, typed if every cell is valid; called by several threads."""
        if not chunk.data:
            return _Parsed(pa.table({}), [], lambda: pa.table({}))
        direct = self.spec.thousands is None and not self.spec.missing_values
        columns, spec = self.columns, self.spec
        constants = (name for name, _ in columns.constants)
        times = (columns.time,) if columns.time else ()
        types = dict.fromkeys(
            (columns.date, *times, *columns.ids, *columns.values, *columns.extras, *constants), pa.string()
        )
        if direct:
            types |= dict.fromkeys((*columns.values, *columns.extras), pa.float64())
            ids = [name for name in columns.ids if name not in dict(columns.constants)]
            types |= dict.fromkeys(ids, pa.dictionary(pa.int32(), pa.string()))
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
            as_it_should_be = all(_is_plain(whole_column(table, name), self.style.form) for name in types)
        except pa.ArrowInvalid:
            as_it_should_be = False
        strings = dict.fromkeys(types, pa.string())
        if not as_it_should_be:
            table = read(strings).combine_chunks()  # so that an invalid cell can be quoted as written
        return _Parsed(table, skipped.copy(), cache(lambda: read(strings).combine_chunks()))

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


_WHOLE_WITH_POINT = re.compile(rb"\d\.0*(?![\d.])")


def _whole_with_points(data: bytes) -> bool:
    """Return whether there may be whole numbers with points, such as 10.000, which may be ten thousand."""
    return b"." in data and _WHOLE_WITH_POINT.search(data) is not None


def _is_plain(column: pa.Array, date_form: str) -> bool:
    """Return whether a typed column holds only values that reading its text would also have accepted.

    Arrow accepts more as numbers and dates; what is accepted must not depend on the other cells of a chunk.
    """
    if pa.types.is_floating(column.type):
        return bool(np.isfinite(np.asarray(pc.fill_null(column, 0.0) if column.null_count else column)).all())
    if pa.types.is_timestamp(column.type) and date_form == "date":
        times = column.view(pa.int64())
        return not (np.asarray(pc.fill_null(times, 0) if column.null_count else times) % DAY).any()
    return True


def _record_lines(chunk: Chunk, delimiter: str) -> Ints:
    """Return the line on which each row of a chunk begins, where rows may span lines or be blank."""
    lines = [line for line, row in parsed_rows(chunk.data.decode(), delimiter, chunk.line) if row]
    return np.asarray(lines, dtype=np.int64)
