"""The sanity score: the last horizon held out, its error scaled by that of a seasonal naive forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.calendars import DAY, HOUR, Dates, parse_frequency, slots_of
from pipeline.core.series_batch import lists_of, number_lists, timestamp_lists
from pipeline.errors import RecordError

Floats = npt.NDArray[np.float64]


def season_length(frequency: str) -> int:
    """Return the number of periods in the season that a seasonal naive forecast repeats.

    A day for data within days, a week for days, a year for weeks, months and quarters; 1 where there is none.
    """
    calendar = parse_frequency(frequency)
    if calendar.kind == "weekdays":
        return calendar.anchor.count("1")
    if calendar.kind == "months":
        return max(12 // calendar.step, 1)
    if calendar.step < DAY:
        return max(DAY // calendar.step, 1) if calendar.step <= HOUR or DAY % calendar.step == 0 else 1
    if calendar.step < 7 * DAY:
        return max(7 * DAY // calendar.step, 1) if 7 * DAY % calendar.step == 0 else 1
    return max(364 * DAY // calendar.step, 1)


def seasonal_naive_error(dates: Dates, history: Floats, frequency: str) -> float:
    """Return the mean absolute error of the seasonal naive forecast within the history, shape (n,).

    Values a season apart are held against each other, whatever gaps lie between them; where there is no
    such pair, neighbours are.
    """
    slots = slots_of(parse_frequency(frequency), dates)
    for lag in (season_length(frequency), 1):
        at = np.minimum(np.searchsorted(slots, slots + lag), len(slots) - 1)
        paired = slots[at] == slots + lag
        if paired.any():
            return float(np.mean(np.abs(history[at][paired] - history[paired])))
    return 0.0


def held_out(
    series: pa.RecordBatch, extras: Sequence[str], horizon: int
) -> tuple[pa.RecordBatch, list[Floats], list[float]]:
    """Cut the last `horizon` values off each history.

    A series with a fault, or whose history is shorter than two horizons, is not scored. Missing values do
    not count: with gaps, the values held out span more than a horizon.

    Returns:
        The shortened series, whose dates to forecast are those cut off; the values cut off; and the error
        of the seasonal naive forecast within what is left.
    """
    faults = series.column("fault").to_pylist()
    frequencies = series.column("frequency").to_pylist()
    dates, values = lists_of(series, "ds"), lists_of(series, "y")
    numbers = [lists_of(series, f"extra_{name}") for name in extras]
    cuts, actuals, scales = [], [], []
    for i, history in enumerate(values):
        cut = len(history) - horizon
        if faults[i] is None and cut >= max(horizon, 2):
            scales.append(seasonal_naive_error(dates[i][:cut], history[:cut], frequencies[i]))
            cuts.append(cut)
            actuals.append(history[cut:])
            continue
        faults[i] = faults[i] or RecordError("TOO_FEW_ROWS", "Too short for a score.", "Add history.").to_json()
        cuts.append(0)
        actuals.append(history[:0])
        scales.append(0.0)
    ends = [len(history) if cut else 0 for cut, history in zip(cuts, values, strict=True)]
    columns = {
        "series_id": series.column("series_id"),
        "ids": series.column("ids"),
        "frequency": series.column("frequency"),
        "ds": timestamp_lists([d[:cut] for d, cut in zip(dates, cuts, strict=True)]),
        "y": number_lists([v[:cut] for v, cut in zip(values, cuts, strict=True)]),
        "future": timestamp_lists([d[cut:end] for d, cut, end in zip(dates, cuts, ends, strict=True)]),
    }
    for name, column in zip(extras, numbers, strict=True):
        columns[f"extra_{name}"] = number_lists([c[:end] for c, end in zip(column, ends, strict=True)])
    columns["fault"] = pa.array(faults, pa.string())
    return pa.record_batch(columns, schema=series.schema), actuals, scales


def mase(actual: Floats, prediction: Floats, scale: float) -> float | None:
    """Return the mean absolute scaled error (Hyndman & Koehler 2006); None if there is nothing to scale by."""
    if not len(actual) or len(prediction) != len(actual) or scale <= 0:
        return None
    return float(np.mean(np.abs(actual - prediction)) / scale)
