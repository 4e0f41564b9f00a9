from __future__ import annotations

import dataclasses
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import RecordError
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import WrittenPart, WrittenRequest
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.process_request import forecast, load_blocks
from pipeline.core.requests.local_files import request_for
from pipeline.core.series import row_store
from pipeline.folder.output import FolderOutput
from pipeline.folder.query import connect
from pipeline.folder.receipts import spec_of_forecast
from pipeline.folder.run import forecast_files
from pipeline.runs import FolderRun
from tests.conftest import daily_series
from tests.folder_contents import contents

pytestmark = pytest.mark.usefixtures("naive_engine")
MakeSettings = Callable[..., FolderRun]
WriteCsv = Callable[..., Path]


def run(settings: FolderRun) -> RunOutcome:
    return forecast_files(settings)


def ask(output: Path, sql: str) -> list[tuple[Any, ...]]:
    return connect(output).sql(sql).fetchall()


@pytest.fixture
def stores(write_csv: WriteCsv) -> Path:
    """A table of 600 stores in three blocks, one of them with a fault."""
    rows = [
        line
        for s in range(600)
        for line in daily_series(20, seed=s, header="").replace("\n", f",s{s:03d}\n").splitlines()[1:]
    ]
    text = "date,y,store\n" + "\n".join(rows).replace("2024-01-09,", "2024-01-09,x", 1) + "\n"
    return write_csv("in/stores.csv", text)


def test_a_run_leaves_the_csv_the_tables_and_nothing_else(
    stores: Path, make_settings: MakeSettings, tmp_path: Path
) -> None:
    outcome = run(make_settings())
    receipt = outcome.receipts[0]
    key = receipt.request_key
    assert (receipt.status, receipt.series, receipt.series_failed, receipt.rows) == (
        "partial",
        600,
        1,
        599 * 28,
    )
    assert sorted(contents(tmp_path / "out")) == [
        *(f"_dropcast/actuals/{key}-00000{part}.parquet" for part in range(2)),
        f"_dropcast/dead_letters/{key}.ndjson", f"_dropcast/dead_letters/{key}.parquet",
        *(f"_dropcast/forecasts/{key}-00000{part}.parquet" for part in range(2)), "stores.csv",
    ]  # fmt: skip
    assert len((tmp_path / "out/stores.csv").read_text().splitlines()) == 1 + 599 * 28
    assert [(letter.scope, letter.series_id) for letter in outcome.letters] == [("series", "s000")]


def test_a_rerun_is_byte_identical(stores: Path, make_settings: MakeSettings, tmp_path: Path) -> None:
    run(make_settings())
    before = contents(tmp_path / "out")
    run(make_settings())
    assert contents(tmp_path / "out") == before


def test_a_large_file_gives_what_a_small_one_would(
    stores: Path, make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_settings(output="small"))
    monkeypatch.setattr(row_store, "SPILL_BYTES", 1000)
    run(make_settings(output="large"))
    assert contents(tmp_path / "small") == contents(tmp_path / "large")


def test_the_rows_of_the_table_are_those_of_the_csv(stores: Path, make_settings: MakeSettings, tmp_path: Path) -> None:
    run(make_settings(level="80,95", horizon="3"))
    rows = ask(
        tmp_path / "out",
        "SELECT series_id, forecast_timestamp::DATE::VARCHAR, confidence_level, forecast_value, "
        "prediction_interval_lower_bound, prediction_interval_upper_bound FROM latest_forecasts "
        "ORDER BY series_id, step, confidence_level",
    )
    lines = (tmp_path / "out/stores.csv").read_text().splitlines()[1:]
    assert len(rows) == 2 * len(lines)
    cells = [line.split(",") for line in lines]
    by_line = {(row[0], row[1]): [float(number) for number in row[2:]] for row in cells}
    for series, date, level, value, lower, upper in rows:
        numbers = by_line[series, date]
        at = 1 if level == 0.8 else 3
        assert [value, lower, upper] == [numbers[0], numbers[at], numbers[at + 1]]


def test_a_forecast_never_overwrites_its_source_or_what_is_no_forecast(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    source = write_csv("in/data/x.csv")
    write_csv("in/x.manifest.json", '{"input": "data/x.csv"}')
    before = source.read_text()
    outcome = run(make_settings("in/x.manifest.json", output="in/data"))
    assert [letter.code for letter in outcome.letters] == ["OUTPUT_TAKEN"]
    other = write_csv("out/x.csv", "my,own,notes\n")
    assert [letter.code for letter in run(make_settings("in/data/x.csv")).letters] == ["OUTPUT_TAKEN"]
    assert (source.read_text(), other.read_text()) == (before, "my,own,notes\n")


def test_gzip_in_gzip_out(write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path) -> None:
    path = write_csv("in/x.csv.gz", "")
    path.write_bytes(gzip.compress(daily_series().encode()))
    run(make_settings())
    first = (tmp_path / "out/x.csv.gz").read_bytes()
    assert gzip.decompress(first).startswith(b"date,prediction,")
    run(make_settings())
    assert (tmp_path / "out/x.csv.gz").read_bytes() == first


def test_the_only_series_of_a_file_fails_as_the_file(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv("in/x.csv", "date,y\n2024-01-01,oops\n")
    outcome = run(make_settings())
    (letter,) = outcome.letters
    assert (letter.scope, letter.series_id, letter.code, letter.line) == ("file", "", "BAD_NUMBER", 2)
    assert (outcome.receipts[0].status, outcome.receipts[0].series) == ("failed", 0)
    assert not (tmp_path / "out/x.csv").exists()


def test_a_file_none_of_whose_series_can_be_forecast_is_told_so_once(
    write_csv: WriteCsv, make_settings: MakeSettings
) -> None:
    write_csv("in/x.csv", "store,date,y\na,2024-01-01,1\nb,2024-01-01,1\na,2024-01-02,1\n")
    outcome = run(make_settings())
    assert sorted((letter.scope, letter.code) for letter in outcome.letters) == [
        ("file", "NOTHING_FORECAST"), ("series", "FREQUENCY_UNCLEAR"), ("series", "TOO_FEW_ROWS"),
    ]  # fmt: skip
    assert outcome.receipts[0].status == "failed"


def test_the_books_balance(stores: Path, write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path) -> None:
    write_csv("in/good.csv")
    write_csv("in/bad.csv", "nothing")
    write_csv("in/none.csv", "store,date,y\na,2024-01-01,1\na,2024-01-02,2\n")
    write_csv("in/broken.manifest.json", "{")
    run(make_settings())
    out = tmp_path / "out"

    def one(sql: str) -> Any:
        return ask(out, sql)[0][0]

    assert one("SELECT count(*) FROM receipts") == 4  # requests = receipts
    assert one("SELECT count(*) FROM dead_letters WHERE scope = 'message'") == 1
    failed = one("SELECT count(*) FROM receipts WHERE status = 'failed'")
    assert failed == one("SELECT count(*) FROM dead_letters WHERE scope = 'file'") == 2
    assert one("SELECT sum(series) - sum(series_forecast) FROM receipts") == one(
        "SELECT count(*) FROM dead_letters WHERE scope = 'series'"
    )
    assert one("SELECT sum(rows) FROM receipts WHERE status <> 'failed'") == one(
        "SELECT count(*) FROM latest_forecasts"
    )


@pytest.mark.parametrize("series", [3, 600], ids=["one block", "two blocks"])
def test_every_step_after_the_first_may_be_repeated(
    series: int, write_csv: WriteCsv, make_settings: MakeSettings
) -> None:
    rows = (f"s{i},2024-01-{day:02d},{i + day}\n" for i in range(series) for day in range(1, 15))
    write_csv("in/stores.csv", "store,date,y\n" + "".join(rows))
    settings = make_settings()
    folder = FolderOutput(settings.output)
    request = request_for(settings.files[0], settings.spec, [])
    blocks = list(load_blocks(request, Limits(), folder))
    assert len(blocks) == (1 if series == 3 else 2)
    for block in blocks:
        result = forecast(block, Limits(), folder)
        last = folder.write_block(result)
        assert folder.write_block(result) == last
    outcome = last.whole() if isinstance(last, WrittenPart) else last
    assert isinstance(outcome, WrittenRequest)
    published = folder.publish(outcome)
    assert folder.publish(outcome) == published
    assert folder.write_dead_letters(published) == folder.write_dead_letters(published)
    receipt = folder.write_receipt(published)
    assert receipt.series == receipt.series_forecast == series
    before = contents(settings.output)
    # a runner that lost the answer repeats any of the last steps
    assert folder.publish(outcome) == published
    assert folder.write_dead_letters(published) == folder.dead_letters(published.request.key)
    again = folder.write_receipt(published)
    assert dataclasses.replace(again, finished_at=receipt.finished_at) == receipt
    assert contents(settings.output) == before


def test_an_unreadable_file_may_be_reported_twice(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv("in/bad.csv", "nothing")
    run(make_settings())
    before = contents(tmp_path / "out")
    assert run(make_settings()).exit_code == 3
    assert contents(tmp_path / "out") == before


def test_a_new_version_takes_the_place_of_the_old(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    path = write_csv(days=60)
    os.utime(path, (1000, 1000))
    run(make_settings())
    write_csv(days=90)
    os.utime(path, (2000, 2000))
    run(make_settings())
    assert ask(tmp_path / "out", "SELECT min(forecast_timestamp)::DATE::VARCHAR FROM latest_forecasts") == [
        ("2024-03-31",)
    ]
    assert ask(tmp_path / "out", "SELECT count(*) FROM latest_forecasts") == [(28,)]


def test_the_current_content_wins_even_if_it_is_older(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    path = write_csv(days=90)
    os.utime(path, (2000, 2000))
    run(make_settings())
    write_csv(days=60)
    os.utime(path, (1000, 1000))  # put back from a backup
    run(make_settings())
    assert ask(tmp_path / "out", "SELECT min(forecast_timestamp)::DATE::VARCHAR FROM latest_forecasts") == [
        ("2024-03-01",)
    ]
    assert ask(tmp_path / "out", "SELECT status FROM receipts ORDER BY source_time") == [("complete",), ("superseded",)]


def test_other_options_take_the_place_of_the_old_without_ghosts(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv()
    run(make_settings(horizon="28"))
    run(make_settings(horizon="7"))
    assert ask(tmp_path / "out", "SELECT count(*) FROM latest_forecasts") == [(7,)]
    assert len((tmp_path / "out/sales.csv").read_text().splitlines()) == 8


def test_a_newer_file_that_fails_leaves_the_old_forecast_and_shows_as_stale(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    path = write_csv()
    os.utime(path, (1000, 1000))
    run(make_settings())
    write_csv(text="date,y\nnothing,1\n")
    os.utime(path, (2000, 2000))
    run(make_settings())
    assert ask(tmp_path / "out", "SELECT count(*) FROM latest_forecasts") == [(28,)]
    assert ask(tmp_path / "out", "SELECT failed_code FROM stale_forecasts") == [("BAD_DATE_FORMAT",)]
    assert ask(tmp_path / "out", "SELECT count(*) FROM open_dead_letters") == [(1,)]
    # fixed
    write_csv(days=80)
    os.utime(path, (3000, 3000))
    run(make_settings())
    assert ask(tmp_path / "out", "SELECT count(*) FROM stale_forecasts") == [(0,)]
    assert ask(tmp_path / "out", "SELECT count(*) FROM open_dead_letters") == [(0,)]


def test_a_series_that_is_gone_leaves_no_ghost(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    two = "store,date,y\n" + "".join(f"{s},2024-01-{d:02d},{d}\n" for s in "ab" for d in range(1, 21))
    path = write_csv(text=two)
    os.utime(path, (1000, 1000))
    run(make_settings())
    write_csv(text="\n".join(line for line in two.splitlines() if not line.startswith("b")) + "\n")
    os.utime(path, (2000, 2000))
    run(make_settings())
    assert ask(tmp_path / "out", "SELECT DISTINCT series_id FROM latest_forecasts") == [("a",)]


def test_a_row_that_stands_twice_in_the_raw_table_counts_once(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv()
    run(make_settings())
    table = next((tmp_path / "out/_dropcast/forecasts").glob("*.parquet"))
    table.with_name("again.parquet").write_bytes(table.read_bytes())
    assert ask(tmp_path / "out", "SELECT count(*) FROM forecasts") == [(56,)]
    assert ask(tmp_path / "out", "SELECT count(*) FROM latest_forecasts") == [(28,)]


def test_dead_letters_hold_all_that_a_replay_needs(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv("in/bad.csv", "date,y\n2024-01-01,1\n")
    outcome = run(make_settings(horizon="5"))
    path = tmp_path / "out/_dropcast/dead_letters" / f"{outcome.receipts[0].request_key}.ndjson"
    letter = json.loads(path.read_text())
    request = json.loads(letter["request"])
    assert (request["source"], request["spec"], request["attempt"]) == (
        str(tmp_path / "in/bad.csv"),
        '{"horizon":5}',
        0,
    )
    table = pq.read_table(path.with_suffix(".parquet")).to_pylist()[0]
    assert table["code"] == letter["code"] == "TOO_FEW_ROWS"


def test_a_fixed_request_leaves_no_dead_letter_of_its_own(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv()
    run(make_settings(max_rows="50"))  # the operator's limit is no part of the key
    assert ask(tmp_path / "out", "SELECT code FROM dead_letters") == [("TOO_MANY_ROWS",)]
    run(make_settings())
    assert ask(tmp_path / "out", "SELECT count(*) FROM dead_letters") == [(0,)]
    assert ask(tmp_path / "out", "SELECT status FROM receipts") == [("complete",)]


def test_a_bad_manifest_is_open_until_it_is_fixed(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv("in/sales.csv")
    write_csv("in/job.manifest.json", '{"input": "sales.csv", "horizn": 3}')
    run(make_settings("in/job.manifest.json"))
    assert ask(tmp_path / "out", "SELECT scope, code FROM open_dead_letters") == [("message", "BAD_MANIFEST")]
    write_csv("in/job.manifest.json", '{"input": "sales.csv", "horizon": 3}')
    run(make_settings("in/job.manifest.json"))
    assert ask(tmp_path / "out", "SELECT count(*) FROM open_dead_letters") == [(0,)]


def test_a_refusal_under_other_limits_takes_no_forecast_back(
    stores: Path, make_settings: MakeSettings, tmp_path: Path
) -> None:
    run(make_settings())
    rows, open_letters = "SELECT count(*) FROM latest_forecasts", "SELECT scope, code FROM open_dead_letters"
    before = ask(tmp_path / "out", rows)
    for _ in range(2):
        assert run(make_settings(max_series="3")).letters[0].code == "TOO_MANY_SERIES"
    assert ask(tmp_path / "out", rows) == before
    letters = ask(tmp_path / "out", "SELECT scope, code FROM dead_letters ORDER BY 1")
    assert letters == [("file", "TOO_MANY_SERIES"), ("series", "BAD_NUMBER")]
    assert ask(tmp_path / "out", open_letters) == [("series", "BAD_NUMBER")], "the forecast holds for the others"


def test_a_refusal_of_all_series_under_other_limits_takes_no_forecast_back(
    stores: Path, write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv("in/single.csv")
    forecast, history = "SELECT count(*) FROM latest_forecasts", "SELECT count(*) FROM latest_history"
    first = run(make_settings(history=True))
    assert sorted(receipt.status for receipt in first.receipts) == ["complete", "partial"]
    before = [ask(tmp_path / "out", sql) for sql in (forecast, history)]
    assert before[0] == [(600 * 28,)]
    codes = [letter.code for letter in run(make_settings(max_rows="5", history=True)).letters if letter.scope == "file"]
    assert sorted(codes) == ["NOTHING_FORECAST", "TOO_MANY_ROWS"]
    assert [ask(tmp_path / "out", sql) for sql in (forecast, history)] == before
    assert ask(tmp_path / "out", "SELECT code FROM open_dead_letters") == [("BAD_NUMBER",)]


def test_a_block_that_is_refused_under_other_limits_loses_its_rows(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    days = {f"s{s:03d}": 20 if s < 512 else 30 for s in range(600)}  # all series of the second block are longer
    rows = [f"{s},2024-01-{day:02d},{day}\n" for s, length in days.items() for day in range(1, length + 1)]
    write_csv(text="store,date,y\n" + "".join(rows))
    assert run(make_settings()).receipts[0].series_forecast == 600
    again = run(make_settings(max_rows="25")).receipts[0]
    assert (again.status, again.series_forecast, again.rows) == ("partial", 512, 512 * 28)
    assert ask(tmp_path / "out", "SELECT count(*) FROM latest_forecasts") == [(512 * 28,)]


def test_a_refusal_of_what_was_put_back_with_an_older_date_takes_no_forecast_back(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    rows = "".join(f"{s},2024-01-{d:02d},{d}\n" for s in "abc" for d in range(1, 21))
    path = write_csv(text="store,date,y\n" + rows)
    os.utime(path, (2000, 2000))
    done = run(make_settings())
    os.utime(path, (1000, 1000))
    again = run(make_settings(max_series="2"))
    assert [letter.code for letter in again.letters] == ["TOO_MANY_SERIES"]
    assert again.letters[0].request_key == done.receipts[0].request_key
    assert ask(tmp_path / "out", "SELECT status FROM receipts") == [("complete",)]
    assert ask(tmp_path / "out", "SELECT count(*) FROM latest_forecasts") == [(3 * 28,)]


def test_the_options_of_a_forecast_are_those_it_was_made_with(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    source, forecast_csv = write_csv(), tmp_path / "out/sales.csv"
    assert run(make_settings(horizon="7")).exit_code == 0
    assert run(make_settings(horizon="9", max_rows="50")).receipts[0].status == "failed"
    assert spec_of_forecast(forecast_csv, source) == {"horizon": 7}
    assert run(make_settings(horizon="5")).exit_code == 0
    assert spec_of_forecast(forecast_csv, source) == {"horizon": 5}
    assert spec_of_forecast(tmp_path / "elsewhere.csv", source) == {}


def test_a_file_that_changes_while_it_is_read_is_not_forecast_under_its_old_version(
    write_csv: WriteCsv, make_settings: MakeSettings
) -> None:
    path = write_csv()
    settings = make_settings()
    request = request_for(settings.files[0], settings.spec, [])
    path.write_text(path.read_text() + "2025-01-01,5\n")
    with pytest.raises(RecordError) as refusal:
        list(load_blocks(request, Limits(), FolderOutput(settings.output)))
    assert refusal.value.code == "SOURCE_CHANGED"


def test_an_id_column_whose_name_has_a_line_break_can_be_forecast_again(
    write_csv: WriteCsv, make_settings: MakeSettings
) -> None:
    rows = "".join(f"a,2024-01-{d:02d},{d}\n" for d in range(1, 21))
    write_csv("in/x.csv", '"sto\nre",date,sales\n' + rows)
    settings = make_settings(id_columns="sto\nre")
    assert [run(settings).exit_code for _ in range(2)] == [0, 0]


def scans(plan: Any) -> list[dict[str, Any]]:
    """Return what is read of each table, in a query plan."""
    found = [plan["extra_info"]] if "Function" in plan.get("extra_info", {}) else []
    return found + [scan for child in plan.get("children", []) for scan in scans(child)]


@pytest.mark.parametrize(
    ("view", "column"),
    [("latest_forecasts", "forecast_value"), ("latest_history", "history_value"), ("accuracy", "coverage"),
     ("live_accuracy", "forecast_value")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("condition", "pushed"),
    [("source = '/nowhere/x.csv'", "\"source\" = '/nowhere/x.csv'"),
     ("source_time = TIMESTAMPTZ '2020-02-02'", "2020-02-02")],
)  # fmt: skip
def test_a_filter_on_the_source_reaches_the_table(
    view: str, column: str, condition: str, pushed: str, write_csv: WriteCsv, make_settings: MakeSettings
) -> None:
    """In BigQuery this decides what a query costs: tables are clustered by source, and partitioned by source_time."""
    write_csv("in/a.csv", daily_series(40))
    settings = make_settings(history=True)
    run(settings)
    connection = connect(settings.output)
    ((_, plan),) = connection.sql(f"EXPLAIN (FORMAT json) SELECT * FROM {view} WHERE {condition}").fetchall()
    (scan,) = [scan for scan in scans(json.loads(plan)[0]) if column in scan["Projections"]]
    assert pushed in str(scan.get("Filters", "")), scan


def test_history_can_be_drawn_together_with_the_forecast(
    write_csv: Callable[[str, str], Path], make_settings: MakeSettings
) -> None:
    rows = "".join(f"2024-01-{day:02d}T00:00+02:00,{day}\n" for day in range(1, 15))
    write_csv("in/stores.csv", "date,y\n" + rows + "2024-01-15T00:00+02:00,\n")
    settings = make_settings(history="true", horizon=3)
    assert forecast_files(settings).exit_code == 0
    connection = connect(settings.output)
    found = connection.sql("SELECT history_timestamp, history_value FROM latest_history ORDER BY 1").fetchall()
    assert [value for _, value in found] == list(range(1, 15))
    assert found[0][0].isoformat() == "2023-12-31T22:00:00+00:00"
    again = make_settings(horizon=3)
    assert forecast_files(again).exit_code == 0
    assert connect(settings.output).sql("SELECT COUNT(*) FROM latest_history").fetchall() == [(14,)]
