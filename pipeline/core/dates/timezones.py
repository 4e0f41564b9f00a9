"""Conversions between a time zone's local time and UTC.

Wall-clock dates are int64 microseconds, as everywhere. When clocks go back, an hour occurs twice: its second
occurrence is marked by one extra microsecond, which makes no difference to a model. The rules are those of the package
tzdata, so that they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.core.dates.calendars import MINUTE, SECOND, Dates

_QUARTER = 15 * MINUTE  # clocks are changed on quarters of an hour
_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = (  # what datetime can turn into another zone
    int((datetime(year, 1, 1) - _EPOCH) / timedelta(microseconds=1)) for year in (2, 9999)
)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all time zones: Europe/Berlin, UTC, ..."""
    return frozenset((files("tzdata") / "zones").read_text().split())


@lru_cache(maxsize=16)
def zone_named(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: if there is none of this name.
    """
    if name not in zone_names():
        raise ValueError(f"unknown time zone {name!r}; use a name such as Europe/Berlin, America/New_York or UTC")
    with files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, name)


def wall_of_utc(dates: Dates, zone: ZoneInfo) -> Dates:
    """Return the wall-clock time of dates in UTC, shape (n,); a repeated hour is a microsecond later."""

    def shift(quarter: datetime) -> int:
        local = quarter.replace(tzinfo=UTC).astimezone(zone)
        return _microseconds(local.utcoffset()) + local.fold

    return dates + _by_quarter(dates, shift)


def utc_of_wall(dates: Dates, zone: ZoneInfo) -> Dates:
    """Return in UTC what `wall_of_utc` turned into the wall clock, shape (n,).

    A time that clocks going forward leave out is that much later.
    """
    first, again = _both_readings(dates, zone)
    utc: Dates = np.where(again == 0, first, first + again - 1)
    return utc


def without_marks(dates: Dates, zone: ZoneInfo) -> Dates:
    """Return wall-clock dates as the clock shows them, shape (n,), without the mark on repeated hours."""
    shown: Dates = dates - (_both_readings(dates, zone)[1] != 0)
    return shown


def second_of_equals(dates: Dates, zone: ZoneInfo) -> Dates:
    """Return sorted wall-clock dates with a mark on the second of two equal ones in a repeated hour.

    Args:
        dates: without marks, ascending, shape (n,).
        zone: whose clock it is.
    """
    marked = dates.copy()
    marked[1:][np.diff(dates) == 0] += 1
    result: Dates = dates + (_both_readings(marked, zone)[1] != 0)
    return result


def offset_minutes(utc: Dates, zone: ZoneInfo) -> Dates:
    """Return the minutes east of UTC at dates in UTC, shape (n,)."""
    return (
        _by_quarter(utc, lambda quarter: _microseconds(quarter.replace(tzinfo=UTC).astimezone(zone).utcoffset()))
        // MINUTE
    )


def _both_readings(dates: Dates, zone: ZoneInfo) -> tuple[Dates, Dates]:
    """Return wall-clock dates in UTC by the first reading, and how much later the second is where marked."""

    def offset(fold: int) -> Callable[[datetime], int]:
        return lambda quarter: _microseconds(quarter.replace(tzinfo=zone, fold=fold).utcoffset())

    first, second = (dates - _by_quarter(dates, offset(fold)) for fold in (0, 1))
    # where clocks go forward, the second reading is the earlier one
    return first, np.where((dates % SECOND == 1) & (second > first), second - first, 0)


def _microseconds(offset: timedelta | None) -> int:
    return 0 if offset is None else round(offset / timedelta(microseconds=1))


def _by_quarter(dates: Dates, of: Callable[[datetime], int]) -> Dates:
    """Return a function's value for the quarter of an hour that contains each date, shape (n,)."""
    quarters, rows = np.unique(np.clip(dates, _FIRST, _LAST) // _QUARTER, return_inverse=True)
    step = timedelta(microseconds=_QUARTER)
    shifts = np.array([of(_EPOCH + quarter * step) for quarter in quarters.tolist()], dtype=np.int64)
    return shifts[rows]
