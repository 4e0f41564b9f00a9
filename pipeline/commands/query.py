"""dropcast query: the tables, in SQL."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

import duckdb

from pipeline.commands import OptionsError, parsed, parser_for, refuse
from pipeline.core.outputs.tables import TABLES, VIEWS, view_sql
from pipeline.folder.query import EXAMPLES, answer, connect
from pipeline.terminal import say

FORMATS = ("table", "csv", "json")


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "query",
        "Query the tables in DuckDB's SQL. Without a query: list tables, views and examples.",
        'dropcast query "SELECT * FROM latest_forecasts LIMIT 5" --format=csv',
        "[SQL] [OPTION ...]",
    )
    found.add_argument("sql", nargs="?", metavar="SQL", help="the query; - to read it from standard input")
    found.add_argument("--output", metavar="DIR", default="forecasts", help="folder of the forecasts [forecasts]")
    found.add_argument("--format", default="table", metavar="|".join(FORMATS), help="how to print the result [table]")
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        if arguments["format"] not in FORMATS:
            raise OptionsError([f"--format: must be one of {', '.join(FORMATS)} (given: {arguments['format']!r})"])
    except OptionsError as error:
        return refuse(error)
    if arguments["sql"] is None:
        say(_overview())
        return 0
    sql = sys.stdin.read() if arguments["sql"] == "-" else arguments["sql"]
    try:
        _print(answer(connect(Path(arguments["output"])), sql), arguments["format"])
    except FileNotFoundError as error:
        return refuse(OptionsError([f"--output: {error}"]))
    except duckdb.Error as error:
        return refuse(OptionsError(f"SQL: {error}".split("\n")))
    return 0


def _print(relation: duckdb.DuckDBPyRelation, form: str) -> None:
    if form == "table":
        drawn = io.StringIO()
        with redirect_stdout(drawn):
            relation.show(max_width=shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000)
        say(drawn.getvalue().rstrip("\n"))
        return
    frame = relation.df()
    if form == "csv":
        csv = frame.to_csv(index=False)
        say(csv, end="") if sys.stdout.isatty() else sys.stdout.write(csv)  # as data it is left as it is
    else:
        say(json.dumps(json.loads(frame.to_json(orient="records", date_format="iso")), indent=2))


def _overview() -> str:
    lines = ["tables:", *(f"  {name}" for name in TABLES), "views:"]
    for view in VIEWS:
        comment = [line.removeprefix("--").strip() for line in view_sql(view).splitlines() if line.startswith("--")]
        lines.append(f"  {view:<18}{' '.join(comment)}")
    lines.append("examples:")
    for title, sql in EXAMPLES:
        lines += [f"  -- {title}", *(f"  {line}" for line in sql.splitlines())]
    return "\n".join(lines)
