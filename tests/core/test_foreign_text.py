"""Text of others on its way to a person, and through the ledger."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError
from pipeline.core.ndjson import from_ndjson, to_ndjson
from pipeline.core.outputs.outcomes import WrittenRequest
from pipeline.core.outputs.problem_note import problem_note
from pipeline.core.outputs.receipts import receipt_of
from pipeline.core.outputs.summary import RunOutcome, describe, told
from pipeline.core.plain_text import printable
from pipeline.folder.query import answer, connect
from pipeline.folder.run import forecast_files

ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # Python's splitlines() cuts at these; and a terminal obeys some
HOSTILE = f"a\x1b[31mb\u202ec\n{ENDS}"
TEXT = st.text(st.characters(codec="utf-8"))


REQUEST = Request("/in/x.csv", "v", "2024-01-01T00:00:00Z", "x.csv", "{}")


def letter(text: str) -> DeadLetter:
    request = Request(f"/in/{text}.csv", "v", "2024-01-01T00:00:00Z", f"{text}.csv", "{}")
    error = RecordError("BAD_DATE", f"{text} is no date", f"Fix {text}", column=text, found=text)
    return DeadLetter.of(request, "series", "Forecast", text, error)


@given(TEXT)
def test_what_is_printable_stays_and_all_else_is_shown_as_an_escape(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    assert printable(text, "\n").replace("\n", "").isprintable()


def test_what_is_meant_is_kept() -> None:
    assert printable("ü\n\tb\x1b", "\n\t") == "ü\n\tb\\x1b"
    assert printable("ü\nb") == "ü\\nb"


@given(st.lists(TEXT, max_size=4))
def test_dead_letters_come_back_whatever_they_quote(texts: list[str]) -> None:
    letters = [letter(text) for text in [*texts, HOSTILE]]
    assert from_ndjson(to_ndjson(letters)) == letters


def test_nothing_that_a_terminal_obeys_reaches_a_person() -> None:
    receipt = receipt_of(WrittenRequest(REQUEST, 1), [], [])
    hostile = dataclasses.replace(
        receipt, source=f"/in/{HOSTILE}.csv", output=f"{HOSTILE}.csv", notes="a note of\x1b our own"
    )
    failed = dataclasses.replace(hostile, status="failed", code="X")
    outcome = RunOutcome((hostile, failed), (letter(HOSTILE),))
    plain = dataclasses.replace(hostile, source="/in/x.csv", output="x.csv")
    same = RunOutcome((plain, dataclasses.replace(plain, status="failed", code="X")), (letter("x"),))
    assert len(describe(same, "out").split("\n")) == len(describe(outcome, "out").split("\n")), "a line made by others"
    texts = [
        describe(outcome, "out"),
        "\n".join(told(outcome, "out")),
        problem_note(HOSTILE, "failed", [letter(HOSTILE)]),
    ]
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n"))
        assert "\\x1b[31m" in text


def test_a_folder_of_hostile_names_is_forecast_told_of_and_asked(
    tmp_path: Path, make_settings: object, write_csv: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline import cli

    name = f"a\x1b[31m{ENDS}"
    rows = [f"{name},2024-01-{day:02d},{day}" for day in range(1, 20)]
    text = f"id,ds,y{ENDS[:3]}\n" + "\n".join([*rows, f"x{name},2024-01-01,bad"]) + "\n"
    write_csv(f"in/{name}.csv", text)  # type: ignore[operator]
    settings = make_settings()  # type: ignore[operator]
    first = forecast_files(settings)
    assert [receipt.status for receipt in first.receipts] == ["partial"]
    for arguments in (["report", str(settings.output)], ["watch", str(tmp_path / "in"), str(settings.output), "--once"],
                      ["query", "SELECT * FROM dead_letters", f"--output={settings.output}"],
                      ["check", str(tmp_path / "in" / f"{name}.csv")],
                      ["run", f"--input={tmp_path}/in/*", f"--output={settings.output}"],
                      ["replay", f"--output={settings.output}", "--dry_run"]):  # fmt: skip
        assert cli.main(arguments) in (0, 3), arguments
        shown = capsys.readouterr()
        assert "\x1b" not in shown.out + shown.err, arguments
        assert not set(ENDS) & set(shown.out + shown.err), arguments


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{table}'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('{table}')",
        "SELECT * FROM '{table}'",
        "SET enable_external_access = true",
        "ATTACH '{file}'",
        "SELECT * FROM settings",
        "EXPLAIN ANALYZE INSERT INTO receipts SELECT * FROM receipts",
    ],
)
def test_a_query_neither_reads_nor_writes_a_file(
    sql: str, make_settings: object, write_csv: object, tmp_path: Path
) -> None:
    write_csv()  # type: ignore[operator]
    settings = make_settings()  # type: ignore[operator]
    forecast_files(settings)
    (table,) = (settings.output / "_dropcast/forecasts").iterdir()
    before = table.read_bytes()
    with pytest.raises(duckdb.Error):
        answer(connect(settings.output), sql.format(file=tmp_path / "made", table=table)).fetchall()
    assert table.read_bytes() == before
    assert not (tmp_path / "made").exists()
    assert answer(connect(settings.output), "SELECT count(*) FROM latest_forecasts").fetchall() == [(28,)]
