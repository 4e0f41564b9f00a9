"""The queries that the documents show: they run, and those of large tables say which part of them they read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from pipeline.folder.query import connect, portable
from pipeline.folder.run import forecast_files
from pipeline.runs import FolderRun
from tests.conftest import daily_series

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LARGE = {
    "forecasts",
    "history",
    "backtests",
    "actuals",
    "latest_forecasts",
    "latest_history",
    "accuracy",
    "live_accuracy",
}


def queries(page: str) -> list[exp.Expression]:
    blocks = re.findall(r"```sql\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [found for block in blocks for found in sqlglot.parse(block, read="bigquery") if found is not None]


def test_the_documents_show_some() -> None:
    assert sum(len(queries(page)) for page in PAGES) > 10
    assert len(queries("docs/tables.md")) > 4


@pytest.mark.parametrize("page", PAGES)
def test_a_query_of_a_large_table_names_a_source_or_a_time(page: str) -> None:
    """Otherwise BigQuery would read, and charge for, all of it."""
    for query in queries(page):
        if isinstance(query, exp.Create):
            continue
        for part in query.find_all(exp.Select):
            tables = {table.name for table in part.find_all(exp.Table)}
            columns = {column.name for where in part.find_all(exp.Where) for column in where.find_all(exp.Column)}
            assert not tables & LARGE or columns & {"source", "source_time", "feed"}, query.sql("bigquery")


def test_the_queries_of_the_page_about_tables_run(
    write_csv: Callable[..., Path], make_settings: Callable[..., FolderRun]
) -> None:
    write_csv("in/a.csv", daily_series(60))
    settings = make_settings(model="auto", history=True)
    assert forecast_files(settings).exit_code == 0
    connection = connect(settings.output)
    for query in queries("docs/tables.md"):
        for table in query.find_all(exp.Table):
            table.set("db", None)
            table.set("catalog", None)
        connection.sql(portable(query.sql("bigquery"))).fetchall()
