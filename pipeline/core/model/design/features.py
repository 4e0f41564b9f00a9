"""Dates to features: one table of the dates that occur, whose rows series share."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.dates.calendars import DAY, Dates
from pipeline.core.model.design.structure import HolidayColumn, Seasonality


@compiled
def fourier_features(dates: Ints, periods: Floats, orders: Ints) -> Floats:
    """Return sin(2 pi k t / period) and cos(2 pi k t / period) for k = 1 to the order, t in days since 1970-01-01.

    Those of k > 1 follow from the first by the addition theorem.

    Args:
        dates: microseconds since 1970-01-01, shape (n,).
        periods: in days, shape (m,).
        orders: shape (m,).

    Returns:
        Shape (n, 2 sum(orders)).
    """
    result = np.empty((len(dates), 2 * np.sum(orders)))
    for row in range(len(dates)):
        days = dates[row] / 86_400_000_000.0
        at = 0
        for i in range(len(periods)):
            angle = 2 * np.pi * ((days / periods[i]) % 1.0)
            s1, c1 = np.sin(angle), np.cos(angle)
            s, c = s1, c1
            for _ in range(orders[i]):
                result[row, at], result[row, at + 1] = s, c
                s, c = s * c1 + c * s1, c * c1 - s * s1
                at += 2
    return result


class DateTable(NamedTuple):
    """Dates, and where some others are among them.

    Attributes:
        dates: ascending, microseconds, shape (M,).
        rows: of each of the others, shape (N,).
        step: microseconds between two of a regular calendar; 0 if they are not those of one.
    """

    dates: Dates
    rows: Ints
    step: int


def date_table(dates: Dates) -> DateTable:
    """Return a table that includes all of some dates.

    On a regular calendar these are all its dates from the first to the last, which need no sorting.

    Args:
        dates: of one or several series, one after another, shape (N,).
    """
    low, high = int(dates.min()), int(dates.max())
    rows = np.empty(len(dates), np.int64)
    step = int(_places(dates, low, rows))
    if step and (high - low) // step <= 2 * len(dates) + 1000:
        return DateTable(np.arange(low, high + 1, step), rows, step)
    table, rows = np.unique(dates, return_inverse=True)
    return DateTable(table, rows.astype(np.int64), 0)


@compiled
def _places(dates: Dates, low: int, places: Ints) -> int:
    """Write how many steps of a calendar after `low` each date is; return the step, 0 if there is none."""
    step = 0
    for row in range(1, len(dates)):
        apart = dates[row] - dates[row - 1]
        if apart > 0 and (step == 0 or apart < step):
            step = apart
    if step == 0:
        return 0
    for row in range(len(dates)):
        if row > 0 and dates[row] - dates[row - 1] == step:
            places[row] = places[row - 1] + 1  # dividing takes longer
            continue
        since = dates[row] - low
        places[row] = since // step
        if places[row] * step != since:
            return 0
    return step


def feature_table(table: Dates, seasonalities: tuple[Seasonality, ...], holidays: tuple[HolidayColumn, ...]) -> Floats:
    """Return the features of dates, seasonalities before holidays, shape (len(table), K)."""
    return _feature_table(table.tobytes(), seasonalities, holidays)


@lru_cache(maxsize=8)
def _feature_table(
    encoded: bytes, seasonalities: tuple[Seasonality, ...], holidays: tuple[HolidayColumn, ...]
) -> Floats:
    table = np.frombuffer(encoded, np.int64)
    fourier = fourier_features(
        table,
        np.array([seasonality.period for seasonality in seasonalities], dtype=np.float64),
        np.array([seasonality.fourier_order for seasonality in seasonalities], dtype=np.int64),
    )
    days = table // DAY
    columns = [np.isin(days, np.array(holiday.days, dtype=np.int64)).astype(np.float64) for holiday in holidays]
    return np.ascontiguousarray(np.column_stack([fourier, *columns]))
