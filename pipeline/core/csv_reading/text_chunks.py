"""From the bytes of a file to whole rows of UTF-8 text, a few megabytes at a time.

Memory is bounded for any file: compressed a thousandfold, without line ends, with an unclosed quote.
"""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.core.errors import RecordError, shorten
from pipeline.core.limits import Limits
from pipeline.core.sources import ByteSource

READ_BYTES = 4 << 20
LONGEST_ROW = 1 << 20
LIKE_LINES = 20  # by which the delimiter is found
SMALL = 1 << 18  # bytes that are done with before compiled code is loaded, which takes half a second
_LINE_FEED = ord("\n")
GZIP = b"\x1f\x8b"
_OTHER_KINDS = {
    b"PK\x03\x04": (
        "a zip archive or an Excel workbook (xlsx)",
        "Save the sheet as CSV, or unpack the archive.",
    ),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (xls)", "Save the sheet as CSV."),
    b"PARE": ("an encrypted Parquet file", "Write it without encryption."),
    b"%PDF": ("a PDF", "Export the table as CSV."),
    b"BZh": ("a file compressed with bzip2", "Decompress it, or compress it with gzip."),
    b"\x28\xb5\x2f\xfd": ("a file compressed with zstd", "Decompress it, or compress it with gzip."),
    b"\xfd7zXZ\x00": ("a file compressed with xz", "Decompress it, or compress it with gzip."),
}


@dataclass(frozen=True)
class Chunk:
    """Whole rows.

    Attributes:
        line: number of the first line, from 1.
        data: UTF-8 that ends with a line end.
        marked: whether a byte order mark preceded it.
    """

    line: int
    data: bytes
    marked: bool = False

    @cached_property
    def line_feeds(self) -> int:
        """Number of line feeds in the data."""
        return int(np.count_nonzero(np.frombuffer(self.data, np.uint8) == _LINE_FEED))  # twice as fast as count


def text_chunks(
    file: ByteSource, encoding: str, limits: Limits, delimiter: str | None = None, skipped: int = 0
) -> Iterator[Chunk]:
    """Yield the rows of a file, cut between rows.

    Args:
        file: the raw bytes, perhaps gzip.
        encoding: Python's name for the text's encoding.
        limits: max_bytes applies to the decompressed size.
        delimiter: of cells, if it is known: a quote opens a cell only where a cell begins.
        skipped: lines at the beginning that do not count.

    Raises:
        RecordError: if these are not the bytes of a CSV.
    """
    return _chunks(_utf8(_decompressed(file, limits), encoding), delimiter, skipped, first=True)


def range_chunks(part: ByteSource, delimiter: str) -> Iterator[Chunk]:
    """Yield the rows of a range of a file, but not its first one; lines are counted from 1.

    Args:
        part: the bytes of the range, UTF-8, which begins behind a line end, and ends with one or with the file.
        delimiter: of cells, as `likely_delimiter` finds it at the start of the file, or as the options say.

    Raises:
        RecordError: if these are not the bytes of a CSV, its end is within quotes, or a line may be too long: whether
            it is refused depends on where pieces of the whole file end.
    """
    for chunk in _chunks(iter(lambda: part.read(READ_BYTES), b""), delimiter, 0, first=False):
        for start in range(0, len(chunk.data), LONGEST_ROW // 2):
            end = start + LONGEST_ROW // 2
            if end < len(chunk.data) and chunk.data.find(b"\n", start, end) < 0:
                raise too_long_line(chunk.line)
        yield chunk


def _chunks(pieces: Iterator[bytes], delimiter: str | None, skipped: int, first: bool) -> Iterator[Chunk]:
    line = 1
    rest = b""
    marked = False
    held: Chunk | None = None  # until it is known whether one line more belongs to it
    quoted: re.Pattern[bytes] | None = None
    mark = delimiter
    for number, data in enumerate(pieces):
        if number == 0 and first:
            marked = data.startswith(codecs.BOM_UTF8)
            data = data.removeprefix(codecs.BOM_UTF8)
        buffer = rest + data
        mark = mark or likely_delimiter(buffer, skipped)
        quoted = quoted or quoted_cells(mark)
        cut = _end_of_last_row(buffer, mark, quoted)
        head, rest = buffer[:cut], buffer[cut:]
        if head:
            if held is not None:
                yield held
            held = _checked(Chunk(line, _line_feeds(head, quoted), marked))
            line += held.line_feeds
        if len(rest) > LONGEST_ROW:
            raise _unending_row(rest, line, quoted)
    rest = rest.removesuffix(b"\x1a")  # the end of a file, in DOS
    if rest and quoted is not None:
        if _open_quote(rest, quoted) is not None:
            raise _unending_row(rest, line, quoted)
        ended = rest if rest.endswith(b"\r") else rest + b"\n"
        last = _checked(Chunk(line, _line_feeds(ended, quoted), marked))
        held = last if held is None else Chunk(held.line, held.data + last.data, marked)
    if held is not None:
        yield held


def likely_delimiter(start: bytes, skipped: int = 0) -> str:
    """Return the usual delimiter that the first lines have most alike, to decide which quotes open a cell.

    Args:
        start: of the text.
        skipped: lines that do not count.
    """
    at = 0
    for _ in range(skipped):
        at = start.find(b"\n", at) + 1
    bare = re.sub(rb'"[^"]*("|\Z)', b"", start[at : at + LONGEST_ROW])
    lines = [line for line in re.split(rb"[\r\n]+", bare, maxsplit=LIKE_LINES) if line][:LIKE_LINES]

    def alike(mark: str) -> tuple[int, bool, int]:
        counts = [line.count(mark.encode()) for line in lines]
        often = max(filter(None, counts), key=counts.count, default=0)
        return counts.count(often) if often else 0, mark != ",", sum(counts)  # commas may be decimal marks

    return max(",;\t|", key=alike)


def quoted_cells(delimiter: str) -> re.Pattern[bytes]:
    """Return a pattern for a quoted cell in text that starts with a row; its group 1 is empty if it is not closed.

    A quote opens a cell only where a cell begins; elsewhere, as in 5" pipe, it is an ordinary character.
    """
    mark = re.escape(delimiter.encode())
    # the look-behind includes the quote itself, so that the search can start at a quote
    return re.compile(rb'"(?:(?<=' + mark + rb'")|(?<=[\r\n]")|(?<=\A"))(?:[^"]|"")*+("|\Z)')


def end_of_first_row(data: bytes, delimiter: str | None) -> int:
    """Return the position after the first line feed that is not within quotes; 0 if there is none."""
    position = 0
    end = data.find(b"\n")
    if b'"' not in data[:end]:
        return end + 1
    for cell in quoted_cells(delimiter or likely_delimiter(data)).finditer(data):
        end = data.find(b"\n", position, cell.start())
        if end >= 0:
            return end + 1
        position = cell.end()
    return data.find(b"\n", position) + 1


def _decompressed(file: ByteSource, limits: Limits) -> Iterator[bytes]:
    start = file.read(6)
    if not start:
        raise RecordError("EMPTY_FILE", "The file is empty.", "Write a header line and rows below it.")
    for magic, (kind, hint) in _OTHER_KINDS.items():
        if start.startswith(magic):
            raise RecordError("NOT_TEXT", f"This is not a CSV but {kind}.", hint)
    whole = _Rejoined(start, file)
    compressed = start.startswith(GZIP)
    source = gzip.GzipFile(fileobj=io.BufferedReader(whole, READ_BYTES)) if compressed else whole
    total = 0
    while True:
        try:
            data = source.read(READ_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise RecordError(
                "BAD_GZIP",
                f"The gzip stream is damaged or cut short: {error}.",
                "Compress the file again and upload it whole.",
            ) from None
        if not data:
            return
        total += len(data)
        if total > limits.max_bytes:
            raise too_many_bytes(limits)
        yield data


def too_many_bytes(limits: Limits) -> RecordError:
    """Return the error for a file that is too large."""
    return RecordError(
        "TOO_MANY_BYTES",
        f"The file has more than {limits.max_bytes:,} bytes (decompressed).",
        "Split the file, or ask the operator to raise --max_bytes.",
    )


def too_much_work(limits: Limits) -> RecordError:
    """Return the error for a file whose rows take too much of the disk."""
    return RecordError(
        "TOO_MANY_BYTES",
        f"The rows of the file take more than {limits.max_work_bytes:,} bytes of disk.",
        "Split the file, or ask the operator to raise --max_work_bytes, and the workers' disks with it.",
    )


class _Rejoined(io.RawIOBase):
    """A stream from which the first bytes have been read already."""

    def __init__(self, start: bytes, rest: ByteSource) -> None:
        self._start = start
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._start + self._rest.read(size - len(self._start) if size >= 0 else size)
        self._start = b""
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._start[: len(buffer)] or self._rest.read(len(buffer))
        self._start = self._start[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _utf8(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the text as UTF-8, with its byte order mark if it has one; UTF-8 itself is checked later, by the row."""
    first = next(pieces, b"")
    if encoding in ("utf-8", "utf-8-sig"):
        if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise RecordError(
                "BAD_ENCODING",
                "The file is UTF-16, not UTF-8.",
                "Use --encoding=utf-16, or save it as UTF-8.",
                line=1,
                assume={"encoding": "utf-16"},
            )
        yield first
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    for piece in itertools.chain((first,), pieces, (b"",)):
        try:
            text = decoder.decode(piece, final=not piece)
            encoded = text.encode()
        except UnicodeError as error:
            before = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
            reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
            hint = "Use --encoding to name the encoding the file was saved in."
            if encoding == "utf-16":  # without a byte order mark it may be either of the two
                hint = f"Use --encoding=utf-16-{'be' if piece[:1] == bytes(1) else 'le'}."
            raise RecordError(
                "BAD_ENCODING", f"The bytes are not {encoding}: {reason}.", hint, line=line + before.count(b"\n")
            ) from None
        line += text.count("\n")
        yield encoded


def _end_of_last_row(buffer: bytes, delimiter: str, quoted: re.Pattern[bytes]) -> int:
    """Return the position after the last line end that is not within quotes; 0 if there is none."""
    if b'"' in buffer and len(buffer) > SMALL:
        from pipeline.core.csv_reading.row_ends import end_of_last_row  # imports numba

        return end_of_last_row(buffer, delimiter)
    bare = quoted.sub(lambda cell: bytes(len(cell[0])), buffer) if b'"' in buffer else buffer
    # carriage returns at the very end may be followed by a line feed
    return max(bare.rfind(b"\n"), bare.rfind(b"\r", 0, len(bare.rstrip(b"\r")))) + 1


def _line_feeds(rows: bytes, quoted: re.Pattern[bytes]) -> bytes:
    """Turn lone carriage returns outside quotes into line feeds, so that each row ends in a line feed."""
    if b"\r" not in rows or rows.count(b"\r") == rows.count(b"\r\n"):
        return rows
    if b'"' not in rows:
        return _CARRIAGE_RETURNS.sub(b"\n", rows)
    parts, position = [], 0
    for cell in quoted.finditer(rows):
        parts += [_CARRIAGE_RETURNS.sub(b"\n", rows[position : cell.start()]), cell[0]]
        position = cell.end()
    return b"".join([*parts, _CARRIAGE_RETURNS.sub(b"\n", rows[position:])])


_CARRIAGE_RETURNS = re.compile(rb"\r+\n|\r")


def _open_quote(buffer: bytes, quoted: re.Pattern[bytes]) -> int | None:
    """Return the position of a quote that opens a cell and is not closed; None if there is none."""
    last = max(quoted.finditer(buffer), key=lambda cell: cell.start(), default=None)
    return None if last is None or last[1] else last.start()


def _unending_row(rest: bytes, line: int, quoted: re.Pattern[bytes]) -> RecordError:
    opened = _open_quote(rest, quoted)
    if opened is not None:
        return RecordError(
            "UNCLOSED_QUOTE",
            "A quote is opened here and never closed.",
            'Close it; a quote within quotes is written twice ("").',
            line=line + rest.count(b"\n", 0, opened),
        )
    return too_long_line(line)


def too_long_line(line: int) -> RecordError:
    """Return the error for a line that is longer than any row of a table should be."""
    return RecordError(
        "LINE_TOO_LONG",
        f"A line has more than {LONGEST_ROW:,} bytes.",
        "Check that this is a CSV with one row per line.",
        line=line,
    )


def _every_other(data: bytes, first: int) -> bool:
    """Return whether every other byte is mostly NUL, as in UTF-16 text with Latin letters."""
    half = data[:200][first::2]
    return half.count(0) > 0.8 * len(half) > 0


def _checked(chunk: Chunk) -> Chunk:
    """Return the chunk.

    Raises:
        RecordError: NOT_TEXT or BAD_ENCODING, with the line.
    """
    at = chunk.data.find(b"\0")
    if at >= 0:
        half = next((f"utf-16-{end}" for end, first in (("le", 1), ("be", 0)) if _every_other(chunk.data, first)), "")
        raise RecordError(
            "NOT_TEXT",
            "There is a NUL byte, which does not occur in text.",
            f"Use --encoding={half}." if half else "Save the file as text.",
            line=chunk.line + chunk.data.count(b"\n", 0, at),
            assume={"encoding": half} if half else None,
        )
    if not chunk.data.isascii():
        try:
            chunk.data.decode("utf-8")
        except UnicodeDecodeError as error:
            start = chunk.data.rfind(b"\n", 0, error.start) + 1
            text = chunk.data[start : error.start + 20].split(b"\n")[0].decode("latin-1")
            raise RecordError(
                "BAD_ENCODING",
                f"{shorten(text)!r} is not UTF-8.",
                "Save the file as UTF-8, or name its encoding, for example --encoding=cp1252.",
                line=chunk.line + chunk.data.count(b"\n", 0, error.start),
                found=text,
                assume={"encoding": "cp1252"},
            ) from None
    return chunk
