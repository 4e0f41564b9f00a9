"""Where the table in a file begins and ends: lines above the header, several headers, lines below the last row."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice

from pipeline.core.csv_reading.columns import DATE_NAMES, VALUE_NAMES
from pipeline.core.csv_reading.header import has_text, parsed_rows
from pipeline.core.csv_reading.text_chunks import Chunk
from pipeline.core.dates.recognise_dates import looks_like_dates
from pipeline.core.errors import RecordError, shorten

LINES_LOOKED_AT = 100
MAX_HEADER_LINES = 5
ROWS_SHARE = 0.9  # of the lines from the first row on that are rows; totals may follow
USUAL_SHARE = 0.6  # of the lines that have the usual number of cells, in a table with lines above it
_BYTES_LOOKED_AT = 1 << 16
_NUMBER = re.compile(r"[+\-−]?[\d.,' \u00a0\u202f]*\d[%€$£]?|[€$£][\d.,]+")


def without_lines(chunks: Iterator[Chunk], above: int, below: int) -> Iterator[Chunk]:
    """Yield a file without its first and last lines.

    Args:
        chunks: the file.
        above: number of lines to skip at the beginning.
        below: number of lines to skip at the end.
    """
    held: deque[Chunk] = deque()  # the last chunks, which may have lines to skip
    for chunk in chunks:
        dropped = min(above, chunk.line_feeds)
        above -= dropped
        kept = Chunk(chunk.line + dropped, chunk.data[_after_lines(chunk.data, dropped) :], chunk.marked)
        if not below:
            yield kept
            continue
        held.append(kept)
        while sum(later.line_feeds for later in list(held)[1:]) >= below:
            yield held.popleft()
    left = sum(chunk.line_feeds for chunk in held) - below
    for chunk in held:
        if left > 0:
            yield Chunk(chunk.line, chunk.data[: _after_lines(chunk.data, min(left, chunk.line_feeds))], chunk.marked)
        left -= chunk.line_feeds


def _after_lines(data: bytes, lines: int) -> int:
    """Return the position after some lines."""
    position = 0
    for _ in range(lines):
        position = data.index(b"\n", position) + 1
    return position


Lines = list[tuple[int, list[str]]]  # each with its number


def lines_below_header(chunk: Chunk, delimiter: str | None) -> int:
    """Return how many lines below the header are not rows; raise if the first line is not the header.

    Args:
        chunk: the beginning of the file, including its first line that is not blank.
        delimiter: of cells, if it is known.

    Raises:
        RecordError: NO_HEADER, with the number of lines to skip.
    """
    data = chunk.data[:_BYTES_LOOKED_AT]
    text = data[: data.rfind(b"\n") + 1].decode(errors="replace")
    tables: list[tuple[float, int, Lines]] = []  # by each delimiter: share of usual lines, their cells, all lines
    for mark in (delimiter,) if delimiter else [mark for mark in ",;\t|" if mark in text]:
        rows = parsed_rows(text, mark, chunk.line, skip_blanks=True)
        try:
            lines = list(islice(((line, row) for line, row in rows if has_text(row)), LINES_LOOKED_AT))
        except RecordError:
            if delimiter:
                raise
            continue  # by a delimiter that the file does not have, a quoted cell may be none
        widths = Counter([len(row) for _, row in lines if len(row) > 1])
        if not widths:
            continue
        usual, count = widths.most_common(1)[0]
        if count >= USUAL_SHARE * len(lines):
            tables.append((count / len(lines), usual, lines))
    whole = [lines for _, _, lines in tables if len(lines[0][1]) == len(lines[-1][1])]
    if whole:
        lines = max(whole, key=lambda lines: len(lines[0][1]))
        _refuse_sparse_header(lines)
        return _lines_below_header(lines)
    if tables:
        _, usual, lines = max(tables, key=lambda table: table[0])
        first = _header_at(lines, usual)
        if first:
            cells = len(lines[0][1])
            raise _lines_above(
                f"The first line, {_shown(lines[0][1])}, has {cells} cell{'s' if cells > 1 else ''}, most others have "
                f"{usual}: the table begins on line {lines[first][0]}.",
                lines[0][0],
                lines[first][0],
            )
    return 0


def _header_at(lines: Lines, usual: int) -> int:
    """Return the position of the line above the first row of the table, if it may be a header; otherwise 0."""
    like_rows = [len(row) == usual and _has_data(row) for _, row in lines]
    first = next((i for i in range(len(lines)) if sum(like_rows[i:]) >= ROWS_SHARE * (len(lines) - i)), 0)
    first = next((i for i in range(first, len(lines)) if like_rows[i]), 0)
    return first - 1 if first and len(lines[first - 1][1]) == usual and _is_header(lines[first - 1][1]) else 0


def _shown(row: list[str]) -> str:
    return repr(shorten(", ".join(cell.strip() for cell in row if cell.strip())))


def _refuse_sparse_header(lines: Lines) -> None:
    """Raise if the first line is mostly empty, like a spreadsheet's title, and a later one is full."""
    if not _sparse(lines[0][1]):
        return
    full = next((i for i, (_, row) in enumerate(lines) if all(cell.strip() for cell in row)), None)
    if full and _is_header(lines[full][1]) and all(_sparse(row) for _, row in lines[:full]):
        raise _lines_above(
            f"The first line, {_shown(lines[0][1])}, is mostly empty: the table begins on line {lines[full][0]}.",
            lines[0][0],
            lines[full][0],
        )


def _lines_below_header(lines: Lines) -> int:
    """Return how many lines below the header, such as one of units, have neither a number nor a date.

    Raises:
        RecordError: NO_HEADER if the first of these lines is not the one that names the columns.
    """
    rows = [row for _, row in lines]
    first = next((i for i, row in enumerate(rows) if _has_data(row)), 0)
    if not 2 <= first <= MAX_HEADER_LINES or not all(map(_has_data, rows[first:])):
        return 0
    full = [i for i in range(first) if all(cell.strip() for cell in rows[i]) and len(set(rows[i])) == len(rows[i])]
    named = [i for i in full if any(cell.strip().lower() in (*DATE_NAMES, *VALUE_NAMES) for cell in rows[i])]
    best = next(iter(named or full), None)
    if best == 0:
        return lines[first][0] - lines[0][0] - 1
    line = lines[first - 1 if best is None else best][0]
    if best is not None:
        above, header = line - 1, True
        hint = f"Use --skip_rows={above} to take the names from line {line}, or delete the other headers."
    else:
        above, header = lines[first][0] - 1, False
        hint = f"Use --skip_rows={above} --header=false to name the columns column_1, column_2 and so on, or "
        hint += "delete all but one of these lines."
    raise RecordError(
        "NO_HEADER",
        f"Lines {lines[0][0]} to {lines[first - 1][0]} all look like headers.",
        hint,
        line=line,
        assume={"skip_rows": above, "header": header},
    )


def _lines_above(message: str, line: int, header: int) -> RecordError:
    return RecordError(
        "NO_HEADER",
        message,
        f"Use --skip_rows={header - 1}, or delete what is above the header.",
        line=line,
        assume={"skip_rows": header - 1},
    )


def _sparse(row: list[str]) -> bool:
    return 2 * sum(bool(cell.strip()) for cell in row) <= len(row)


def _is_header(row: list[str]) -> bool:
    """Return whether cells may be column names: no dates, and not only numbers."""
    filled = [cell.strip() for cell in row if cell.strip()]
    return bool(filled) and not looks_like_date_in(filled) and not all(_NUMBER.fullmatch(cell) for cell in filled)


def looks_like_date_in(cells: list[str]) -> bool:
    """Return whether one of the cells is a date."""
    return any(looks_like_dates([cell]) for cell in cells)


def _has_data(row: list[str]) -> bool:
    """Return whether one of the cells is a number or a date."""
    filled = [cell.strip() for cell in row if cell.strip()]
    return any(_NUMBER.fullmatch(cell) for cell in filled) or looks_like_date_in(filled)
