"""A block's forecasts as a table with one row for each series and date, as the forecast CSV has them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dates.calendars import Dates
from pipeline.core.dates.date_style import DateStyle
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.outputs.forecast_csv import csv_columns, ends_of
from pipeline.core.outputs.frame_names import Names
from pipeline.core.series.arrow_lists import flat_list
from pipeline.core.series.layout import Layout

NAMES = ("csv", "prophet", "nixtla")
"""Whose names the columns have: those of the forecast CSV, ds and yhat, or unique_id, ds and Dropcast."""


def forecast_frame(
    forecasts: pa.RecordBatch, layout: Layout, spec: ForecastSpec, names: str, dates_as_text: bool
) -> pa.Table:
    """Return the forecasts of a block.

    Args:
        forecasts: of core/engines/forecast_batch.py.
        layout: of the file.
        spec: what was asked.
        names: one of NAMES.
        dates_as_text: whether dates are written as in the CSV; otherwise they are timestamps, which have a time
            zone if the file's have one or an offset.

    Raises:
        RecordError: RESERVED_COLUMN if an id column has the name of another.
    """
    dates, offsets = flat_list(forecasts, "ds")
    series = pa.array(np.repeat(np.arange(len(forecasts)), np.diff(offsets)))
    numbers = [forecasts.column("yhat").flatten(), *ends_of(forecasts, spec)]
    for name in spec.component_names:
        component = forecasts.column(f"component_{name}").flatten()
        numbers.append(pc.if_else(pc.is_nan(component), pa.scalar(None, pa.float64()), component))
    if names == "nixtla":
        ids = [forecasts.column("series_id").take(series)]
    else:
        lists = forecasts.column("ids")
        ids = [pc.list_element(lists, i).take(series) for i in range(len(layout.id_columns))]
    told = _dates_as_text(dates, layout.style) if dates_as_text else _timestamps(dates, layout.style)
    titles = frame_columns(layout, spec, names)
    return pa.table([*ids, told, *numbers], names=titles)


def frame_columns(layout: Layout, spec: ForecastSpec, names: str) -> list[str]:
    """Return the names of the columns.

    Raises:
        RecordError: RESERVED_COLUMN if two would have the same.
    """
    own = csv_columns(layout, spec)
    if names != "csv":
        with_ids = names == "nixtla"
        known = Names(len(spec.level) > 1, with_ids)
        ids = ["unique_id"] if with_ids else list(layout.id_columns)
        own = [*ids, "ds", known.forecast, *known.ends(spec), *spec.component_names]
    repeated = next((name for name in own if own.count(name) > 1), None)
    if repeated is not None:
        raise RecordError(
            "RESERVED_COLUMN", f"The forecast would have two columns {repeated!r}.", "Rename the column in the data.",
            column=repeated,
        )  # fmt: skip
    return own


def _dates_as_text(dates: Dates, style: DateStyle) -> pa.StringArray:
    distinct, rows = np.unique(dates, return_inverse=True)
    return style.write(distinct).take(pa.array(rows))


def _timestamps(dates: Dates, style: DateStyle) -> pa.TimestampArray:
    zone = style.timezone or ("UTC" if style.in_utc or style.on_wall else None)
    ticks = style.to_utc(dates) if zone else dates
    return pa.array(ticks).cast(pa.timestamp("us", zone))
