"""The tables and views of an output folder, in an embedded DuckDB."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import sqlglot

from pipeline.core.outputs.tables import TABLES, VIEWS, table_schema, view_sql
from pipeline.core.requests.names import INTERNAL

EXAMPLES = (
    ("the next days of each series", "SELECT series_id, forecast_timestamp, round(forecast_value, 1) AS forecast\n"
     "FROM latest_forecasts WHERE step <= 3 ORDER BY series_id, step"),
    ("the series that are forecast to grow most", "SELECT series_id, regr_slope(forecast_value, step) AS per_step\n"
     "FROM latest_forecasts GROUP BY series_id ORDER BY per_step DESC LIMIT 10"),
    ("what could not be forecast", "SELECT source, series_id, code, message, hint FROM open_dead_letters"),
    ("how each file fared", "SELECT source, status, series_forecast, series_failed, score_mase FROM latest_receipts"),
)  # fmt: skip


def connect(output: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection in which the tables of an output folder can be queried.

    The tables are passed as Arrow datasets, so that DuckDB itself needs no file access, and has none: no query can
    change that.

    Raises:
        FileNotFoundError: if there are no tables in the folder.
    """
    internal = (output / INTERNAL).resolve()
    if not internal.is_dir():
        raise FileNotFoundError(f"there are no tables in {output}; forecast something into it first")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in TABLES:
        connection.register(table, _table(internal / table, table))
    for view in VIEWS:
        connection.execute(f"CREATE VIEW {view} AS {portable(view_sql(view))}")
    connection.execute("SET python_enable_replacements = false")  # nor variables of this program
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """Return the answer to a query.

    Raises:
        duckdb.Error: if it is not a query, or an invalid one.
    """
    others = {statement.type.name for statement in connection.extract_statements(sql)} - {"SELECT", "EXPLAIN"}
    relation = None if others else connection.sql(sql)
    if relation is None:
        raise duckdb.Error("only queries that return rows are allowed: the tables cannot be changed")
    return relation


def portable(bigquery_sql: str) -> str:
    """Return BigQuery's SQL as DuckDB's."""
    return str(sqlglot.transpile(bigquery_sql, read="bigquery", write="duckdb")[0])


def _table(folder: Path, table: str) -> ds.Dataset:
    """Return a table's files as a dataset; columns missing in older files are empty."""
    schema = table_schema(table)
    paths = [str(path) for path in sorted(folder.glob("**/*.parquet"))]
    return ds.dataset(paths, schema=schema, format="parquet") if paths else ds.dataset(schema.empty_table())
