"""Names of frequencies, which are pandas aliases, and their calendars."""

from __future__ import annotations

import re

from pipeline.core.dates.calendars import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    WEEK,
    WEEKDAYS,
    Calendar,
    FixedSteps,
    Months,
    OpeningHours,
    Weekdays,
    Weeks,
)

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
BUSINESS_WEEK = "1111100"
MAX_STEP_BUSINESS_DAYS = 1000
OPEN = "OPEN"  # after the step of opening hours: h-open
MAX_WEEKLY_SLOTS = 7 * 24 * 60

EXAMPLES = "D (days), B (Monday to Friday), W (weeks), MS or ME (month starts or ends), QS, QE, YS, YE, h, 15min"

_FIXED_UNITS = {
    "us": 1, "ms": SECOND // 1000, "s": SECOND, "sec": SECOND, "min": MINUTE, "t": MINUTE, "h": HOUR, "d": DAY,
    "w": WEEK,
}  # fmt: skip
_MONTH_UNITS = {
    "ms": (1, "start"), "me": (1, "end"), "m": (1, "end"), "bms": (1, "business_start"),
    "bme": (1, "business_end"), "bm": (1, "business_end"), "qs": (3, "start"), "qe": (3, "end"),
    "q": (3, "end"), "bqs": (3, "business_start"), "bqe": (3, "business_end"), "ys": (12, "start"),
    "as": (12, "start"), "ye": (12, "end"), "y": (12, "end"), "a": (12, "end"),
    "bys": (12, "business_start"), "bye": (12, "business_end"),
}  # fmt: skip
_DAY_LETTERS = {"start": "S", "end": "E", "business_start": "S", "business_end": "E"}


def parse_frequency(text: str) -> Calendar:
    """Return the calendar that a frequency names.

    `W` without a weekday, and `QS`, `QE`, `YS`, `YE` without a month, take it from the series' last date.

    Raises:
        ValueError: if there is no such frequency.
    """
    match = re.fullmatch(r"(\d{0,15})([A-Za-z]+)(?:-([A-Za-z0-9-]+))?", text.strip())
    unknown = ValueError(f"{text!r} is not a frequency; examples: {EXAMPLES}")
    if match is None:
        raise unknown
    times, unit, anchor = int(match[1] or 1), match[2].lower(), (match[3] or "").upper()
    if times < 1 or match[2] == "m":  # minutes or months? pandas itself changed its mind
        raise unknown
    milliseconds = match[2] == "ms"  # MS are month starts
    if unit == "b" and times <= MAX_STEP_BUSINESS_DAYS and not anchor:
        return weekday_calendar(BUSINESS_WEEK, times)
    if unit == "c" and times == 1 and anchor and set(anchor.split("-")) <= set(WEEKDAYS):
        return weekday_calendar("".join("01"[day in anchor.split("-")] for day in WEEKDAYS))
    if anchor == OPEN and unit in _FIXED_UNITS and times * _FIXED_UNITS[unit] < DAY and (unit != "ms" or milliseconds):
        step = times * _FIXED_UNITS[unit]
        if WEEK % step or WEEK // step > MAX_WEEKLY_SLOTS:
            raise unknown
        return OpeningHours(f"{fixed_calendar(step).name}-open", step)
    if unit == "m" and anchor.isdigit() and 1 <= int(anchor) <= 31:
        return month_calendar(times, str(int(anchor)))
    if unit in _FIXED_UNITS and (unit != "ms" or milliseconds) and (not anchor or (unit == "w" and anchor in WEEKDAYS)):
        return fixed_calendar(times * _FIXED_UNITS[unit], anchor)
    if unit in _MONTH_UNITS and (not anchor or anchor in MONTHS):
        months, where = _MONTH_UNITS[unit]
        if not anchor or (months * times) % 12 == 0 or months * times == 3:
            return month_calendar(months * times, where, MONTHS.index(anchor) if anchor else -1)
    raise unknown


_UNIT_NAMES = (
    (WEEK, "W"), (DAY, "D"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"), (SECOND // 1000, "ms"), (1, "us"),
)  # fmt: skip


def fixed_calendar(step: int, weekday: str = "") -> Calendar:
    """Return the calendar of a fixed step in microseconds; whole weeks may fall on a `weekday` (MON, ...)."""
    for unit, letters in _UNIT_NAMES:
        if step % unit == 0:
            times = step // unit
            name = f"{times if times > 1 else ''}{letters}" + (f"-{weekday}" if weekday else "")
            return Weeks(name, step, weekday) if weekday else FixedSteps(name, step)
    raise AssertionError("unreachable: every step is a whole number of microseconds")


def month_calendar(step: int, day: str, phase: int = -1) -> Calendar:
    """Return the calendar of a step in months; see Months for `day` and `phase`."""
    if day.isdigit():
        return Months(f"{step if step > 1 else ''}M-{day}", step, day, phase)
    unit, times = ("Y", step // 12) if step % 12 == 0 else ("Q", 1) if step == 3 else ("M", step)
    name = f"{times if times > 1 else ''}{'B' if 'business' in day else ''}{unit}{_DAY_LETTERS[day]}"
    if phase >= 0:
        name += f"-{MONTHS[phase]}"
        phase %= min(step, 12)
    return Months(name, step, day, phase)


def weekday_calendar(mask: str, step: int = 1) -> Calendar:
    """Return the calendar of the weekdays that `mask` (seven 0s and 1s from Monday) has, or of each n-th of them."""
    if mask == BUSINESS_WEEK:
        return Weekdays(f"{step if step > 1 else ''}B", step, mask)
    days = "-".join(day for day, open_ in zip(WEEKDAYS, mask, strict=True) if open_ == "1")
    return Weekdays(f"C-{days}", 1, mask)
