"""Calendars: how the dates of a series go on.

A calendar is inferred from dates alone, survives gaps, and is refused where it is unclear: a wrong
inference is worse than a question. Dates are int64 microseconds since 1970 in the series' own wall clock.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Dates = npt.NDArray[np.int64]

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
BUSINESS_WEEK = "1111100"
MOST_MICROSECONDS = 1 << 62  # from the first date to forecast to the last: more than 10,000 years
MOST_BUSINESS_DAYS = 1000  # of a step

# A calendar is believed if at least this share of its slots between first and last date is filled.
LEAST_DENSITY = 0.2
# A weekday is an exception, not part of the calendar, if so few dates would fall on it with less than this probability,
# and it is filled so much less than the others: holidays take one Monday in ten, and in some countries one in five.
CHANCE_OF_RARE = 0.001
SHARE_OF_RARE = 0.25
# A frequency is offered if at least this share of the dates lies on it.
MOST = 0.9
# An unseen weekday is believed to be closed if it would be missing by chance with less than this probability.
CHANCE_OF_CLOSED = 1e-5

EXAMPLES = "D (days), B (Monday to Friday), W (weeks), MS or ME (month starts or ends), QS, QE, YS, YE, h, 15min"


class FrequencyUnclearError(Exception):
    """The dates do not say how they go on; the message says why, `options` what would settle it."""

    def __init__(self, reason: str, options: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.options = options


@dataclass(frozen=True)
class Calendar:
    """How dates go on.

    Attributes:
        name: pandas' word for it where there is one (D, 15min, W-SUN, MS, QE-DEC, B), else in the same
            spirit: M-15 for the 15th of each month, C-MON-TUE-SAT for a set of weekdays.
        kind: "fixed" (a number of microseconds), "months", or "weekdays".
        step: microseconds between dates, or months, or days of a set of weekdays.
        anchor: for "fixed" the weekday that weeks fall on, or ""; for "months" start, end, business_start,
            business_end or a day of the month; for "weekdays" a mask of seven 0s and 1s from Monday.
        phase: for "months" the month, from 0, that the steps count from; -1 to count from the last date.
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
        longest = {"fixed": 1, "months": 31 * DAY, "weekdays": 7 * DAY}[self.kind]
        if self.step * longest * (count + 2) > MOST_MICROSECONDS:
            raise OverflowError(f"{count} steps of {self.name} lie beyond all dates")
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
        days = _month_days(month + self.step * np.arange(count + 2, dtype=np.int64), self.anchor)
        return days[days > day][:count] * DAY + time


def _days_to_weekday(date: int, weekday: int) -> int:
    return (weekday - int(weekdays_of(np.array([date]))[0])) % 7


def weekdays_of(dates: Dates) -> npt.NDArray[np.int64]:
    """Return the weekday of each date, Monday as 0; 1970-01-01 was a Thursday."""
    result: npt.NDArray[np.int64] = (dates // DAY + 3) % 7
    return result


def _month_days(months: Dates, anchor: str) -> Dates:
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


# ------------------------------------------------------------------------------------------ inference


def infer_calendar(dates: Dates, days_written: bool = True) -> Calendar:
    """Return the calendar of sorted, distinct dates.

    Of the calendars that every date lies on, the one with the fewest empty slots wins; it is believed
    only if it is well filled and nothing contradicts it.

    Args:
        dates: microseconds, shape (n,).
        days_written: whether the day of the month stands in the dates; 2024-05 can only mean months.

    Raises:
        FrequencyUnclearError: if they do not say how they go on.
    """
    if len(dates) < 3:
        raise FrequencyUnclearError(f"{len(dates)} dates are too few to tell the frequency from")
    steps = np.diff(dates)
    base = int(np.gcd.reduce(steps))
    if base % DAY:
        return _infer_within_days(dates, steps, base)
    return _infer_months(dates, days_written) or _infer_days(dates, steps, base)


def _infer_within_days(dates: Dates, steps: Dates, base: int) -> Calendar:
    _require_even_steps(dates, steps, base)
    per_day, uneven = divmod(DAY, base)
    days = (dates[-1] - dates[0]) / DAY
    if uneven == 0 and days >= 3:
        slots_seen = len(np.unique(dates % DAY))
        filled = len(dates) / (days * per_day + 1)
        expected = per_day * (1 - (1 - filled) ** days)
        if slots_seen < 0.9 * expected:
            step = fixed_calendar(base).name
            raise FrequencyUnclearError(
                f"the dates are {step} apart but never fall between certain hours; {step} would also "
                "forecast those hours",
                (step,),
            )
    if days >= 14 and len(np.unique(weekdays_of(dates))) < 7:
        step = fixed_calendar(base).name
        raise FrequencyUnclearError(
            f"the dates are {step} apart but never fall on certain weekdays; {step} would also forecast those days",
            (step,),
        )
    return fixed_calendar(base)


_BUSINESS = ("business_start", "business_end")


def _infer_months(dates: Dates, days_written: bool) -> Calendar | None:
    """Return the calendar of months that all dates lie on, or None."""
    days = dates // DAY
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    steps = np.diff(months)
    if steps.min() < 1:
        return None
    step = int(np.gcd.reduce(steps))
    if len(dates) / ((months[-1] - months[0]) / step + 1) < LEAST_DENSITY or not _is_common(steps, step):
        return None
    day_of_month = days - _month_days(months, "start") + 1
    fits = {anchor: np.array_equal(_month_days(months, anchor), days) for anchor in ("start", "end", *_BUSINESS)}
    for plain, business in (("start", "business_start"), ("end", "business_end")):
        if step == 1 and days_written and fits[plain] and fits[business]:
            names = tuple(month_calendar(1, anchor).name for anchor in (plain, business))
            raise FrequencyUnclearError(f"the {plain} of each month and its business {plain} both fit", names)
    anchors = ("start", "end", str(int(day_of_month.max())), *_BUSINESS)
    for anchor in anchors:
        if np.array_equal(_month_days(months, anchor), days):
            phase = -1 if anchor.isdigit() or step not in (3, 12) else int(months[-1] % 12)
            if step == 3 and phase >= 0:  # pandas names quarters after the first month, or the year's last
                phase = phase % 3 if "start" in anchor else 9 + phase % 3
            return month_calendar(step, anchor, phase)
    return None


def _infer_days(dates: Dates, steps: Dates, base: int) -> Calendar:
    if base > DAY:
        business = _infer_business_steps(dates) if base % (7 * DAY) else None
        if business is not None:
            return business
        _require_even_steps(dates, steps, base)
        _require_all_weekdays(dates, base)
        if base % (7 * DAY) == 0:
            return fixed_calendar(base, WEEKDAYS[int(weekdays_of(dates[-1:])[0])])
        if len(dates) < 10 and (steps != base).any():
            raise FrequencyUnclearError(
                f"the dates are multiples of {describe_step(base)} apart, but too few to be sure of that",
                ("D", fixed_calendar(base).name),
            )
        return fixed_calendar(base)
    weekdays = weekdays_of(dates)
    seen = np.bincount(weekdays, minlength=7) > 0
    _refuse_rare_weekdays(dates, weekdays)
    if seen.all():
        _require_even_steps(dates, steps, base)
        return fixed_calendar(DAY)
    return _infer_open_weekdays(dates, steps, seen)


def _infer_business_steps(dates: Dates) -> Calendar | None:
    """Return the calendar of each n-th business day, n > 1, if all dates lie on it and nearly all of it is there."""
    if not set(np.unique(weekdays_of(dates)).tolist()) <= {0, 1, 2, 3, 4} or (dates % DAY != dates[0] % DAY).any():
        return None
    days = (dates // DAY).astype("datetime64[D]")
    steps = np.diff(np.busday_count(np.datetime64("1970-01-01"), days, weekmask=BUSINESS_WEEK))
    step = int(np.gcd.reduce(steps))
    if step % 5 == 0 or step == 1 or len(dates) < 10 or np.mean(steps == step) < MOST:
        return None
    return weekday_calendar(BUSINESS_WEEK, step)


def _require_all_weekdays(dates: Dates, base: int) -> None:
    """Raise if dates some days apart would have fallen on weekdays that they have never fallen on."""
    if base % (7 * DAY) == 0:
        return
    slots = np.bincount(weekdays_of(np.arange(dates[0], dates[-1] + 1, base)), minlength=7)
    seen = np.bincount(weekdays_of(dates), minlength=7)
    filled = len(dates) / (slots.sum() + 1)
    never = np.flatnonzero((seen == 0) & (slots > 0))
    if len(never) and (1 - filled) ** int(slots[never].sum()) < CHANCE_OF_RARE:
        absent = ", ".join(WEEKDAYS[weekday].title() for weekday in never)
        raise FrequencyUnclearError(
            f"the dates are {describe_step(base)} apart but never fall on {absent}, on which "
            f"{fixed_calendar(base).name} would forecast, too",
            (fixed_calendar(base).name,),
        )


def binomial_tail(most: int, trials: int, chance: float) -> float:
    """Return the probability of at most `most` successes in `trials`, each of probability `chance`.

    In logarithms: the number of ways to choose successes is beyond all floats from some 1,030 trials on.
    """
    if most >= trials or chance <= 0:
        return 1.0
    if chance >= 1:
        return 0.0
    whole, success, failure = math.lgamma(trials + 1), math.log(chance), math.log1p(-chance)
    logs = [
        whole - math.lgamma(n + 1) - math.lgamma(trials - n + 1) + n * success + (trials - n) * failure
        for n in range(most + 1)
    ]
    largest = max(logs, default=-math.inf)
    return 0.0 if largest == -math.inf else math.exp(largest) * sum(math.exp(log - largest) for log in logs)


def _refuse_rare_weekdays(dates: Dates, weekdays: npt.NDArray[np.int64]) -> None:
    """Raise if a weekday occurs among the dates, but much more seldom than another that nearly always does."""
    counts = np.bincount(weekdays, minlength=7)
    weeks = (int(dates[-1]) - int(dates[0])) / (7 * DAY)
    rare = np.zeros(7, dtype=bool)
    for weekday in np.flatnonzero(counts):
        others = counts[(counts > 0) & (np.arange(7) != weekday)]
        # never 1: that the others lack no date does not make a date that is lacking impossible
        most = 1 - 1 / (int(weeks) + 1)
        usual_share = min(float(others.mean()) / weeks, most) if len(others) and weeks >= 1 else 0.0
        if counts[weekday] >= usual_share * int(weeks):
            continue  # no fewer than are to be expected
        if counts[weekday] >= SHARE_OF_RARE * others.mean():
            continue  # seldom, and still part of the calendar
        rare[weekday] = 7 * binomial_tail(int(counts[weekday]), int(weeks), usual_share) < CHANCE_OF_RARE
    if not rare.any() or rare[counts > 0].all():
        return
    odd = int(np.flatnonzero(rare[weekdays])[0])
    usual = "".join("01"[int(count > 0 and not few)] for count, few in zip(counts, rare, strict=True))
    name = f"W-{WEEKDAYS[usual.index('1')]}" if usual.count("1") == 1 else weekday_calendar(usual).name
    raise FrequencyUnclearError(
        f"{format_date(int(dates[odd]))} is a {WEEKDAYS[int(weekdays[odd])].title()}, on which hardly any other date "
        "falls",
        (name, "D"),
    )


def _infer_open_weekdays(dates: Dates, steps: Dates, seen: npt.NDArray[np.bool_]) -> Calendar:
    """Decide between days and a set of weekdays for daily dates that lack at least one weekday."""
    mask = "".join("01"[int(day)] for day in seen)
    first, last = np.datetime64(int(dates[0] // DAY), "D"), np.datetime64(int(dates[-1] // DAY), "D")
    slots = int(np.busday_count(first, last + 1, weekmask=mask))
    closed_slots = int((last - first).astype(np.int64)) + 1 - slots
    calendar = weekday_calendar(mask)
    if closed_slots == 0:
        if set(np.flatnonzero(seen)) <= {0, 1, 2, 3, 4}:
            raise FrequencyUnclearError(
                "the dates do not span a weekend, so that every day and Monday to Friday both fit", ("D", "B")
            )
        _require_even_steps(dates, steps, DAY)
        return fixed_calendar(DAY)
    gaps = np.diff(np.busday_count(first, (dates // DAY).astype("datetime64[D]"), weekmask=mask))
    if np.bincount(gaps).argmax() != 1:
        _require_even_steps(dates, steps, int(np.gcd.reduce(steps)))
        raise FrequencyUnclearError("the dates fall on some weekdays only, and seldom on two in a row", ("D",))
    filled = len(dates) / (slots + 1)  # +1: the estimate must not be certain
    days = np.arange(int(dates[0] // DAY), int(dates[-1] // DAY) + 1) * DAY
    occurrences = np.bincount(weekdays_of(days), minlength=7)[~seen]
    # For a working week the weekend counts as a whole; of other sets any of seven weekdays might be the one.
    by_chance = (1 - filled) ** closed_slots if mask == BUSINESS_WEEK else 7 * (1 - filled) ** int(occurrences.min())
    if slots and len(dates) / slots >= LEAST_DENSITY and by_chance < CHANCE_OF_CLOSED:
        return calendar
    absent = ", ".join(day.title() for day, open_ in zip(WEEKDAYS, seen, strict=True) if not open_)
    raise FrequencyUnclearError(
        f"no date falls on {absent}, but there are too few dates to tell whether any would",
        ("D", calendar.name),
    )


def _require_even_steps(dates: Dates, steps: Dates, base: int) -> None:
    """Raise if `base` is not the commonest step, or too few of its slots are filled."""
    sizes, counts = np.unique(steps, return_counts=True)
    commonest = int(sizes[counts.argmax()])
    slots = (int(dates[-1]) - int(dates[0])) // base + 1
    if commonest != base and not (sizes == base).any():
        raise FrequencyUnclearError(
            f"most dates are {describe_step(commonest)} apart, but not all are a multiple of that",
            _fitting_names(dates, commonest),
        )
    if not _is_common(steps, base):
        odd = int(np.flatnonzero(steps % commonest)[0]) + 1
        raise FrequencyUnclearError(
            f"most dates are {describe_step(commonest)} apart, but {format_date(int(dates[odd]))} follows "
            f"{format_date(int(dates[odd - 1]))}",
            _fitting_names(dates, commonest),
        )
    if len(dates) / slots < LEAST_DENSITY:
        raise FrequencyUnclearError(
            f"the smallest step is {describe_step(base)}, but most of the dates that it would give are absent",
            _fitting_names(dates, commonest),
        )


def _is_common(steps: Dates, base: int) -> bool:
    """Return whether the smallest step is no mere exception among the steps."""
    sizes, counts = np.unique(steps, return_counts=True)
    at = sizes == base
    return bool(at.any() and counts[at][0] >= 0.25 * counts.max())


def _fitting_names(dates: Dates, step: int) -> tuple[str, ...]:
    """Return the frequencies worth offering: those on which nearly all of the dates lie."""
    if 28 * DAY <= step <= 31 * DAY:
        days = dates // DAY
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        shares = ((np.mean(_month_days(months, a) == days), n) for a, n in (("start", "MS"), ("end", "ME")))
        return tuple(name for share, name in shares if share >= MOST)
    phases = np.unique(dates % step, return_counts=True)[1]
    return (fixed_calendar(step).name,) if phases.max() >= MOST * len(dates) else ()


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


def calendar_of(frequency: str | None, days_written: bool) -> Callable[[Dates], Calendar]:
    """Return what finds a series' calendar: the stated frequency, or inference."""
    if frequency is None:
        return lambda dates: infer_calendar(dates, days_written)
    calendar = parse_frequency(frequency)

    def stated(dates: Dates) -> Calendar:
        if len(dates) and not lies_on(calendar, dates).any():
            raise FrequencyUnclearError(
                f"no date of the history lies on {calendar.name}, such as {format_date(int(dates[-1]))}",
                _names_instead(dates, days_written),
            )
        return calendar

    return stated


def lies_on(calendar: Calendar, dates: Dates) -> npt.NDArray[np.bool_]:
    """Return which dates lie on a calendar, shape (n,). A step in microseconds counts from the last date."""
    days = dates // DAY
    if calendar.kind == "weekdays":
        return np.asarray(np.is_busday(days.astype("datetime64[D]"), weekmask=calendar.anchor))
    if calendar.kind == "months":
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        on = _month_days(months, calendar.anchor) == days
        return np.asarray(on & ((calendar.phase < 0) | ((months - calendar.phase) % min(calendar.step, 12) == 0)))
    if calendar.anchor:
        return np.asarray(weekdays_of(dates) == WEEKDAYS.index(calendar.anchor))
    return np.ones(len(dates), dtype=np.bool_)


def _names_instead(dates: Dates, days_written: bool) -> tuple[str, ...]:
    """Return the frequency that is inferred, or what would settle it."""
    try:
        return (infer_calendar(dates, days_written).name,)
    except FrequencyUnclearError as error:
        return error.options
