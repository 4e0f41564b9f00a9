"""Queries in .sql files, of Parquet files beside them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from pipeline import cli, main
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.local_inputs import query_rows
from pipeline.core.local_inputs.open_input import open_input
from pipeline.core.requests.local_files import UNREAD, request_of_csv
from pipeline.core.requests.local_queries import read_query
from tests.conftest import daily_series

SQL = "SELECT store, date, sum(amount) AS sales FROM 'data/receipts.parquet' GROUP BY ALL"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with receipts: each value of two stores in three parts, shuffled."""
    (tmp_path / "in/data").mkdir(parents=True)
    sales(tmp_path).to_csv(tmp_path / "sales.csv", index=False)
    days = sales(tmp_path)
    parts = pd.concat([days.assign(amount=days.sales / 4), days.assign(amount=days.sales / 4),
                       days.assign(amount=days.sales / 2)])  # fmt: skip
    parts.sample(frac=1, random_state=1).to_parquet(tmp_path / "in/data/receipts.parquet", index=False)
    (tmp_path / "in/week.sql").write_text(SQL)
    return tmp_path


def sales(folder: Path) -> pd.DataFrame:
    frames = []
    for seed, store in enumerate(("north", "south")):
        path = folder / f"{store}.csv"
        path.write_text(daily_series(60, seed=seed))
        frames.append(pd.read_csv(path, parse_dates=[0]).set_axis(["date", "sales"], axis=1).assign(store=store))
    return pd.concat(frames)[["store", "date", "sales"]]


@pytest.mark.parametrize("beam", [False, True])
def test_a_query_has_the_forecast_of_the_csv_of_its_rows(folder: Path, beam: bool) -> None:
    (folder / "in/week.manifest.json").write_text(json.dumps({"input": "week.sql", "output": "week.csv"}))
    output = f"--output={folder}/out"
    if beam:
        assert main.main([f"--input={folder}/in/*", output]) == 0
    else:
        assert cli.main(["forecast", f"{folder}/in/*.manifest.json", output]) == 0
    assert cli.main(["forecast", f"{folder}/sales.csv", f"--output={folder}/csv"]) == 0
    assert (folder / "out/week.csv").read_text() == (folder / "csv/sales.csv").read_text()
    assert sorted(path.name for path in (folder / "out").glob("*.csv")) == ["week.csv"], "and the query only once"


def test_a_query_is_an_input_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["forecast", f"{folder}/in/week.sql", f"--output={folder}/out"]) == 0
    assert (folder / "out/week.sql.csv").exists()
    capsys.readouterr()
    assert cli.main(["check", f"{folder}/in/week.sql", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["series"] == 2


def test_it_can_be_drawn_and_reported(folder: Path) -> None:
    path, output = f"{folder}/in/week.sql", f"{folder}/out"
    assert cli.main(["forecast", path, f"--output={output}"]) == 0
    assert cli.main(["plot", path, f"{output}/week.sql.csv", f"--save={folder}/week.svg"]) == 0
    assert "north" in (folder / "week.svg").read_text()
    assert cli.main(["report", output, f"--save={folder}/report.html"]) == 0
    assert "&quot;past&quot;" in (page := (folder / "report.html").read_text()) or '"past"' in page


def test_its_version_is_that_of_the_query_and_its_files(folder: Path) -> None:
    path = folder / "in/week.sql"
    first = request_of_csv(path, "w.csv", ForecastSpec(), "")
    os.utime(path, (1, 1))
    assert request_of_csv(path, "w.csv", ForecastSpec(), "").version == first.version
    path.write_text(SQL + " ")
    other = request_of_csv(path, "w.csv", ForecastSpec(), "")
    pd.DataFrame({"a": [1]}).to_parquet(folder / "in/data/receipts.parquet")
    another = request_of_csv(path, "w.csv", ForecastSpec(), "")
    assert len({first.version, other.version, another.version}) == 3
    (folder / "in/data/receipts.parquet").unlink()
    assert request_of_csv(path, "w.csv", ForecastSpec(), "").version == UNREAD


def test_rows_come_in_one_order(folder: Path) -> None:
    path = folder / "in/week.sql"

    def read() -> bytes:
        with open_input(path, Limits()) as rows:
            data = rows.read()
            assert rows.version() == request_of_csv(path, "w.csv", ForecastSpec(), "").version
        return data

    first = read()
    path.write_text(SQL + " ORDER BY sales DESC")
    assert read() == first


def test_a_file_that_changes_meanwhile_is_noticed(folder: Path) -> None:
    path = folder / "in/week.sql"
    request = request_of_csv(path, "w.csv", ForecastSpec(), "")
    with open_input(path, Limits()) as rows:
        pd.DataFrame({"a": [1]}).to_parquet(folder / "in/data/receipts.parquet")
        assert rows.version() != request.version


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("", "BAD_QUERY"), ("SELECT 1", "BAD_QUERY"), (f"{SQL}; {SQL}", "BAD_QUERY"), ("SELEKT", "BAD_QUERY"),
        ("SELECT * FROM 'data/receipts.csv'", "BAD_QUERY"), ("SELECT * FROM receipts", "BAD_QUERY"),
        ("SELECT * FROM read_parquet('data/receipts.parquet')", "BAD_QUERY"), ("FROM glob('*')", "BAD_QUERY"),
        ("SELECT * FROM 'data/receipts.parquet', range(5)", "BAD_QUERY"), ("FROM main.'x.parquet'", "BAD_QUERY"),
        ("COPY (SELECT * FROM 'data/receipts.parquet') TO 'x.csv'", "BAD_QUERY"), ("ATTACH 'x.db'", "BAD_QUERY"),
        ("SELECT * FROM '/etc/x.parquet'", "PATH_NOT_ALLOWED"), ("FROM '../x.parquet'", "PATH_NOT_ALLOWED"),
        ("FROM 'link.parquet'", "PATH_NOT_ALLOWED"), ("FROM 'data/../../x.parquet'", "PATH_NOT_ALLOWED"),
        ("FROM 'gone.parquet'", "SOURCE_GONE"), ("FROM 'data.parquet'", "SOURCE_IS_DIRECTORY"),
        ("SELECT no_such FROM 'data/receipts.parquet'", "BAD_QUERY"), ("FROM 'text.parquet'", "BAD_QUERY"),
        ("SELECT (SELECT content FROM read_text('/etc/hosts')) FROM 'data/receipts.parquet'", "BAD_QUERY"),
        ("SELECT * FROM 'data/receipts.parquet' WHERE false", "NO_ROWS"),
        ("SELECT getenv('HOME') FROM 'data/receipts.parquet'", "BAD_QUERY"), (f"{'(' * 5000}{SQL}", "BAD_QUERY"),
    ],
)  # fmt: skip
def test_what_is_refused(folder: Path, sql: str, code: str) -> None:
    (folder / "in/link.parquet").symlink_to("/etc/hosts")
    (folder / "in/data.parquet").mkdir()
    (folder / "in/text.parquet").write_text("no Parquet file")
    path = folder / "in/week.sql"
    path.write_text(sql)
    with pytest.raises(RecordError) as refused, open_input(path, Limits()) as rows:
        rows.read()
    assert refused.value.code == code
    assert refused.value.hint


def test_names_with_quotes_are_names(folder: Path) -> None:
    name = 'it\'s a "file".parquet'
    (folder / "in/data/receipts.parquet").rename(folder / "in" / name)
    path = folder / "in/week.sql"
    path.write_text(SQL.replace("data/receipts.parquet", name.replace("'", "''")))
    assert list(read_query(path).files) == [name]
    with open_input(path, Limits()) as rows:
        assert rows.read()


def test_a_query_takes_no_more_time_than_it_may(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_rows, "SECONDS", 0.2)
    path = folder / "in/week.sql"
    path.write_text("SELECT count(*) FROM " + ", ".join(f"'data/receipts.parquet' t{i}" for i in range(6)))
    with pytest.raises(RecordError, match="longer than") as refused, open_input(path, Limits()):
        pass
    assert refused.value.code == "BAD_QUERY"


def test_a_manifest_with_a_bad_query_is_refused_at_once(folder: Path) -> None:
    (folder / "in/week.sql").write_text("SELECT 1")
    (folder / "in/week.manifest.json").write_text(json.dumps({"input": "week.sql"}))
    assert cli.main(["forecast", f"{folder}/in/week.manifest.json", f"--output={folder}/out"]) == 3
    (letter,) = (folder / "out/_dropcast/dead_letters").glob("*.ndjson")
    assert json.loads(letter.read_text())["code"] == "BAD_QUERY"
