from __future__ import annotations

import csv
import gzip
import io
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import sources
from pipeline.core.csv_reading import text_chunks as tc
from pipeline.core.errors import RecordError
from pipeline.core.limits import Limits

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"))


def chunks_of(data: bytes, encoding: str = "utf-8", limits: Limits | None = None) -> list[tc.Chunk]:
    return list(tc.text_chunks(io.BytesIO(data), encoding, limits or Limits()))


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1), read_bytes=st.integers(7, 200))
def test_chunks_hold_whole_rows_and_know_their_lines(rows: list[list[str]], read_bytes: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["first", "second"], *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tc, "READ_BYTES", read_bytes)
        chunks = chunks_of(text.getvalue().encode())
    assert b"".join(chunk.data for chunk in chunks) == text.getvalue().encode()
    assert [row for chunk in chunks for row in csv.reader(io.StringIO(chunk.data.decode(), newline=""))] == list(
        csv.reader(io.StringIO(text.getvalue(), newline=""))
    )
    line = 1
    for chunk in chunks:
        assert chunk.line == line
        line += chunk.data.count(b"\n")


def test_ten_megabytes_without_a_line_end_are_refused_early() -> None:
    with pytest.raises(RecordError) as refusal:
        chunks_of(b"date,y\n" + b"1" * 10_000_000)
    assert (refusal.value.code, refusal.value.line) == ("LINE_TOO_LONG", 2)


def test_a_quote_left_open_over_megabytes_is_named_by_its_line() -> None:
    with pytest.raises(RecordError) as refusal:
        chunks_of(b'date,y\n2024-01-01,"1\n' + b"2024-01-02,2\n" * 500_000)
    assert (refusal.value.code, refusal.value.line) == ("UNCLOSED_QUOTE", 2)


@pytest.mark.parametrize("content", [b"\0", b"2024-01-01,1\n"])
def test_a_gzip_bomb_is_refused_within_bounded_memory(content: bytes, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.csv.gz"
    with gzip.open(bomb, "wb") as file:
        file.write(b"date,y\n")
        for _ in range(300):
            file.write(content * (1_000_000 // len(content)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RecordError) as refusal, bomb.open("rb") as file:
        for _ in tc.text_chunks(file, "utf-8", Limits(max_bytes=100_000_000)):
            pass
    assert refusal.value.code in ("NOT_TEXT", "LINE_TOO_LONG", "TOO_MANY_BYTES")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_several_gzip_members_are_one_file() -> None:
    data = gzip.compress(b"date,y\n2024-01-01,1\n") + gzip.compress(b"2024-01-02,2\n")
    assert b"".join(c.data for c in chunks_of(data)) == b"date,y\n2024-01-01,1\n2024-01-02,2\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(), "SOURCE_GONE"),
        (IsADirectoryError(), "SOURCE_IS_DIRECTORY"),
        (PermissionError(), "SOURCE_FORBIDDEN"),
    ],
)
def test_errors_that_are_the_owners_become_refusals(error: OSError, code: str) -> None:
    refusal = sources.refusal_of_os_error(error)
    assert refusal is not None
    assert refusal.code == code


def test_an_error_of_the_system_is_no_refusal() -> None:
    assert sources.refusal_of_os_error(OSError(5, "input/output error")) is None


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "gone.csv", "SOURCE_GONE"), (tmp_path, "SOURCE_IS_DIRECTORY")):
        with pytest.raises(RecordError) as refusal:
            sources.open_source(path)
        assert refusal.value.code == code


@pytest.mark.parametrize(
    ("text", "skipped", "delimiter"),
    [
        (b"store,date,y\na,2024-01-01,1\n", 0, ","),
        (b"Sales\nstore;date;y\na;2024-01-01;1\n", 0, ";"),
        (b"Sales, by store, and day\nstore;date;y\na;2024-01-01;1\n", 1, ";"),
        (b"store;date;y, or so, roughly, in EUR\na;2024-01-01;1\nb;2024-01-01;1\n", 0, ";"),
        (b"a;2024-01-01;1,5;2,5;3,5\nb;2024-01-01;1,5;2,5;3,5\n", 0, ";"),
        (b'store\ty\n"a, b, c"\t1\n"d, e, f"\t2\n', 0, "\t"),
        (b'"a\nb, c";1\n"a\nb, c";2\n', 0, ";"),
        (b"y\n1\n2\n", 0, ";"),
    ],
    ids=["usual", "title", "skipped title", "commas in a header", "decimal commas", "tabs", "quotes", "one column"],
)
def test_the_delimiter_by_which_quotes_are_told(text: bytes, skipped: int, delimiter: str) -> None:
    assert tc.likely_delimiter(text, skipped) == delimiter
