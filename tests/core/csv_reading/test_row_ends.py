"""Where the last row of a piece of CSV ends, quoted cells and all."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.core.csv_reading import text_chunks
from pipeline.core.csv_reading.row_ends import end_of_last_row
from pipeline.core.csv_reading.text_chunks import quoted_cells


def by_pattern(text: bytes, delimiter: str) -> int:
    """Return the same by a regular expression for quoted cells, slowly."""
    inside = [cell.span() for cell in quoted_cells(delimiter).finditer(text)]
    ends = [
        at + 1
        for at, byte in enumerate(text)
        if (byte == ord("\n") or (byte == ord("\r") and text[at + 1 :].lstrip(b"\r")))
        and not any(begin <= at < end for begin, end in inside)
    ]
    return max(ends, default=0)


@settings(max_examples=1000, deadline=None)
@given(st.text(alphabet='a"",;\n\r¦', max_size=30), st.sampled_from([",", ";", "¦"]))
@example('"a""', ",")
@example('a,"b\n"\n"', ",")
@example('5" pipe\n6" pipe\n', ",")
@example('"a"\r', ",")
def test_the_end_is_that_which_a_pattern_finds(text: str, delimiter: str) -> None:
    expected = by_pattern(text.encode(), delimiter)
    assert end_of_last_row(text.encode(), delimiter) == expected
    quoted = quoted_cells(delimiter)
    assert text_chunks._end_of_last_row(text.encode(), delimiter, quoted) == expected  # of a small file


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"", 0),
        (b"\r", 0),
        (b'\r"', 1),
        (b"a\nb\r\r", 2),
        (b"a\r\rb", 3),
        (b"a,b\n1,2\n3", 8),
        (b'a,"b\n1",2\n3', 10),
        (b'a,"b\n1,2\n3', 0),
        (b'a\n"b ""\n"" c",2', 2),
    ],
)
def test_ends(text: bytes, end: int) -> None:
    assert end_of_last_row(text, ",") == end
