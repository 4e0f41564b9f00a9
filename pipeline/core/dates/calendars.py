"""Calendars: how the dates of a series go on.

Dates are int64 microseconds since 1970 on the series' own wall clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Dates = npt.NDArray[np.int64]

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
BUSINESS_WEEK = "1111100"
MOST_MICROSECONDS = 1 << 62  # from the first date to forecast to the last: more than 10,000 years
MOST_BUSINESS_DAYS = 1000  # of a step
OPEN = "OPEN"  # after the step of opening hours: h-open
MAX_WEEKLY_SLOTS = 7 * 24 * 60

EXAMPLES = "D (days), B (Monday to Friday), W (weeks), MS or ME (month starts or ends), QS, QE, YS, YE, h, 15min"


@dataclass(frozen=True)
class Calendar:
    """How dates go on.

    Attributes:
        name: pandas' word for it where there is one (D, 15min, W-SUN, MS, QE-DEC, B), else in the same
            spirit: M-15 for the 15th of each month, C-MON-TUE-SAT for a set of weekdays.
        kind: "fixed" (a number of microseconds), "months", "weekdays", or "open" (some slots of each week).
        step: microseconds between dates, or months, or days of a set of weekdays; for "open" the length of a slot.
        anchor: for "fixed" the weekday that weeks fall on, or ""; for "months" start, end, business_start,
            business_end or a day of the month; for "weekdays" a mask of seven 0s and 1s from Monday; for "open" one of
            all slots from Monday 0:00, or "" if the dates are still to say which are open.
        phase: for "months" the month, from 0, that the steps count from; -1 to count from the last date. For "open"
            where in a slot its date is, in microseconds.
    """

    name: str
    kind: str
    step: int
    anchor: str = ""
    phase: int = -1

    def after(self, last: int, count: int) -> Dates:
        """Return the first `count` dates of this calendar after `last`, shape (count,).

        Raises:
            OverflowError: if they lie beyond all dates.
        """
        longest = {"fixed": self.step, "months": 31 * DAY * self.step, "weekdays": 7 * DAY * self.step}
        if longest.get(self.kind, 7 * DAY) * (count + 2) > MOST_MICROSECONDS:
            raise OverflowError(f"{count} steps of {self.name} lie beyond all dates")
        if self.kind == "open":
            open_slots = np.flatnonzero(np.frombuffer(self.anchor.encode(), np.uint8) == ord("1"))
            monday = (int(last) + 3 * DAY) // (7 * DAY) * (7 * DAY) - 3 * DAY
            weeks = np.arange(count // len(open_slots) + 2, dtype=np.int64)[:, None] * (7 * DAY)
            dates: Dates = (monday + self.phase + weeks + open_slots * self.step).ravel()
            return dates[dates > last][:count]
        if self.kind == "fixed":
            first = last + self.step
            if self.anchor:
                first = last + (_days_to_weekday(last, WEEKDAYS.index(self.anchor)) or self.step // DAY) * DAY
            return first + self.step * np.arange(count, dtype=np.int64)
        day, time = divmod(int(last), DAY)
        if self.kind == "weekdays":
            ahead = np.busday_offset(
                np.datetime64(day, "D"), self.step * np.arange(1, count + 1), roll="backward", weekmask=self.anchor
            )
            return ahead.astype(np.int64) * DAY + time
        month = int(np.datetime64(day, "D").astype("datetime64[M]").astype(np.int64))
        if self.phase >= 0:  # of several years it is the last date that says which they are
            month -= (month - self.phase) % min(self.step, 12)
        days = month_days(month + self.step * np.arange(count + 2, dtype=np.int64), self.anchor)
        return days[days > day][:count] * DAY + time


def _days_to_weekday(date: int, weekday: int) -> int:
    return (weekday - int(weekdays_of(np.array([date]))[0])) % 7


def weekdays_of(dates: Dates) -> npt.NDArray[np.int64]:
    """Return the weekday of each date, Monday as 0; 1970-01-01 was a Thursday."""
    result: npt.NDArray[np.int64] = (dates // DAY + 3) % 7
    return result


def month_days(months: Dates, anchor: str) -> Dates:
    """Return the day, counted from 1970, on which `anchor` falls in each month counted from 1970-01."""
    starts = months.astype("datetime64[M]").astype("datetime64[D]")
    next_starts = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    if anchor == "start":
        days = starts
    elif anchor == "end":
        days = next_starts - 1
    elif anchor == "business_start":
        days = np.busday_offset(starts, 0, roll="forward")
    elif anchor == "business_end":
        days = np.busday_offset(next_starts, -1, roll="forward")
    else:
        days = np.minimum(starts + (int(anchor) - 1), next_starts - 1)
    result: Dates = days.astype(np.int64)
    return result


# ---------------------------------------------------------------------------------------------- names

_FIXED_UNITS = {
    "us": 1, "ms": SECOND // 1000, "s": SECOND, "sec": SECOND, "min": MINUTE, "t": MINUTE, "h": HOUR, "d": DAY,
    "w": 7 * DAY,
}  # fmt: skip
_MONTH_UNITS = {
    "ms": (1, "start"), "me": (1, "end"), "m": (1, "end"), "bms": (1, "business_start"),
    "bme": (1, "business_end"), "bm": (1, "business_end"), "qs": (3, "start"), "qe": (3, "end"),
    "q": (3, "end"), "bqs": (3, "business_start"), "bqe": (3, "business_end"), "ys": (12, "start"),
    "as": (12, "start"), "ye": (12, "end"), "y": (12, "end"), "a": (12, "end"),
    "bys": (12, "business_start"), "bye": (12, "business_end"),
}  # fmt: skip
_ANCHOR_LETTERS = {"start": "S", "end": "E", "business_start": "S", "business_end": "E"}


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
    if unit == "b" and times <= MOST_BUSINESS_DAYS and not anchor:
        return weekday_calendar(BUSINESS_WEEK, times)
    if unit == "c" and times == 1 and anchor and set(anchor.split("-")) <= set(WEEKDAYS):
        return weekday_calendar("".join("01"[day in anchor.split("-")] for day in WEEKDAYS))
    if anchor == OPEN and unit in _FIXED_UNITS and times * _FIXED_UNITS[unit] < DAY and (unit != "ms" or milliseconds):
        step = times * _FIXED_UNITS[unit]
        if 7 * DAY % step or 7 * DAY // step > MAX_WEEKLY_SLOTS:
            raise unknown
        return Calendar(f"{fixed_calendar(step).name}-open", "open", step)
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
    (7 * DAY, "W"), (DAY, "D"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"), (SECOND // 1000, "ms"), (1, "us"),
)  # fmt: skip


def fixed_calendar(step: int, weekday: str = "") -> Calendar:
    """Return the calendar of a fixed step in microseconds; `weekday` (MON, ...) anchors whole weeks."""
    for unit, letters in _UNIT_NAMES:
        if step % unit == 0:
            times = step // unit
            name = f"{times if times > 1 else ''}{letters}" + (f"-{weekday}" if weekday else "")
            return Calendar(name, "fixed", step, weekday)
    raise AssertionError("unreachable: every step is a whole number of microseconds")


def month_calendar(step: int, anchor: str, phase: int = -1) -> Calendar:
    """Return the calendar of a step in months; `phase` is a month from 0 that the steps count from."""
    if anchor.isdigit():
        return Calendar(f"{step if step > 1 else ''}M-{anchor}", "months", step, anchor, phase)
    unit, times = ("Y", step // 12) if step % 12 == 0 else ("Q", 1) if step == 3 else ("M", step)
    name = f"{times if times > 1 else ''}{'B' if 'business' in anchor else ''}{unit}{_ANCHOR_LETTERS[anchor]}"
    if phase >= 0:
        name += f"-{MONTHS[phase]}"
        phase %= min(step, 12)
    return Calendar(name, "months", step, anchor, phase)


def weekday_calendar(mask: str, step: int = 1) -> Calendar:
    """Return the calendar of the weekdays that `mask` (seven 0s and 1s from Monday) has, or of each n-th of them."""
    if mask == BUSINESS_WEEK:
        return Calendar(f"{step if step > 1 else ''}B", "weekdays", step, mask)
    days = "-".join(day for day, open_ in zip(WEEKDAYS, mask, strict=True) if open_ == "1")
    return Calendar(f"C-{days}", "weekdays", 1, mask)


def describe_step(step: int) -> str:
    """Return a number of microseconds in words."""
    units: tuple[tuple[int, str], ...] = (
        (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"), (1, "microsecond"),
    )  # fmt: skip
    size, word = next((size, word) for size, word in units if step % size == 0)
    return f"{step // size} {word}{'s' if step > size else ''}"


def format_date(date: int) -> str:
    """Return a date for a message: without a time if that is midnight."""
    text = str(np.datetime64(date, "us").astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(" 00:00:00")


def slots_of(calendar: Calendar, dates: Dates) -> Dates:
    """Return the number of each date's slot in its calendar, shape (n,); neighbouring slots differ by one."""
    days = dates // DAY
    if calendar.kind == "months":
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        return np.asarray((months - months[0]) // calendar.step, dtype=np.int64)
    if calendar.kind == "weekdays":
        slots = np.busday_count(np.datetime64("1970-01-01"), days.astype("datetime64[D]"), weekmask=calendar.anchor)
        return np.asarray((slots - slots[0]) // calendar.step, dtype=np.int64)
    return np.asarray((dates - dates[0]) // calendar.step, dtype=np.int64)


def lies_on(calendar: Calendar, dates: Dates) -> npt.NDArray[np.bool_]:
    """Return which dates lie on a calendar, shape (n,). A step in microseconds counts from the last date."""
    days = dates // DAY
    if calendar.kind == "weekdays":
        return np.asarray(np.is_busday(days.astype("datetime64[D]"), weekmask=calendar.anchor))
    if calendar.kind == "months":
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        on = month_days(months, calendar.anchor) == days
        return np.asarray(on & ((calendar.phase < 0) | ((months - calendar.phase) % min(calendar.step, 12) == 0)))
    if calendar.kind == "open":
        slots = (dates + 3 * DAY) % (7 * DAY) // calendar.step
        return np.asarray(np.frombuffer(calendar.anchor.encode(), np.uint8)[slots] == ord("1"))
    if calendar.anchor:
        return np.asarray(weekdays_of(dates) == WEEKDAYS.index(calendar.anchor))
    return np.ones(len(dates), dtype=np.bool_)
