"""A file that is read in ranges gives the blocks that it gives when it is read as a whole."""

from __future__ import annotations

import datetime
import gzip
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core import process_ranges
from pipeline.core.blocks import SeriesBlock
from pipeline.core.csv_reading import text_chunks
from pipeline.core.elements import Request
from pipeline.core.file_ranges import FileRange
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import FailedRequest, Outcome
from pipeline.core.process_ranges import Step, blocks_of, load_in_ranges, number_series
from pipeline.core.process_request import _series_of, finish, forecast, internal_errors, load, write_block
from pipeline.core.requests.local_files import request_of_csv
from pipeline.core.series import ranges
from pipeline.folder.output import FolderOutput

CHUNK, RANGE = 300, 1000  # bytes; a chunk has to be smaller than a range
DAYS = [(datetime.date(2024, 1, 1) + datetime.timedelta(n)).isoformat() for n in range(90)]
LIMITS = Limits()
FOUND = tuple[list[Any], list[tuple[str, int]]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (text_chunks, ranges):
        monkeypatch.setattr(module, "READ_BYTES", CHUNK)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is done in children, which here are this process."""
    done: list[str] = []

    def in_child(about: str, function: Callable[..., Any], *arguments: Any) -> Any:
        done.append(about)
        return function(*arguments)

    monkeypatch.setattr(process_ranges, "proven", in_child)
    return done


def _loaded(steps: Sequence[SeriesBlock | Outcome], limits: Limits, output: FolderOutput) -> list[Any]:
    """Return all that is known of each block's series, or why there are none."""
    found: list[Any] = []
    for step in steps:
        if isinstance(step, SeriesBlock):
            spec, errors = step.request.parsed_spec, internal_errors(step.request, output)
            series = _series_of(step, step.layout, spec, limits, output, errors)
            found.append((step.part, step.parts, step.layout, series.to_pylist()))
        else:
            assert isinstance(step, FailedRequest)
            found.append((step.letter.code, step.letter.message, step.letter.hint))
    return found


def whole(request: Request, folder: Path, limits: Limits = LIMITS) -> list[Any]:
    output = FolderOutput(folder / "whole")
    return _loaded(list(load(request, limits, output)), limits, output)


def in_ranges(request: Request, folder: Path, limits: Limits = LIMITS, size: int = RANGE, seed: int = 0) -> FOUND:
    """Return what a file read in ranges gives, and what was done to how many ranges, in any order."""
    output, done = FolderOutput(folder / "ranges"), []

    def each(step: Step, own: Sequence[FileRange]) -> None:
        done.append((step.__name__, len(own)))
        for one in random.Random(seed).sample(own, len(own)):
            step(one, limits, output)

    return _loaded(list(load_in_ranges(request, limits, output, size, each)), limits, output), done


def request_of(folder: Path, text: str | bytes, **options: Any) -> Request:
    path = folder / "in.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return request_of_csv(path, "in.csv", ForecastSpec(**options), "2026-01-01T00:00:00Z")


def rows_of(stores: int, order: str = "series", days: int = 14) -> list[list[str]]:
    rows = [[f"s{s:04}", day, f"{s * 7 % 11 + n / 4:.2f}"] for s in range(stores) for n, day in enumerate(DAYS[:days])]
    if order == "dates":
        rows.sort(key=lambda row: row[1])
    if order == "random":
        random.Random(0).shuffle(rows)
    return rows


def text_of(rows: list[list[str]], end: str = "\n", header: str = "store,date,y") -> str:
    return header + end + end.join(",".join(row) for row in rows) + end


@pytest.mark.parametrize(
    ("order", "sorts"), [("series", False), ("dates", True), ("random", True)], ids=["series", "dates", "random"]
)
def test_blocks_are_those_of_the_whole_file_whatever_the_order_of_its_rows(
    order: str, sorts: bool, tmp_path: Path
) -> None:
    request = request_of(tmp_path, text_of(rows_of(600, order, days=3)))
    expected = whole(request, tmp_path)
    assert len(expected) == 2, "blocks"
    found, done = in_ranges(request, tmp_path)
    assert found == expected
    assert done[0][0] == "read_one"
    assert done[0][1] > 20
    assert ("sort_one" in dict(done)) == sorts


@pytest.mark.parametrize(
    ("rows", "about"),
    [
        ([["s", "2024-01-01", "oops"], ["s", "31/31", "1"]], "cells that are wrong"),
        ([["s", "2024-01-01", "NA"], ["", "", ""]], "missing values and blank rows"),
        ([['"a ""b"""', '"2024-01-01"', '"1.5"']], "quotes"),
        ([["s0003", "2024-01-02", "5"]], "a date that occurs twice, far from where it was"),
        ([["\ufeffs", "2024-01-01", "1"], ["BZh", "2024-01-01", "1"]], "what looks like the start of a file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_odd_rows_are_read_as_in_the_whole_file(rows: list[list[str]], about: str, end: str, tmp_path: Path) -> None:
    usual = rows_of(40)
    mixed = [*usual[:300], *rows, *usual[300:], *rows]
    for first in (0, 1, 2):  # where the ranges begin
        request = request_of(tmp_path, text_of(mixed[first:], end))
        expected = whole(request, tmp_path)
        found, done = in_ranges(request, tmp_path)
        assert found == expected, about
        assert done[0][0] == "read_one"


@pytest.mark.parametrize("wide", [False, True])
def test_other_shapes_of_tables_are_read_in_ranges_too(wide: bool, tmp_path: Path) -> None:
    rows = [[day, str(n), str(n * 2 % 7), str(n * 3 % 5)] for n, day in enumerate(DAYS)]
    header = "date,north,south,east" if wide else "date,y,price,heat"
    options: dict[str, Any] = {"value_column": ("north", "south", "east")}
    if not wide:
        options = {"value_column": "y", "regressors": ({"name": "price"}, {"name": "heat"})}
    request = request_of(tmp_path, text_of(rows, header=header), **options)
    expected = whole(request, tmp_path)
    found, done = in_ranges(request, tmp_path, size=CHUNK + 1)
    assert found == expected
    assert len(found[0][3]) == (3 if wide else 1)
    assert done[0][1] > 4


def test_line_ends_within_quotes_at_a_cut_make_one_worker_read_the_file(tmp_path: Path) -> None:
    note = '"' + "x\n" * 40 + '"'
    rows = [[*row, note] for row in rows_of(10, days=10)]
    request = request_of(tmp_path, text_of(rows, header="store,date,y,note"), id_columns=("store",), value_column="y")
    expected = whole(request, tmp_path)
    found, done = in_ranges(request, tmp_path)
    assert found == expected
    assert [step for step, _ in done] == ["read_one"], "no block is made of ranges"
    assert not list((tmp_path / "ranges/_dropcast/work").rglob("range-*"))


@pytest.mark.parametrize(
    "last",
    ["s0001,2024-03-01\n", "s0001,2024-03-01,-\n", "Total,,\nof all,stores,1,2\n", "s1,2024-03-01,1.234.567\n", '"s1'],
    ids=["ragged", "dash", "footer", "thousands", "quote"],
)
def test_what_only_the_whole_file_shows_is_said_as_if_it_was_read_as_a_whole(last: str, tmp_path: Path) -> None:
    request = request_of(tmp_path, text_of(rows_of(20)) + last)
    expected = whole(request, tmp_path)
    found, done = in_ranges(request, tmp_path)
    assert found == expected
    assert done[0][1] > 4


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_series=39), "TOO_MANY_SERIES"),
        (Limits(max_bytes=9000), "TOO_MANY_BYTES"),
        (Limits(max_rows=13), "TOO_MANY_ROWS"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_limits_hold_over_all_ranges(limits: Limits, code: str, tmp_path: Path) -> None:
    rows = rows_of(40) + rows_of(
        3, "random", days=60
    )  # some series are much longer than others, in one range and in several
    request = request_of(tmp_path, text_of(rows))
    expected = whole(request, tmp_path, limits)
    found, _ = in_ranges(request, tmp_path, limits)
    assert found == expected
    assert code in str(found)


def test_no_more_rows_are_kept_than_the_disk_may_take(tmp_path: Path) -> None:
    request = request_of(tmp_path, text_of(rows_of(40)))
    most = 24 * 40 * 14
    assert [step for step, _ in in_ranges(request, tmp_path, Limits(max_work_bytes=most), seed=1)[1]] == ["read_one"]
    small = tmp_path / "small"
    found, _ = in_ranges(request, small, Limits(max_work_bytes=most - 1))
    assert found == whole(request, small), "one worker reads it, and has the memory for it"
    assert not list((small / "ranges/_dropcast/work").rglob("range-*"))


def test_rows_that_could_not_be_sorted_are_missed_by_their_own_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(tmp_path, text_of(rows_of(40, "random")))

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(process_ranges, "renumbered", fails)
    output = FolderOutput(tmp_path / "ranges")

    def each(step: Step, own: Sequence[FileRange]) -> None:
        for one in own:
            step(one, LIMITS, output)

    (block,) = load_in_ranges(request, LIMITS, output, RANGE, each)
    assert isinstance(block, SeriesBlock)
    faults = forecast(block, LIMITS, output).batch.column("fault").to_pylist()
    assert len(faults) == 40
    assert all("INTERNAL_ERROR" in fault for fault in faults)
    assert "ZeroDivisionError" in "".join(path.read_text() for path in (output.root / "_dropcast/errors").iterdir())


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (gzip.compress(text_of(rows_of(400, "random")).encode(), mtime=0), {}),
        (text_of(rows_of(40)).encode("utf-16"), {"encoding": "utf-16"}),
        (text_of(rows_of(40)), {"skip_footer": 1}),
        (text_of([[*row, random.Random(n).choice("ab")] for n, row in enumerate(rows_of(40))], header="s,d,y,t"), {}),
        (text_of(rows_of(5)), {}),
    ],
    ids=["compressed", "other encoding", "footer", "undecided columns", "small"],
)
def test_other_files_are_not_cut(text: str | bytes, options: dict[str, Any], tmp_path: Path) -> None:
    request = request_of(tmp_path, text, **options)
    found, done = in_ranges(request, tmp_path)
    assert not done
    assert found == whole(request, tmp_path)


@pytest.mark.parametrize("restored", [False, True])
def test_what_is_read_is_what_the_version_names(
    restored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_of(rows_of(40))
    other = text.replace("s0030,2024-01-02,1", "s0030,2024-01-02,9")
    assert other != text
    request = request_of(tmp_path, text)
    expected = whole(request, tmp_path)
    real, path = process_ranges.read_range, tmp_path / "in.csv"

    def changed_meanwhile(*arguments: Any) -> Any:
        path.write_text(other)
        state = real(*arguments)
        path.write_text(text if restored else other)
        return state

    monkeypatch.setattr(process_ranges, "read_range", changed_meanwhile)
    found, done = in_ranges(request, tmp_path)
    assert [step for step, _ in done] == ["read_one"]
    if restored:
        assert found == expected, "the ranges are not used: one has other bytes than the file"
    else:
        assert [code for code, _, _ in found] == ["SOURCE_CHANGED"]


def test_a_fallback_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[store, day, value.replace(".", ",")] for store, day, value in rows_of(40)]
    request = request_of(tmp_path, "\n".join([";".join(row) for row in [["store", "date", "y"], *rows]]) + "\n")
    expected = whole(request, tmp_path)
    output, real = FolderOutput(tmp_path / "ranges"), process_ranges.load

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    ranges_of_file = [step for step in load(request, LIMITS, output, RANGE) if isinstance(step, FileRange)]
    assert len(ranges_of_file) > 4
    for own in ranges_of_file:
        process_ranges.read_one(own, LIMITS, output)
    monkeypatch.setattr(process_ranges, "load", full)
    with pytest.raises(OSError, match="full"):
        list(number_series(own.whole(), LIMITS, output))
    monkeypatch.setattr(process_ranges, "load", real)
    for _ in range(2):  # the second time nothing is left of the ranges
        assert _loaded(list(number_series(own.whole(), LIMITS, output)), LIMITS, output) == expected
    assert not list((tmp_path / "ranges/_dropcast/work").rglob("range-*"))


def test_steps_that_come_again_after_the_end_find_that_it_is_done(tmp_path: Path) -> None:
    request, output = request_of(tmp_path, text_of(rows_of(40, "random"))), FolderOutput(tmp_path / "out")
    asked: dict[str, Sequence[FileRange]] = {}

    def each(step: Step, own: Sequence[FileRange]) -> None:
        asked[step.__name__] = own
        for one in own:
            step(one, LIMITS, output)

    (block,) = load_in_ranges(request, LIMITS, output, RANGE, each)
    assert isinstance(block, SeriesBlock)
    outcome = write_block(forecast(block, LIMITS, output), output)
    assert isinstance(outcome, Outcome)
    assert finish(outcome, output)[0].status == "complete"
    for own in asked["sort_one"]:
        process_ranges.sort_one(own, LIMITS, output)
    work = tmp_path / "out/_dropcast/work"
    assert not [path for path in work.rglob("*") if path.is_file()], "nothing is there, and nothing left"
    process_ranges.read_one(asked["read_one"][0], LIMITS, output)
    output.clear_unfinished()
    assert not [path for path in work.rglob("*") if path.is_file()], "the next run sweeps what is left"
    for again in (number_series, blocks_of):
        assert next(iter(again(own.whole(), LIMITS, output))).request == request, "it is read as a whole"
        output.work_files(request).remove()


@pytest.mark.parametrize("step", ["numbered", "block_to_bytes"])
def test_an_internal_error_while_series_are_numbered_makes_one_worker_read_the_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(tmp_path, text_of(rows_of(40, "random")))
    expected = whole(request, tmp_path)

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(process_ranges, step, fails)
    found, done = in_ranges(request, tmp_path)
    assert found == expected
    assert [step for step, _ in done] == ["read_one"]


@pytest.mark.parametrize(("marker", "about"), [("number", "nothing"), ("sort-000002", "sort-000002")])
def test_a_process_that_died_while_it_numbered_or_sorted_makes_the_step_suspect(
    marker: str, about: str, tmp_path: Path, children: list[str]
) -> None:
    request = request_of(tmp_path, text_of(rows_of(40, "random")))
    expected = whole(request, tmp_path)
    FolderOutput(tmp_path / "ranges").begin(request, marker)
    found, done = in_ranges(request, tmp_path)
    assert found == expected
    assert children == ([] if about == "nothing" else [f"{about} of request {request.key}"])
    assert ("sort_one" in dict(done)) == (about != "nothing"), "numbering is not tried again"


@pytest.mark.parametrize("title", ["Sales report", "Sales, by store, day, and so on"])
def test_quotes_are_told_by_the_delimiter_of_the_table_not_of_a_title(title: str, tmp_path: Path) -> None:
    rows = [[f"s{s}", day, str(n % 7), '"a\nb, c"'] for s in range(20) for n, day in enumerate(DAYS[:20])]
    lines = [title, "store;date;y;note, if there is one", *(";".join(row) for row in rows)]
    options = {"skip_rows": 1, "id_columns": ("store",), "value_column": "y"}
    request = request_of(tmp_path, "\n".join(lines) + "\n", **options)
    expected = whole(request, tmp_path)
    assert len(expected[0][3]) == 20, "and is not refused where a chunk ends within quotes"
    assert in_ranges(request, tmp_path)[0] == expected


def test_lines_that_may_be_too_long_are_judged_by_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_chunks, "LONGEST_ROW", 200)
    for at in range(100, 400, 37):
        rows = [[*row, "x" * (230 if number == at else 1)] for number, row in enumerate(rows_of(40))]
        request = request_of(tmp_path, text_of(rows, header="s,date,y,note"), id_columns=("s",), value_column="y")
        assert in_ranges(request, tmp_path)[0] == whole(request, tmp_path)


def test_a_range_whose_process_died_is_read_in_a_child(tmp_path: Path, children: list[str]) -> None:
    request = request_of(tmp_path, text_of(rows_of(40)))
    expected = whole(request, tmp_path)
    FolderOutput(tmp_path / "ranges").begin(request, "range-000003")  # as a process leaves it that died
    found, _ = in_ranges(request, tmp_path)
    assert found == expected
    assert children == [f"range-000003 of request {request.key}"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    stores=st.integers(1, 60),
    quoted=st.booleans(),
    odd=st.sampled_from([0.0, 0.02]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    order=st.sampled_from(["series", "dates", "random"]),
    size=st.integers(CHUNK + 1, 3000),
)
def test_any_file_gives_the_same_blocks_read_in_ranges(
    seed: int, stores: int, quoted: bool, odd: float, end: str, order: str, size: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    rows = rows_of(stores, order)
    for row in rows:
        if chance.random() < odd:
            row[chance.randrange(3)] = chance.choice(["", "oops", "NA", "a\nb", "1.234", "-", '"'])
        if quoted or any(mark in cell for cell in row for mark in '\n"'):
            row[:] = ['"' + cell.replace('"', '""') + '"' for cell in row]
    request = request_of(tmp_path, text_of(rows, end).removesuffix(end if seed % 2 else ""))
    expected = whole(request, tmp_path)
    found, _ = in_ranges(request, tmp_path, size=size, seed=seed)
    assert found == expected
