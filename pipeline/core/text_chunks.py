"""From the bytes of a file to whole rows of UTF-8 text, a few megabytes at a time.

Memory is bounded whatever the file: compressed a thousandfold, without a line end, with an open quote.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.core.limits import Limits
from pipeline.errors import RecordError, shorten

READ_BYTES = 4 << 20
LONGEST_ROW = 1 << 20
_GZIP = b"\x1f\x8b"
_OTHER_KINDS = {
    b"PK\x03\x04": (
        "a zip archive or an Excel workbook (xlsx)",
        "Save the sheet as CSV, or unpack the archive.",
    ),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (xls)", "Save the sheet as CSV."),
    b"PAR1": ("a Parquet file", "Convert it to CSV."),
    b"%PDF": ("a PDF", "Export the table as CSV."),
    b"BZh": ("compressed with bzip2", "Decompress it, or compress it with gzip."),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "Decompress it, or compress it with gzip."),
    b"\xfd7zXZ\x00": ("compressed with xz", "Decompress it, or compress it with gzip."),
}


@dataclass(frozen=True)
class Chunk:
    """Whole rows: `data` is UTF-8 that ends with a line end, `line` the number of its first line, from 1."""

    line: int
    data: bytes


def refusal_of_os_error(error: OSError) -> RecordError | None:
    """Return the owner's fault that an error on opening a file stands for, or None if it is the system's."""
    if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return RecordError("SOURCE_GONE", "The file is not there.", "Check the path; upload it again if it is gone.")
    if isinstance(error, IsADirectoryError):
        return RecordError(
            "SOURCE_IS_DIRECTORY",
            "This is a folder, not a file.",
            "Name the files in it, for example with a pattern such as folder/*.csv.",
        )
    if isinstance(error, PermissionError):
        return RecordError(
            "SOURCE_FORBIDDEN",
            "The file may not be read.",
            "Give the user who runs the pipeline the right to read it.",
        )
    return None


def open_source(path: Path) -> IO[bytes]:
    """Open a local file for reading.

    Raises:
        RecordError: if it is gone, a folder, or forbidden.
    """
    try:
        return path.open("rb")
    except OSError as error:
        refusal = refusal_of_os_error(error)
        if refusal is None:
            raise
        raise refusal from None


def text_chunks(file: IO[bytes], encoding: str, limits: Limits) -> Iterator[Chunk]:
    """Yield the rows of a file, cut between rows.

    Args:
        file: the raw bytes, perhaps gzip.
        encoding: Python's name for the text's encoding.
        limits: max_bytes is held against the decompressed size.

    Raises:
        RecordError: if these are not the bytes of a CSV.
    """
    line = 1
    rest = b""
    for data in _line_ends(_utf8(_decompressed(file, limits), encoding)):
        buffer = rest + data
        cut = end_of_last_row(buffer)
        head, rest = buffer[:cut], buffer[cut:]
        if head:
            yield _checked(Chunk(line, head))
            line += head.count(b"\n")
        if len(rest) > LONGEST_ROW:
            raise _unending_row(rest, line)
    rest = rest.removesuffix(b"\x1a")  # the end of a file, in DOS
    if rest:
        if _open_quote(rest) is not None:
            raise _unending_row(rest, line)
        yield _checked(Chunk(line, rest + b"\n"))


def _decompressed(file: IO[bytes], limits: Limits) -> Iterator[bytes]:
    start = file.read(6)
    if not start:
        raise RecordError("EMPTY_FILE", "The file is empty.", "Write a header line and rows below it.")
    for magic, (kind, hint) in _OTHER_KINDS.items():
        if start.startswith(magic):
            raise RecordError("NOT_TEXT", f"This is not a CSV but {kind}.", hint)
    raw = io.BufferedReader(_Rejoined(start, file), READ_BYTES)
    source = gzip.GzipFile(fileobj=raw) if start.startswith(_GZIP) else raw
    total = 0
    while True:
        try:
            data = source.read(READ_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise RecordError(
                "BAD_GZIP",
                f"The gzip stream cannot be read to its end: {error}.",
                "Compress the file again and upload it whole.",
            ) from None
        if not data:
            return
        total += len(data)
        if total > limits.max_bytes:
            raise RecordError(
                "TOO_MANY_BYTES",
                f"The file has more than {limits.max_bytes:,} bytes (decompressed).",
                "Split the file, or ask the operator to raise --max_bytes.",
            )
        yield data


class _Rejoined(io.RawIOBase):
    """A stream from which the first bytes have been read already."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start = start
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._start[: len(buffer)] or self._rest.read(len(buffer))
        self._start = self._start[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _utf8(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the text as UTF-8 without a byte order mark; UTF-8 itself is checked later, by the row."""
    first = next(pieces, b"")
    if encoding in ("utf-8", "utf-8-sig"):
        if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise RecordError(
                "BAD_ENCODING",
                "The file is UTF-16, not UTF-8.",
                "Give --encoding=utf-16, or save it as UTF-8.",
                line=1,
            )
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    for piece in _chain(first, pieces):
        try:
            text = decoder.decode(piece, final=not piece)
            encoded = (text.removeprefix("\ufeff") if piece is first else text).encode()
        except UnicodeError as error:
            before = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
            reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
            hint = "Give the encoding the file was saved in, with --encoding."
            if encoding == "utf-16":  # without a mark it cannot know which of the two it is
                hint = f"Give --encoding=utf-16-{'be' if piece[:1] == bytes(1) else 'le'}."
            raise RecordError(
                "BAD_ENCODING", f"The bytes are not {encoding}: {reason}.", hint, line=line + before.count(b"\n")
            ) from None
        line += text.count("\n")
        yield encoded


def _chain(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces
    yield b""


def _line_ends(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Turn lone carriage returns outside quotes into line feeds, so that each line ends in a line feed."""
    held = b""
    for piece in pieces:
        data = held + piece
        held = data[len(data.rstrip(b"\r")) :]  # what follows decides what these are
        yield _line_feeds(data[: len(data) - len(held)])
    yield _line_feeds(held)


def _line_feeds(data: bytes) -> bytes:
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        return data
    if b'"' not in data:
        return _CARRIAGE_RETURN.sub(b"\n", data)
    return _QUOTED_OR_RETURN.sub(lambda match: match[0] if match[0].startswith(b'"') else b"\n", data)


_CARRIAGE_RETURN = re.compile(rb"\r+\n|\r")
# A quote opens a cell only where a cell begins; elsewhere, as in 5" pipe, it is a character like any other.
_QUOTED = re.compile(rb'(?:(?<=[,;\t|\n\r])|\A)"(?:[^"]|"")*+("|\Z)')
_QUOTED_OR_RETURN = re.compile(_QUOTED.pattern + rb"|\r+\n|\r")


def end_of_last_row(buffer: bytes) -> int:
    """Return the position after the last line end that is not within quotes; 0 if there is none."""
    end = buffer.rfind(b"\n")
    if end < 0 or buffer.count(b'"', 0, end) % 2 == 0:
        return end + 1
    # Either the last line end is within quotes, or there is a quote that opens nothing.
    opened = _open_quote(buffer)
    end = buffer.rfind(b"\n", 0, len(buffer) if opened is None else opened)
    spans = [match.span() for match in _QUOTED.finditer(buffer, 0, end + 1)] if end >= 0 else []
    while spans and spans[-1][0] < end < spans[-1][1]:
        end = buffer.rfind(b"\n", 0, spans.pop()[0])
    return end + 1


def _open_quote(buffer: bytes) -> int | None:
    """Return the position of a quote that opens a cell and is not closed; None if there is none."""
    if b'"' not in buffer:
        return None
    last = max(_QUOTED.finditer(buffer), key=lambda match: match.start(), default=None)
    return None if last is None or last[1] else last.start()


def _unending_row(rest: bytes, line: int) -> RecordError:
    opened = _open_quote(rest)
    if opened is not None:
        return RecordError(
            "UNCLOSED_QUOTE",
            "A quote is opened here and not closed again.",
            'Close it; a quote within quotes is written twice ("").',
            line=line + rest.count(b"\n", 0, opened),
        )
    return RecordError(
        "LINE_TOO_LONG",
        f"A line has more than {LONGEST_ROW:,} bytes.",
        "Check that this is a CSV with a row a line.",
        line=line,
    )


def _checked(chunk: Chunk) -> Chunk:
    """Return the chunk.

    Raises:
        RecordError: NOT_TEXT or BAD_ENCODING, with the line.
    """
    at = chunk.data.find(b"\0")
    if at >= 0:
        raise RecordError(
            "NOT_TEXT",
            "There is a NUL byte, which no text has.",
            "Save the file as text; if it is UTF-16, give --encoding=utf-16.",
            line=chunk.line + chunk.data.count(b"\n", 0, at),
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
                "Save the file as UTF-8, or give its encoding, for example --encoding=cp1252.",
                line=chunk.line + chunk.data.count(b"\n", 0, error.start),
                found=text,
            ) from None
    return chunk
