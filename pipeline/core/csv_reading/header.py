"""The first rows of a CSV: its delimiter, its header, a sample of its rows."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from pipeline.core.csv_reading.text_chunks import LONGEST_ROW, Chunk, end_of_first_row
from pipeline.core.dates.recognise_dates import looks_like_dates
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec

csv.field_size_limit(2 * LONGEST_ROW)
SAMPLE_ROWS = 300
_SAMPLE_BYTES = 1 << 20
ANNOUNCED = re.compile(rb'"?sep=([,;|\t])"?', re.IGNORECASE)  # a spreadsheet's first line may be "sep=;"


def first_record(chunks: Iterator[Chunk], delimiter: str | None) -> tuple[Chunk, Chunk]:
    """Return the first row that is not blank, and the rest of its chunk.

    Raises:
        RecordError: EMPTY_FILE if there is none.
    """
    for chunk in chunks:
        data = chunk.data.lstrip(b" \t\r\n")
        skipped = chunk.data[: len(chunk.data) - len(data)]
        skipped = skipped[: skipped.rfind(b"\n") + 1]  # whole lines only: the header may begin with a tab
        data, line = chunk.data[len(skipped) :], chunk.line + skipped.count(b"\n")
        if data.strip():
            end = end_of_first_row(data, delimiter) or len(data)
            return Chunk(line, data[:end]), Chunk(line + data.count(b"\n", 0, end), data[end:])
    raise RecordError(
        "EMPTY_FILE",
        "The file has only blank lines.",
        "Write a header and rows below it; check --skip_rows and --skip_footer if you use them.",
    )


def parsed_rows(text: str, delimiter: str, line: int, skip_blanks: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield rows of text, including blank ones, each with the line on which it begins.

    Args:
        text: whole rows, or the beginning of a file.
        delimiter: what separates cells.
        line: number of the first line.
        skip_blanks: whether to skip spaces after a delimiter.

    Raises:
        RecordError: LINE_TOO_LONG if a cell is longer than any row should be.
    """
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter, skipinitialspace=skip_blanks)
    before = 0
    try:
        for row in reader:
            yield line + before, row
            before = reader.line_num
    except csv.Error as error:
        raise RecordError(
            "LINE_TOO_LONG",
            f"The row cannot be parsed: {error}.",
            "Check that this is a CSV with one row per line.",
            line=line + before,
        ) from None


def sniff_delimiter(record: Chunk, rest: Chunk, spec: ForecastSpec) -> str:
    """Return the delimiter of the header.

    Raises:
        RecordError: AMBIGUOUS_DELIMITER if several qualify.
    """

    def count(line: bytes) -> dict[str, int]:
        bare = re.sub(r'"[^"]*"', "", line.decode())
        return {mark: bare.count(mark) for mark in ",;\t|" if mark != spec.decimal or mark != ","}

    header = {mark: times for mark, times in count(record.data).items() if times}
    if len(header) <= 1:
        return next(iter(header), ",")
    below = count(rest.data[: rest.data.find(b"\n")])
    fitting = [mark for mark in header if header[mark] == below[mark]]
    if len(fitting) == 1:
        return fitting[0]
    first = rest.data[: rest.data.find(b"\n")].decode(errors="replace")
    whole = {mark: sum(map(_is_one_thing, first.split(mark))) for mark in fitting}
    best = [mark for mark in fitting if whole[mark] == max(whole.values())]
    if len(best) == 1:  # 2025-01-01;20,5 is a date and a number only at the semicolon
        return best[0]
    raise RecordError(
        "AMBIGUOUS_DELIMITER",
        "The header has more than one of comma, semicolon, tab and bar.",
        "Use " + " or ".join(f"--delimiter='{mark}'" for mark in fitting or header) + ".",
        line=record.line,
    )


def _is_one_thing(cell: str) -> bool:
    """Return whether the whole cell is a number or a date."""
    bare = cell.strip().strip('"')
    if any(mark in bare for mark in ";\t|"):
        return False
    return bool(re.fullmatch(r"[+-]?\d+([.,]\d+)?", bare)) or looks_like_dates([bare])


def column_names(names: list[str], line: int, spec: ForecastSpec) -> list[str]:
    """Return the names of the columns, generated where the header has none.

    Raises:
        RecordError: if the first row is not a header, or has a name twice.
    """
    if not spec.header:
        return [f"column_{i + 1}" for i in range(len(names))]
    names = [name.strip() for name in names]
    dates = [name for name in names if looks_like_dates([name])]
    numbers = [name for name in names if re.fullmatch(r"[+-]?\d+([.,]\d+)?", name.strip())]
    if len(dates) > 1 and len(names) > 2:
        raise RecordError(
            "NO_HEADER",
            "The dates are in the header, as column names.",
            "Transpose the table, so that dates run down one column and each series is a column.",
            line=line,
            found=dates[0],
        )
    if dates or (numbers and len(numbers) == len(names)):
        raise RecordError(
            "NO_HEADER",
            "The first line looks like data, not like column names.",
            "Add a header such as date,y above it, or use --header=false.",
            line=line,
            found=(dates or numbers)[0],
        )
    header = [name.strip() or f"column_{i + 1}" for i, name in enumerate(names)]
    for name, times in Counter(header).items():
        if times > 1:
            raise RecordError(
                "DUPLICATE_COLUMN",
                f"Two columns have the name {name!r}.",
                "Rename one of them.",
                line=line,
                column=name,
            )
    return header


def has_text(row: list[str]) -> bool:
    """Return whether a row is not blank."""
    return bool("".join(row).strip())  # in one call for all cells: it is asked of each row


def sample_rows(body: Chunk, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Return the first rows, and the line of each."""
    found: list[tuple[int, list[str]]] = []
    for part in (body.data[:_SAMPLE_BYTES], body.data):  # all of it if the first row is that long
        read = parsed_rows(part.decode(errors="ignore"), delimiter, body.line)
        found = [*islice(((line, row) for line, row in read if has_text(row)), SAMPLE_ROWS)]
        if len(found) < SAMPLE_ROWS and len(part) < len(body.data):
            del found[-1:]  # a truncated cell could look like another kind of cell
        if found:
            break
    return [row for _, row in found], [line for line, _ in found]
