"""The tables for analysts: their schemas, read from templates/, and their rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.blocks import ForecastBlock
from pipeline.core.dates.calendars import Dates
from pipeline.core.elements import Request
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.series.arrow_lists import flat_list

TABLES = ("forecasts", "receipts", "dead_letters", "history", "backtests", "actuals")
ROWS_OF_BLOCKS = ("forecasts", "history", "backtests", "actuals")  # the tables whose rows come with forecasts
# A view may use those before it.
VIEWS = (
    "current_requests", "latest_forecasts", "latest_receipts", "open_dead_letters", "stale_forecasts",
    "forecast_summary", "latest_history", "accuracy", "live_accuracy",
)  # fmt: skip
_TYPES = {
    "STRING": pa.string(), "INTEGER": pa.int64(), "FLOAT": pa.float64(), "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}  # fmt: skip


def table_fields(table: str) -> list[dict[str, str]]:
    """Return a table's BigQuery schema: name, type, mode and description of each column."""
    fields: list[dict[str, str]] = json.loads(_template(f"{table}.json"))
    return fields


@cache
def table_schema(table: str) -> pa.Schema:
    """Return a table's schema for Arrow and Parquet."""
    return pa.schema(
        [pa.field(f["name"], _TYPES[f["type"]], nullable=f["mode"] == "NULLABLE") for f in table_fields(table)]
    )


def view_sql(view: str) -> str:
    """Return a view's query, in BigQuery's SQL with bare table names."""
    return _template(f"{view}.sql")


def _template(name: str) -> str:
    package = Path(__file__).parents[2]
    # installed, templates/ is in the package; where a checkout is run, it is beside it
    folder = next(place for place in (package / "templates", package.parent / "templates") if place.is_dir())
    return (folder / "bigquery" / name).read_text()


def element_rows(table: str, elements: Iterable[Any]) -> pa.Table:
    """Return receipts or dead letters as rows of their table."""
    rows = [dataclasses.asdict(element) for element in elements]
    for row in rows:
        for name in ("source_time", "finished_at"):
            if name in row:
                row[name] = datetime.fromisoformat(row[name])
    return pa.Table.from_pylist(rows, schema=table_schema(table))


def rows_of_block(block: ForecastBlock, history: bool) -> dict[str, pa.Table]:
    """Return a block's rows by table, the forecasts first; a table without rows is left out, unless it is that.

    Args:
        block: the forecasts.
        history: whether to include the input values.
    """
    rows = {"forecasts": forecast_rows(block)}
    if "actual_ds" in block.batch.schema.names:  # not in a first try that an earlier version left
        rows["actuals"] = past_rows(block, "actual", "actuals")
    if history:
        rows["history"] = past_rows(block, "history", "history")
    if block.request.parsed_spec.backtested:
        rows["backtests"] = backtest_rows(block)
    return {name: table for name, table in rows.items() if table.num_rows or name == "forecasts"}


def forecast_rows(block: ForecastBlock) -> pa.Table:
    """Return a block's forecasts as rows of the table, one for each series, step and level."""
    spec, batch, layout = block.request.parsed_spec, block.batch, block.layout
    levels = spec.level
    steps = np.diff(np.asarray(batch.column("ds").offsets))
    count, repeats = int(steps.sum()), len(levels)
    series = pa.array(np.repeat(np.arange(len(batch)), steps * repeats))
    step = np.concatenate([np.arange(1, n + 1) for n in steps.tolist()]) if count else np.empty(0, dtype=np.int64)
    dates: Dates = layout.style.to_utc(np.asarray(batch.column("ds").flatten().view(pa.int64())))

    def ends(name: str) -> pa.Array:
        by_level = [np.asarray(batch.column(f"{name}_{i}").flatten()) for i in range(repeats)]
        return pa.array(np.column_stack(by_level).ravel())

    rows = count * repeats
    request: Request = block.request
    columns = {
        **_of_request(request, rows),
        "series_id": batch.column("series_id").take(series),
        "frequency": batch.column("frequency").take(series),
        "step": pa.array(np.repeat(step, repeats)),
        "forecast_timestamp": pa.array(np.repeat(dates, repeats).astype("datetime64[us]"), pa.timestamp("us")),
        "forecast_value": pa.array(np.repeat(np.asarray(batch.column("yhat").flatten()), repeats)),
        "confidence_level": pa.array(np.tile(np.asarray(levels) / 100, count)),
        "prediction_interval_lower_bound": ends("lower"),
        "prediction_interval_upper_bound": ends("upper"),
        "status": _constant("", rows),
        "model": _constant(block.model, rows),
        "components": _components(batch, spec).take(pa.array(np.repeat(np.arange(count), repeats)))
        if spec.components
        else pa.nulls(rows, pa.string()),
    }
    schema = table_schema("forecasts")
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def past_rows(block: ForecastBlock, name: str, table: str) -> pa.Table:
    """Return values of a block's histories as rows of a table.

    Args:
        block: the forecasts, with the columns NAME_ds and NAME_y.
        name: "history" for all values that the forecasts were made from, "actual" for the last ones.
        table: which has the columns NAME_timestamp and NAME_value.
    """
    batch, layout, request = block.batch, block.layout, block.request
    dates, offsets = flat_list(batch, f"{name}_ds")
    values, _ = flat_list(batch, f"{name}_y")
    rows = len(dates)
    series = pa.array(np.repeat(np.arange(len(batch)), np.diff(offsets)))
    times = layout.style.to_utc(dates).astype("datetime64[us]")
    columns = {
        **_of_request(request, rows),
        "series_id": batch.column("series_id").take(series),
        "frequency": batch.column("frequency").take(series),
        f"{name}_timestamp": pa.array(times, pa.timestamp("us")),
        f"{name}_value": pa.array(values),
    }
    schema = table_schema(table)
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def backtest_rows(block: ForecastBlock) -> pa.Table:
    """Return a block's backtests as rows of the table `backtests`."""
    batch, layout = block.batch, block.layout
    lists = batch.column("backtests")
    found = pa.Table.from_struct_array(lists.flatten()).combine_chunks()
    series = pa.array(np.repeat(np.arange(len(batch)), np.diff(np.asarray(lists.offsets))))
    cutoffs = found.column("cutoff").combine_chunks()
    known = np.asarray(cutoffs.fill_null(0).view(pa.int64()))
    times = pa.array(layout.style.to_utc(known).astype("datetime64[us]"), pa.timestamp("us"))
    columns = {
        **_of_request(block.request, found.num_rows),
        "series_id": batch.column("series_id").take(series),
        "frequency": batch.column("frequency").take(series),
        **{name: found.column(name) for name in found.column_names},
        "cutoff": pc.if_else(cutoffs.is_valid(), times, pa.scalar(None, times.type)),
        "confidence_level": pc.divide(found.column("level"), 100),
    }
    schema = table_schema("backtests")
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _of_request(request: Request, rows: int) -> dict[str, pa.Array]:
    """Return the columns that are the same for all rows of a request."""
    time = pa.scalar(datetime.fromisoformat(request.source_time), pa.timestamp("us", tz="UTC"))
    return {
        "request_key": _constant(request.key, rows),
        "source": _constant(request.source, rows),
        "version": _constant(request.version, rows),
        "source_time": pa.repeat(time, rows),
        "attempt": pa.array(np.full(rows, request.attempt)),
        "output": _constant(request.output, rows),
    }


def _components(batch: pa.RecordBatch, spec: ForecastSpec) -> pa.Array:
    """Return the components of each row as JSON."""
    pieces: list[Any] = []
    for i, name in enumerate(spec.component_names):
        numbers = batch.column(f"component_{name}").flatten()
        values = pc.if_else(pc.is_nan(numbers), "null", numbers.cast(pa.string()))
        pieces += [f"{',' if i else '{'}{json.dumps(name)}:", values]
    return pc.binary_join_element_wise(*pieces, "}", "")


def _constant(text: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), rows)
