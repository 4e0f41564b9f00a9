"""Dead letters as NDJSON: one JSON object per line, and lines end at a line feed alone.

Python's splitlines() also cuts at U+0085, U+2028 and other characters, which may occur in an id or a file's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.core.elements import DeadLetter


def to_ndjson(letters: Iterable[DeadLetter]) -> bytes:
    """Return dead letters as NDJSON."""
    return "".join(letter.to_json() + "\n" for letter in letters).encode()


def from_ndjson(content: bytes) -> list[DeadLetter]:
    """Return the dead letters that `to_ndjson` wrote."""
    return list(read_ndjson(content.split(b"\n")))


def read_ndjson(lines: Iterable[bytes]) -> Iterator[DeadLetter]:
    """Yield dead letters from lines of bytes, such as those of a file opened in binary: there may be a million."""
    for line in lines:
        if line.strip():
            yield DeadLetter.from_json(line.decode())
