"""How many periods the season of a frequency has."""

from __future__ import annotations

from pipeline.core.dates.calendars import DAY, HOUR, WEEK, Calendar, Months, OpeningHours, Weekdays


def season_length(calendar: Calendar) -> int:
    """Return the number of periods in the season that a seasonal naive forecast repeats.

    A day for steps within a day, a week for days and opening hours (closed hours counted), a year for weeks, months and
    quarters; 1 if there is no season.
    """
    if isinstance(calendar, OpeningHours):
        return WEEK // calendar.step
    if isinstance(calendar, Weekdays):
        return calendar.mask.count("1") if calendar.step == 1 else 1
    if isinstance(calendar, Months):
        return max(12 // calendar.step, 1)
    if calendar.step < DAY:
        return max(DAY // calendar.step, 1) if calendar.step <= HOUR or DAY % calendar.step == 0 else 1
    if calendar.step < 7 * DAY:
        return max(7 * DAY // calendar.step, 1) if 7 * DAY % calendar.step == 0 else 1
    return max(364 * DAY // calendar.step, 1)
