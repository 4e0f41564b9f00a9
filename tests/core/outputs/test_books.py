"""What receipts, summaries and notes say of a request: each series is counted once, as what became of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.errors import RecordError
from pipeline.core.outputs.outcomes import BlockSummary, SupersededRequest, WrittenRequest, failed_at
from pipeline.core.outputs.problem_note import problem_note
from pipeline.core.outputs.receipts import has_forecast, letters_of, receipt_of
from pipeline.core.outputs.summary import (
    RunOutcome,
    describe,
    describe_counts,
    exit_code_of_counts,
    outcome_of,
    told,
)

REQUEST = Request("/in/x.csv", "v", "2024-01-01T00:00:00Z", "x.csv", "{}")
WRITTEN = WrittenRequest(REQUEST, 2)
ERROR = RecordError("TOO_FEW_ROWS", "It has one value.", "Add history.")


def letter(name: str, scope: str = "series") -> DeadLetter:
    return DeadLetter.of(REQUEST, scope, "Forecast", name, ERROR)


def part(**fields: Any) -> BlockSummary:
    """Return the summary of a block of three series, all forecast."""
    usual = {
        "notes": (), "series_notes": {}, "letters": (), "first_fault": "", "series": 3, "failed": 0, "refused": 0,
        "rows": 84, "frequencies": ("D",), "mase": (), "weights": {}, "inside": {}, "tried": (),
        "load_seconds": 0.5,
        "fit_seconds": 0.25, "model": "native 1", "work_files": False, "cut": "c",
    }  # fmt: skip
    return BlockSummary(**{**usual, **fields})


def receipt(**fields: Any) -> Receipt:
    return dataclasses.replace(receipt_of(WRITTEN, [part()], []), **fields)


def test_a_series_that_failed_and_one_that_the_table_refused_are_both_not_forecast() -> None:
    parts = [
        part(failed=1, letters=(letter("a"),), rows=56),
        part(refused=2, letters=(letter("b"), letter("c")), rows=28, frequencies=("MS", "D")),
    ]
    letters = letters_of(WRITTEN, parts)
    assert [one.series_id for one in letters] == ["a", "b", "c"], "no letter of the file: some of it is forecast"
    found = receipt_of(WRITTEN, parts, letters)
    assert (found.status, found.code) == ("partial", "")
    assert (found.series, found.series_forecast, found.series_failed, found.rows) == (6, 3, 3, 84)
    assert (found.frequencies, found.model) == ("D,MS", "native 1")
    assert (found.load_seconds, found.fit_seconds) == (1.0, 0.5)
    assert has_forecast(parts)


def test_a_file_is_failed_only_if_all_series_of_all_its_blocks_are() -> None:
    bad = part(series=1, failed=1, letters=(letter("a"),), first_fault="It has one value.")
    assert [one.code for one in letters_of(WRITTEN, [bad, bad])] == ["NOTHING_FORECAST", *["TOO_FEW_ROWS"] * 2]
    assert not has_forecast([bad, bad])
    assert [one.code for one in letters_of(WRITTEN, [bad, part()])] == ["TOO_FEW_ROWS"]
    assert has_forecast([bad, part()])
    refused = part(series=1, refused=1, letters=(letter("a"),))
    assert [one.code for one in letters_of(WRITTEN, [refused])] == ["TOO_FEW_ROWS"], "it is in the CSV"


def test_the_only_series_of_a_file_fails_as_the_file_and_is_not_counted_twice() -> None:
    bad = part(series=1, failed=1, letters=(letter("", "file"),), rows=0)
    letters = letters_of(WRITTEN, [bad])
    assert [one.scope for one in letters] == ["file"]
    found = receipt_of(WRITTEN, [bad], letters)
    assert (found.status, found.code, found.series, found.series_forecast) == ("failed", "TOO_FEW_ROWS", 0, 0)


def test_what_gave_way_or_failed_as_a_whole_has_the_status_that_says_so() -> None:
    failed = failed_at(WRITTEN, "Publish", ERROR)
    assert failed.written == WRITTEN
    letters = letters_of(failed, [part()])
    assert letters == [failed.letter]
    found = receipt_of(failed, [], letters)
    assert (found.status, found.code, found.series, found.rows, found.notes) == ("failed", "TOO_FEW_ROWS", 0, 0, "")
    superseded = SupersededRequest(REQUEST)
    assert letters_of(superseded, [part(letters=(letter("a"),))]) == []
    assert receipt_of(superseded, [], []).status == "superseded"


def test_notes_and_scores_are_those_of_all_blocks() -> None:
    parts = [
        part(notes=("of the file",), series_notes={"one": 1, "two": 1}, mase=(3.0, 1.0)),
        part(notes=("of the file",), series_notes={"two": 4}, mase=(0.5,)),
    ]
    found = receipt_of(WRITTEN, parts, [])
    assert found.notes.split("\n") == ["of the file", "one", "two (5 series)"]
    assert (found.score_mase, found.score_series) == (1.0, 3)
    assert receipt_of(WRITTEN, [part()], []).score_mase is None


def test_a_run_is_told_with_its_counts() -> None:
    good = receipt(output="north/x.csv", source="/in/north/x.csv", series_forecast=3, rows=84, score_mase=0.5)
    some = receipt(status="partial", series_forecast=2, series_failed=1, rows=56, notes="one\ntwo")
    bad = receipt(status="failed", code="EMPTY_FILE", output="a.csv", source="/in/a.csv", series_forecast=0, rows=0)
    outcome = outcome_of([some, good, bad], [letter("b"), letter("", "file")])
    assert [one.output for one in outcome.receipts] == ["a.csv", "north/x.csv", "x.csv"]
    assert describe(outcome, "out/").split("\n") == [
        "  failed    a.csv: EMPTY_FILE",
        "  complete  north/x.csv: 3 series (D), MASE 0.50 -> out/north/x.csv",
        "  partial   x.csv: 2 series (D), 1 series not -> out/x.csv",
        "            one",
        "            two",
        "",
        "Not forecast:",
        "  TOO_FEW_ROWS  series 'b' of x.csv: It has one value.",
        "      Add history.",
        "  TOO_FEW_ROWS  x.csv: It has one value.",
        "      Add history.",
        "",
        "2 files and 5 series forecast, 140 rows; 2 dead letters.",
        "Forecasts: out/   Tables: out/_dropcast/",
    ]
    assert "Forecasts:" not in describe(RunOutcome((bad,), ()), "out")
    assert "1 file and 3 series forecast, 84 rows; 0 dead letters." in describe(RunOutcome((good,), ()), "out")


@pytest.mark.parametrize("count", [20, 21, 1234])
def test_so_many_dead_letters_are_told_and_the_others_counted(count: int) -> None:
    letters = tuple(letter(f"s{i}") for i in range(count))
    outcome = RunOutcome((receipt(status="partial"),), letters)
    for text in (
        describe(outcome, "out"),
        "\n".join(told(outcome, "out")),
        problem_note("x.csv", "partial", letters),
    ):
        assert text.count("TOO_FEW_ROWS") == 20
        assert [line.strip().split(" in ")[0].split(": ")[0] for line in text.split("\n") if " more" in line] == (
            [f"... and {count - 20:,} more"] if count > 20 else []
        )


def test_a_note_says_whether_all_of_a_file_is_not_forecast_and_which_series_are_not() -> None:
    lines = problem_note("x.csv", "partial", [letter("b"), letter("", "file")]).split("\n")
    assert lines[0] == "Not forecast in part: x.csv"
    assert lines[2] == "TOO_FEW_ROWS  series 'b' of x.csv: It has one value."
    assert lines[5] == "TOO_FEW_ROWS  x.csv: It has one value."
    assert problem_note("x.csv", "failed", [letter("", "file")]).startswith("Not forecast: x.csv\n")
    assert problem_note("x.csv", "complete", []) == problem_note("x.csv", "superseded", []) == ""


def test_a_run_has_failed_if_something_was_dead_lettered_and_only_then() -> None:
    assert [RunOutcome((), letters).exit_code for letters in ((), (letter("a"),))] == [0, 3]
    assert exit_code_of_counts({"requests": 3, "receipts_complete": 3, "failures_BAD_DATE": 0}) == 0
    assert exit_code_of_counts({"requests": 3, "failures_BAD_DATE": 1}) == 3


def test_counters_of_a_run_are_told_by_what_they_count() -> None:
    counts = {"requests": 1, "receipts_partial": 1, "series_forecast": 1200, "failures_B": 2, "failures_A": 1}
    assert describe_counts(counts, "gs://out/").split("\n") == [
        "1 request: 0 complete, 1 partial; 1,200 series.",
        "  1 x A",
        "  2 x B",
        "Forecasts: gs://out/   Dead letters and receipts: gs://out/_dropcast/",
    ]
