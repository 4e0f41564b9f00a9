"""Calendars: how the dates of a series continue.

Dates are int64 microseconds since 1970 on the series' own wall clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Dates = npt.NDArray[np.int64]

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
WEEK = 7 * DAY
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MAX_SPAN_MICROSECONDS = 1 << 62  # from the first date to forecast to the last: more than 10,000 years


@dataclass(frozen=True)
class Calendar(ABC):
    """How dates continue.

    Attributes:
        name: pandas' name for it if there is one (D, 15min, W-SUN, MS, QE-DEC, B), otherwise a similar one: M-15
            for the 15th of each month, C-MON-TUE-SAT for a set of weekdays, h-open for opening hours.
        step: from one date to the next, in the unit of the class.
    """

    name: str
    step: int

    def after(self, last: int, count: int) -> Dates:
        """Return the first `count` dates of this calendar after `last`, shape (count,).

        Raises:
            OverflowError: if they are beyond all dates.
        """
        if self._longest_step() * (count + 2) > MAX_SPAN_MICROSECONDS:
            raise OverflowError(f"{count} steps of {self.name} are beyond all dates")
        return self._after(last, count)

    @abstractmethod
    def _longest_step(self) -> int:
        """Return the most microseconds from one date to the next."""

    @abstractmethod
    def _after(self, last: int, count: int) -> Dates:
        """Return the first `count` dates after `last`, which are known to exist."""

    @abstractmethod
    def slots(self, dates: Dates) -> Dates:
        """Return the number of each date's slot, shape (n,); neighbouring slots differ by one."""

    @abstractmethod
    def holds(self, dates: Dates) -> npt.NDArray[np.bool_]:
        """Return which dates are on this calendar, shape (n,). A step in microseconds counts from the last date."""


BEYOND_ALL = 1 << 62  # microseconds; a stated step may be longer


@dataclass(frozen=True)
class FixedSteps(Calendar):
    """Dates a fixed number of microseconds apart: hours, days, or weeks from any date."""

    def _longest_step(self) -> int:
        return self.step

    def _after(self, last: int, count: int) -> Dates:
        return last + self.step + self.step * np.arange(count, dtype=np.int64)

    def slots(self, dates: Dates) -> Dates:
        """Return the number of each date's slot; see Calendar."""
        return np.asarray((dates - dates[0]) // min(self.step, BEYOND_ALL), dtype=np.int64)

    def holds(self, dates: Dates) -> npt.NDArray[np.bool_]:
        """Return which dates are on this calendar; see Calendar."""
        return np.ones(len(dates), dtype=np.bool_)


@dataclass(frozen=True)
class Weeks(FixedSteps):
    """Weeks on a weekday, with the step in microseconds.

    Attributes:
        weekday: one of WEEKDAYS.
    """

    weekday: str

    def _after(self, last: int, count: int) -> Dates:
        first = last + (_days_to_weekday(last, WEEKDAYS.index(self.weekday)) or self.step // DAY) * DAY
        return first + self.step * np.arange(count, dtype=np.int64)

    def holds(self, dates: Dates) -> npt.NDArray[np.bool_]:
        """Return which dates are on this calendar; see Calendar."""
        return np.asarray(weekdays_of(dates) == WEEKDAYS.index(self.weekday))


@dataclass(frozen=True)
class Months(Calendar):
    """A day in every n-th month: months, quarters, years.

    Attributes:
        day: start, end, business_start, business_end, or a day of the month.
        phase: the month, from 0, that the steps count from; -1 to count from the last date.
    """

    day: str
    phase: int = -1

    def _longest_step(self) -> int:
        return 31 * DAY * self.step

    def _after(self, last: int, count: int) -> Dates:
        day, time = divmod(int(last), DAY)
        month = int(np.datetime64(day, "D").astype("datetime64[M]").astype(np.int64))
        if self.phase >= 0:  # for steps of several years, the last date says which years
            month -= (month - self.phase) % min(self.step, 12)
        days = month_days(month + self.step * np.arange(count + 2, dtype=np.int64), self.day)
        return days[days > day][:count] * DAY + time

    def slots(self, dates: Dates) -> Dates:
        """Return the number of each date's slot; see Calendar."""
        months = months_of(dates)
        return np.asarray((months - months[0]) // self.step, dtype=np.int64)

    def holds(self, dates: Dates) -> npt.NDArray[np.bool_]:
        """Return which dates are on this calendar; see Calendar."""
        months = months_of(dates)
        on = month_days(months, self.day) == dates // DAY
        return np.asarray(on & ((self.phase < 0) | ((months - self.phase) % min(self.step, 12) == 0)))


@dataclass(frozen=True)
class Weekdays(Calendar):
    """Some weekdays, or every n-th of them.

    Attributes:
        mask: seven 0s and 1s from Monday.
    """

    mask: str

    def _longest_step(self) -> int:
        return WEEK * self.step

    def _after(self, last: int, count: int) -> Dates:
        day, time = divmod(int(last), DAY)
        ahead = np.busday_offset(
            np.datetime64(day, "D"), self.step * np.arange(1, count + 1), roll="backward", weekmask=self.mask
        )
        return ahead.astype(np.int64) * DAY + time

    def slots(self, dates: Dates) -> Dates:
        """Return the number of each date's slot; see Calendar."""
        days = (dates // DAY).astype("datetime64[D]")
        # numpy counts days before the begin without the first, those after it without the last: begin before all
        slots = np.busday_count(days.min(), days, weekmask=self.mask)
        return np.asarray((slots - slots[0]) // self.step, dtype=np.int64)

    def holds(self, dates: Dates) -> npt.NDArray[np.bool_]:
        """Return which dates are on this calendar; see Calendar."""
        return np.asarray(np.is_busday((dates // DAY).astype("datetime64[D]"), weekmask=self.mask))


@dataclass(frozen=True)
class OpeningHours(Calendar):
    """Some slots of each week, with their length in microseconds.

    Attributes:
        mask: 0s and 1s for all slots from Monday 0:00; "" until the open ones are inferred from the dates.
        phase: offset of the date within its slot, in microseconds.
    """

    mask: str = ""
    phase: int = 0

    def _longest_step(self) -> int:
        return WEEK

    def _after(self, last: int, count: int) -> Dates:
        open_slots = np.flatnonzero(self.open_slots())
        monday = (int(last) + 3 * DAY) // WEEK * WEEK - 3 * DAY
        weeks = np.arange(count // len(open_slots) + 2, dtype=np.int64)[:, None] * WEEK
        dates: Dates = (monday + self.phase + weeks + open_slots * self.step).ravel()
        return dates[dates > last][:count]

    def slots(self, dates: Dates) -> Dates:
        """Return the number of each date's slot; see Calendar."""
        return np.asarray((dates - dates[0]) // self.step, dtype=np.int64)

    def holds(self, dates: Dates) -> npt.NDArray[np.bool_]:
        """Return which dates are on this calendar; see Calendar."""
        return self.open_slots()[(dates + 3 * DAY) % WEEK // self.step]

    def open_slots(self) -> npt.NDArray[np.bool_]:
        """Return whether each slot of a week, from Monday 0:00, is open."""
        return np.asarray(np.frombuffer(self.mask.encode(), np.uint8) == ord("1"))


def _days_to_weekday(date: int, weekday: int) -> int:
    return (weekday - int(weekdays_of(np.array([date]))[0])) % 7


def weekdays_of(dates: Dates) -> npt.NDArray[np.int64]:
    """Return the weekday of each date, Monday as 0; 1970-01-01 was a Thursday."""
    result: npt.NDArray[np.int64] = (dates // DAY + 3) % 7
    return result


def months_of(dates: Dates) -> npt.NDArray[np.int64]:
    """Return the month of each date, counted from 1970-01."""
    result: npt.NDArray[np.int64] = (dates // DAY).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return result


def month_days(months: Dates, day: str) -> Dates:
    """Return the day, counted from 1970, on which a day (see Months) falls in each month counted from 1970-01."""
    starts = months.astype("datetime64[M]").astype("datetime64[D]")
    next_starts = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    if day == "start":
        days = starts
    elif day == "end":
        days = next_starts - 1
    elif day == "business_start":
        days = np.busday_offset(starts, 0, roll="forward")
    elif day == "business_end":
        days = np.busday_offset(next_starts, -1, roll="forward")
    else:
        days = np.minimum(starts + (int(day) - 1), next_starts - 1)
    result: Dates = days.astype(np.int64)
    return result


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
