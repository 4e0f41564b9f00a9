"""How often a series has a value, from its calendar."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.core.compiled import compiled
from pipeline.core.dates.calendars import DAY, WEEK, Calendar, FixedSteps, Months, OpeningHours, Weekdays

YEARLY, MONTHLY, FINER = 0, 1, 2
"""How often a series has a value: once a year or less; some times a year (months, quarters); more often."""


class Pace(NamedTuple):
    """How often a series has a value.

    Attributes:
        kind: YEARLY, MONTHLY or FINER.
        season: number of values in its season; 1 if it has none.
        long_season: number of values in a longer season, such as a week of hours; 0 if there is none.
        level_rows: how many of the last values say by how much the level has changed since a long season ago.
    """

    kind: int
    season: int
    long_season: int
    level_rows: int


MONTHS_A_YEAR, WEEKS_A_YEAR = 12, 52
LEAST_WEEKS_A_YEAR = 13  # values, of a series that counts as weekly
MAX_SEASON = 24 * 60  # values: a season of more is taken for none
LEVEL_WEEKS_OF_WEEKS, LEVEL_WEEKS = 13, 4  # whose median tells the level: of weekly series, and of finer ones


def pace_of(calendar: Calendar, rows: int) -> Pace:
    """Return how often a series with this calendar has a value.

    A season that does not fit into the history twice is left out.
    """
    if isinstance(calendar, Months):
        season = MONTHS_A_YEAR // calendar.step if MONTHS_A_YEAR % calendar.step == 0 else 1
        return _fitting(Pace(YEARLY if calendar.step >= MONTHS_A_YEAR else MONTHLY, season, 0, 0), rows)
    if isinstance(calendar, Weekdays):
        season = calendar.mask.count("1") if calendar.step == 1 else 1
        long = WEEKS_A_YEAR * season if season > 1 else 0
        return _fitting(Pace(FINER, season, long, LEVEL_WEEKS * season), rows)
    if isinstance(calendar, OpeningHours):
        return _fitting(Pace(FINER, calendar.mask.count("1"), 0, 0), rows)
    assert isinstance(calendar, FixedSteps)
    if calendar.step < DAY:
        season = DAY // calendar.step if DAY % calendar.step == 0 else 1
        return _fitting(Pace(FINER, season, 7 * season if season > 1 else 0, LEVEL_WEEKS * 7 * season), rows)
    if calendar.step < WEEK:
        season = WEEK // calendar.step if WEEK % calendar.step == 0 else 1
        return _fitting(Pace(FINER, season, WEEKS_A_YEAR * season if season > 1 else 0, LEVEL_WEEKS * season), rows)
    if calendar.step % WEEK == 0 and WEEKS_A_YEAR % (calendar.step // WEEK) == 0:
        weeks = calendar.step // WEEK
        return Pace(FINER, 1, WEEKS_A_YEAR // weeks, max(LEVEL_WEEKS_OF_WEEKS // weeks, 1))
    return Pace(YEARLY, 1, 0, 0)


@compiled
def is_weekly(pace: Pace) -> bool:
    """Return whether a series has a value every week, or every two or four.

    Without a season, only these have a long one.
    """
    return pace.kind == FINER and pace.season == 1 and pace.long_season >= LEAST_WEEKS_A_YEAR


def _fitting(pace: Pace, rows: int) -> Pace:
    if pace.season > MAX_SEASON or rows < 2 * pace.season:
        return Pace(pace.kind, 1, 0, pace.level_rows)
    return pace
