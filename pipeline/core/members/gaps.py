"""A history on all dates of its calendar, its gaps filled."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import WEEK, Calendar, Dates, OpeningHours

MAX_STRETCH = 20  # times as many dates as values: beyond it gaps are left out instead of filled


def on_calendar(calendar: Calendar, dates: Dates, y: Floats) -> Floats:
    """Return the values on each date of a calendar from the first to the last, NaN in gaps.

    Args:
        calendar: of the series.
        dates: ascending, shape (n,).
        y: shape (n,).
    """
    slots = _open_slots(calendar, dates) if isinstance(calendar, OpeningHours) else calendar.slots(dates)
    if (np.diff(slots) < 1).any() or slots[-1] > MAX_STRETCH * len(y):
        return y
    values = np.full(int(slots[-1]) + 1, np.nan)
    values[slots] = y
    return values


def _open_slots(calendar: OpeningHours, dates: Dates) -> Dates:
    """Return the number of each date's slot among those that are open."""
    is_open = calendar.open_slots()
    before = np.concatenate([[0], np.cumsum(is_open)])
    weeks, within = np.divmod(dates + 3 * (WEEK // 7), WEEK)
    slots = weeks * before[-1] + before[within // calendar.step]
    return np.asarray(slots - slots[0], dtype=np.int64)


def filled(values: Floats, season: int) -> Floats:
    """Return values with gaps filled: by the mean of the same position a season before and after, else in a line."""
    gaps = np.flatnonzero(np.isnan(values))
    if not len(gaps):
        return values
    result = values.copy()
    if season > 1:
        for at in gaps.tolist():
            around = [values[i] for i in (at - season, at + season) if 0 <= i < len(values) and np.isfinite(values[i])]
            if around:
                result[at] = sum(around) / len(around)
    left = np.isnan(result)
    result[left] = np.interp(np.flatnonzero(left), np.flatnonzero(~left), result[~left])
    return result
