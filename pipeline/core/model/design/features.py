"""Dates to features: one table of the dates that occur, whose rows series share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

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


def date_table(dates: Sequence[Dates]) -> tuple[Dates, list[Ints]]:
    """Return dates that include all of the given ones, and the rows of these.

    On a regular calendar these are all its dates from the first to the last, which need no sorting.
    """
    flat = np.concatenate(dates)
    low, high = int(flat.min()), int(flat.max())
    steps = np.diff(dates[0][:50])
    step = int(np.abs(steps[steps != 0]).min()) if steps.any() else 0
    since = flat - low
    if step and (high - low) // step <= 2 * len(flat) + 1000 and not (since % step).any():
        table, rows = np.arange(low, high + 1, step), since // step
    else:
        table, rows = np.unique(flat, return_inverse=True)
    return table, np.split(rows.astype(np.int64), np.cumsum([len(part) for part in dates])[:-1])


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
