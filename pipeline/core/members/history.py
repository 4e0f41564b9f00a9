"""What the members of one series are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import Calendar, Dates, OpeningHours
from pipeline.core.dates.infer_frequency import open_calendar
from pipeline.core.dates.seasons import season_length
from pipeline.core.members.gaps import filled, on_calendar
from pipeline.core.members.pace import Pace, pace_of


@dataclass(frozen=True)
class History:
    """The values of one series.

    Attributes:
        y: values, gaps filled, shape (n,).
        known: values, NaN in gaps, shape (n,).
        pace: how often it has a value.
        dates: microseconds, of these values and of the horizon after them, shape (n + h,).
        scale_season: number of values in the season of the naive forecast by whose error others are scaled.
    """

    y: Floats
    known: Floats
    pace: Pace
    dates: Dates
    scale_season: int

    @classmethod
    def of(cls, calendar: Calendar, dates: Dates, y: Floats, future: Dates) -> History:
        """Return a history on all dates of its calendar.

        Args:
            calendar: of the series.
            dates: of the values, ascending, shape (n,).
            y: values, shape (n,).
            future: dates to forecast, shape (h,).
        """
        if isinstance(calendar, OpeningHours):
            calendar = open_calendar(calendar, dates)
        known = on_calendar(calendar, dates, y)
        if len(known) > len(dates):
            dates = np.concatenate([dates[:1], calendar.after(int(dates[0]), len(known) - 1)])
        pace = pace_of(calendar, len(known))
        is_open = calendar.open_slots() if isinstance(calendar, OpeningHours) else None
        season = season_length(calendar) if is_open is None else int(is_open.sum())  # a week of those that are open
        return cls(filled(known, pace.season), known, pace, np.concatenate([dates, future]), season)
