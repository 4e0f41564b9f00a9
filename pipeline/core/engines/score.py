"""The sanity score: the last horizon held out, its error scaled by that of a seasonal naive forecast."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Floats, Ints
from pipeline.core.dates.calendars import Dates
from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.dates.seasons import season_length
from pipeline.core.series.arrow_lists import first_of_same_dates, flat_list, list_column, lists_of, timestamps


def seasonal_naive_pairs(dates: Dates, frequency: str) -> tuple[Ints, Ints]:
    """Return pairs of rows a season apart, whatever the gaps between them; neighbours if there are no such pairs."""
    calendar = parse_frequency(frequency)
    slots = calendar.slots(dates)
    for lag in (season_length(calendar), 1):
        at = np.minimum(np.searchsorted(slots, slots + lag), len(slots) - 1)
        earlier = np.flatnonzero(slots[at] == slots + lag)
        if len(earlier):
            break
    return earlier, at[earlier]


def seasonal_naive_forecast(dates: Dates, y: Floats, future: Dates, frequency: str) -> Floats:
    """Return for each future date the value from the last season that has one; the last value if none has.

    Args:
        dates: of the history, ascending, shape (n,).
        y: its values, shape (n,).
        future: dates to forecast, shape (h,).
        frequency: of the dates.
    """
    calendar = parse_frequency(frequency)
    slots, wanted = np.split(calendar.slots(np.concatenate([dates, future])), [len(dates)])
    lag = season_length(calendar)
    forecast = np.full(len(future), y[-1])
    missing = np.ones(len(future), dtype=np.bool_)
    while missing.any() and (wanted >= slots[0]).any():
        wanted = wanted - lag
        at = np.minimum(np.searchsorted(slots, wanted), len(slots) - 1)
        found = missing & (slots[at] == wanted)
        forecast[found] = y[at[found]]
        missing &= ~found
    return forecast


def seasonal_naive_forecasts(series: pa.RecordBatch) -> Floats:
    """Return the seasonal naive forecast of each series of a block that is not empty, shape (n, h)."""
    columns = [lists_of(series, name) for name in ("ds", "y", "future")]
    frequencies = series.column("frequency").to_pylist()
    return np.array([
        seasonal_naive_forecast(dates, values, future, frequency)
        for dates, values, future, frequency in zip(*columns, frequencies, strict=True)
    ])  # fmt: skip


def seasonal_naive_scales(y: Floats, ds: Dates, offsets: Ints, frequencies: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the mean absolute and the root mean squared error of the seasonal naive forecast within each history.

    Each has shape (n,), and is 0 where there is none.

    Args:
        y: values of all series, one after the other, shape (N,).
        ds: their dates, shape (N,).
        offsets: row i of the block is y[offsets[i]:offsets[i + 1]], shape (n + 1,).
        frequencies: their frequencies.
    """
    absolute, squared = np.zeros(len(frequencies)), np.zeros(len(frequencies))
    names = np.array(frequencies)
    other = first_of_same_dates(ds, offsets)
    other[1:] |= names[1:] != names[:-1]
    for first, last in pairwise([*np.flatnonzero(other).tolist(), len(names)]):
        start, end = offsets[first], offsets[first + 1]
        earlier, later = seasonal_naive_pairs(ds[start:end], frequencies[first])
        if len(earlier):
            values = y[start : offsets[last]].reshape(last - first, -1)
            with np.errstate(over="ignore", invalid="ignore"):
                errors = np.abs(values[:, later] - values[:, earlier])
                absolute[first:last] = errors.mean(axis=1)
                squared[first:last] = np.sqrt((errors * errors).mean(axis=1))
    return absolute, squared


def held_out(
    series: pa.RecordBatch, extras: Sequence[str], horizon: int, later: int = 0
) -> tuple[pa.RecordBatch, Ints, Floats, Floats]:
    """Cut the last `horizon` values off each history that has at least as many, and two, before them.

    A series with a fault is not scored. Missing values do not count: with gaps, the values held out span more than
    a horizon.

    Args:
        series: a block.
        extras: names of its extra columns.
        horizon: how many values to hold out.
        later: how many values after those to drop, for an earlier cutoff.

    Returns:
        The shortened series, whose dates to forecast are those held out; their rows in `series`; the values held out,
        shape (n, horizon); and the error of the seasonal naive forecast within the rest, shape (n,).
    """
    cut = horizon + later
    _, offsets = flat_list(series, "ds")
    cuts = np.diff(offsets) - cut
    faulty = np.asarray(series.column("fault").is_valid())
    kept = np.flatnonzero(~faulty & (cuts >= max(horizon, 2)))
    if len(kept) < len(series):
        series = series.take(pa.array(kept))
    ds, offsets = flat_list(series, "ds")
    y, _ = flat_list(series, "y")
    starts, ends = offsets[:-1], offsets[1:]
    last = ends[:, None] + np.arange(-cut, -later)
    early = np.ones(len(ds), dtype=np.bool_)
    early[ends[:, None] + np.arange(-cut, 0)] = False
    bounds = offsets - cut * np.arange(len(offsets))
    dates, values = ds[early], y[early]
    columns = {
        "series_id": series.column("series_id"),
        "ids": series.column("ids"),
        "frequency": series.column("frequency"),
        "ds": list_column(bounds, timestamps(dates)),
        "y": list_column(bounds, pa.array(values)),
        "future": list_column(horizon * np.arange(len(offsets)), timestamps(ds[last].ravel())),
    }
    for name in extras:
        numbers, own = flat_list(series, f"extra_{name}")  # on the history, then on the dates to forecast
        rows = np.repeat(own[:-1] - starts, ends - starts) + np.arange(len(ds))
        rows = np.delete(rows, ends[:, None] + np.arange(-later, 0))
        columns[f"extra_{name}"] = list_column(offsets - later * np.arange(len(offsets)), pa.array(numbers[rows]))
    columns |= {name: series.column(name) for name in ("note", "fault")}
    shortened = pa.record_batch(columns, schema=series.schema)
    scales, _ = seasonal_naive_scales(values, dates, bounds, series.column("frequency").to_pylist())
    return shortened, kept, y[last], scales
