"""dropcast query: the tables, in SQL."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import duckdb

from pipeline.commands import OptionsError, parsed, parser_for, refuse
from pipeline.core.query import EXAMPLES, answer, connect
from pipeline.core.tables import TABLES, VIEWS, view_sql

FORMATS = ("table", "csv", "json")


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "query",
        "Ask the tables in SQL (DuckDB's). Without SQL: list tables, views and examples.",
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
        print(_overview())
        return 0
    sql = sys.stdin.read() if arguments["sql"] == "-" else arguments["sql"]
    try:
        _print(answer(connect(Path(arguments["output"])), sql), arguments["format"])
    except FileNotFoundError as error:
        return refuse(OptionsError([f"--output: {error}"]))
    except duckdb.Error as error:
        return refuse(OptionsError([f"SQL: {error}"]))
    return 0


def _print(relation: duckdb.DuckDBPyRelation, form: str) -> None:
    if form == "table":
        relation.show(max_width=None if sys.stdout.isatty() else 10_000)
        return
    frame = relation.df()
    if form == "csv":
        frame.to_csv(sys.stdout, index=False)
    else:
        json.dump(json.loads(frame.to_json(orient="records", date_format="iso")), sys.stdout, indent=2)
        print()


def _overview() -> str:
    lines = ["tables:", *(f"  {name}" for name in TABLES), "views:"]
    for view in VIEWS:
        comment = [line.removeprefix("--").strip() for line in view_sql(view).splitlines() if line.startswith("--")]
        lines.append(f"  {view:<18}{' '.join(comment)}")
    lines.append("examples:")
    for title, sql in EXAMPLES:
        lines += [f"  -- {title}", *(f"  {line}" for line in sql.splitlines())]
    return "\n".join(lines)
