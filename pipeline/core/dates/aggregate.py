"""Adds up rows by period, and fills dates without a row with zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import (
    DAY,
    HOUR,
    WEEK,
    WEEKDAYS,
    Calendar,
    Dates,
    FixedSteps,
    Months,
    Weeks,
    format_date,
    months_of,
    weekdays_of,
)
from pipeline.core.dates.frequencies import parse_frequency

Periods = tuple[Dates, Dates]

PERIODS = (
    "h (or 15min, 6h, ...), D, W-MON (or another weekday), MS, QS or YS: periods are named by the date they begin on"
)


def period_calendar(frequency: str) -> Calendar:
    """Return the calendar of periods to add rows up by: hours, days, weeks, months, quarters or years.

    Raises:
        ValueError: if it is not a frequency, or its dates are not the first of their periods.
    """
    calendar = parse_frequency("W-MON" if frequency.upper() == "W" else frequency)
    within_day = type(calendar) is FixedSteps and DAY % calendar.step == 0
    week = isinstance(calendar, Weeks) and calendar.step == WEEK
    months = isinstance(calendar, Months) and calendar.day == "start" and 12 % calendar.step == 0
    if not (within_day or week or months):
        raise ValueError(f"must be {PERIODS}")
    return calendar


def period_starts(dates: Dates, calendar: Calendar) -> tuple[Dates, Dates]:
    """Return where the period of each date begins and where it ends, both of shape (n,)."""
    if type(calendar) is FixedSteps:
        starts = dates - dates % calendar.step
        return starts, starts + calendar.step
    if isinstance(calendar, Weeks):
        starts = (dates // DAY - (weekdays_of(dates) - WEEKDAYS.index(calendar.weekday)) % 7) * DAY
        return starts, starts + WEEK
    assert isinstance(calendar, Months)
    months = months_of(dates)
    first = months - (months - max(calendar.phase, 0)) % calendar.step
    return _midnight_of(first), _midnight_of(first + calendar.step)


def period_starts_on_wall(utc: Dates, wall: Dates, calendar: Calendar, to_utc: Callable[[Dates], Dates]) -> Periods:
    """Return, in UTC, where periods within a day that are counted on the wall clock begin and end.

    Args:
        utc: dates, shape (n,).
        wall: the same on the wall clock, shape (n,).
        calendar: of period_calendar, with a step of less than a day.
        to_utc: turns dates of the wall clock into UTC.
    """
    # an hour that occurs twice is two periods
    starts = utc - wall % calendar.step if calendar.step <= HOUR else to_utc(wall - wall % calendar.step)
    return starts, starts + calendar.step


def _midnight_of(months: Dates) -> Dates:
    return months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)


@dataclass(frozen=True)
class Aggregated:
    """A series by period.

    Attributes:
        dates: where periods begin, shape (n,).
        values: sum of the values, NaN if one is missing, or mean of those that are there; NaN for a period that is not
            whole; shape (n,).
        extras: means of the extra columns, shape (n, k).
        notes: which periods were left out, since they are not whole, or have no sum.
    """

    dates: Dates
    values: Floats
    extras: Floats
    notes: tuple[str, ...]


def aggregated(
    dates: Dates, values: Floats, extras: Floats, calendar: Calendar, how: str, periods_of: Periods | None = None
) -> Aggregated:
    """Add up the rows of a series by period; every row counts, even identical ones.

    The first and the last period are left out if their rows are fewer than usual and begin later, or end earlier, than
    those of every other period: such a period is not whole.

    Args:
        dates: ascending, shape (n,).
        values: NaN where missing, shape (n,).
        extras: shape (n, k).
        calendar: of period_calendar.
        how: sum or mean.
        periods_of: where the period of each date begins and ends, if the clock on the wall says so.
    """
    starts, ends = periods_of or period_starts(dates, calendar)
    first = np.flatnonzero(np.concatenate([[True], np.diff(starts) > 0]))
    present = np.isfinite(values)
    counts = np.add.reduceat(present.astype(np.int64), first)
    totals = np.add.reduceat(np.where(present, values, 0.0), first)
    rows = np.diff(np.concatenate([first, [len(dates)]]))
    if how == "mean":
        periods = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
    else:  # an unknown value is not zero
        periods = np.where(counts == rows, totals, np.nan)
    means = np.column_stack([np.add.reduceat(column, first) / rows for column in extras.T]) if extras.size else None
    notes = []
    unknown = int(((counts > 0) & (counts < rows)).sum()) if how == "sum" else 0
    if unknown:
        notes.append(f"{unknown:,} period{'s have' if unknown > 1 else ' has'} rows without a value, and thus no sum")
    filled = np.flatnonzero(counts > 0)
    if len(filled) > 1:
        early = np.minimum.reduceat(np.where(present, dates - starts, np.iinfo(np.int64).max), first)[filled]
        late = np.minimum.reduceat(np.where(present, ends - dates, np.iinfo(np.int64).max), first)[filled]
        for name, at, gaps, row in (
            ("first", 0, early, np.flatnonzero(present)[0]), ("last", -1, late, np.flatnonzero(present)[-1])
        ):  # fmt: skip
            others = slice(1, -1) if len(filled) > 2 else slice(1, None) if at == 0 else slice(0, 1)
            fewer = counts[filled][at] < np.median(counts[filled][others])
            if fewer and gaps[at] > gaps[others].max():
                periods[filled[at]] = np.nan
                verb = "begins" if name == "first" else "ends"
                notes.append(
                    f"the {name} period, {format_date(int(starts[first[filled[at]]]))}, is incomplete and was left "
                    f"out: it {verb} with {format_date(int(dates[row]))}"
                )
    wide = np.empty((len(first), extras.shape[1])) if means is None else means
    return Aggregated(starts[first], periods, wide, tuple(notes))


def zero_filled(
    dates: Dates, values: Floats, extras: Floats, calendar: Calendar, last: int, most: int
) -> tuple[Dates, Floats, Floats] | None:
    """Return a series with 0 on the dates of its calendar that have no row, up to its last value.

    Args:
        dates: ascending, shape (n,).
        values: NaN where missing, which they stay; shape (n,).
        extras: NaN on dates that are filled in; shape (n, k).
        calendar: of the series.
        last: date of the last value.
        most: dates that a series may have; None comes back if there would be more.
    """
    slots = calendar.slots(np.array([dates[0], last]))
    count = int(slots[1] - slots[0])
    if count > most:
        return None
    due = calendar.after(int(dates[0]), count) if count else dates[:0]
    absent = np.setdiff1d(due[due < last], dates)
    order = np.argsort(np.concatenate([dates, absent]), kind="stable")
    nothing = np.full((len(absent), extras.shape[1]), np.nan)
    return (
        np.concatenate([dates, absent])[order],
        np.concatenate([values, np.zeros(len(absent))])[order],
        np.concatenate([extras, nothing])[order],
    )
