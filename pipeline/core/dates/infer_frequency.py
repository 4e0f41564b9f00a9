"""Infers the calendar of dates.

The inference uses dates alone, tolerates gaps, and refuses unclear cases: a wrong inference is worse than a question.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.core.dates.calendars import (
    DAY,
    HOUR,
    WEEKDAY_NAMES,
    WEEKDAYS,
    Calendar,
    Dates,
    OpeningHours,
    describe_step,
    format_date,
    month_days,
    months_of,
    weekdays_of,
)
from pipeline.core.dates.frequencies import (
    BUSINESS_WEEK,
    MAX_WEEKLY_SLOTS,
    fixed_calendar,
    month_calendar,
    parse_frequency,
    weekday_calendar,
)

LAST_OF_MONTH = 32  # in place of the day of the month
YEAR_PARTS_IN_WEEKS = (13, 26, 52)
MOST_SLOTS_ABSENT, SHORTEST_NIGHT = 4, 6 * HOUR  # in a row, within dates of less than three days

# A stated frequency is accepted if at least this share of the dates is on it.
LEAST_SHARE_ON_STATED = 0.5
LEAST_SLOTS_PER_DATE = 0.6  # of a stated frequency: if there are fewer, the dates are closer together
# A calendar is accepted if at least this share of its slots between the first and the last date is filled.
LEAST_DENSITY = 0.2
# A weekday is an exception, not part of the calendar, if the probability of so few dates on it is below this, and it
# is filled so much less than the others: holidays take one Monday in ten, and in some countries one in five.
CHANCE_OF_RARE = 0.001
SHARE_OF_RARE = 0.25
# A frequency is suggested if at least this share of the dates is on it.
MOST = 0.9
# An unseen weekday is taken to be closed if the probability of its absence by chance is below this.
CHANCE_OF_CLOSED = 1e-5


class FrequencyUnclearError(Exception):
    """The dates do not show how they continue; the message says why, `options` what would settle it.

    Attributes:
        reason: why it is unclear.
        options: frequencies that settle it.
        advice: what to do if no frequency would.
    """

    def __init__(self, reason: str, options: tuple[str, ...] = (), advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.options = options
        self.advice = advice


def infer_calendar(dates: Dates, days_written: bool = True) -> Calendar:
    """Return the calendar of sorted, distinct dates.

    Of the calendars that all dates are on, the one with the fewest empty slots wins; it is accepted
    only if it is well filled and nothing contradicts it.

    Args:
        dates: microseconds, shape (n,).
        days_written: whether the day of the month is written; 2024-05 can only mean months.

    Raises:
        FrequencyUnclearError: if they do not show how they continue.
    """
    if len(dates) < 3:
        raise FrequencyUnclearError(f"{len(dates)} dates are too few to infer the frequency")
    steps = np.diff(dates)
    base = int(np.gcd.reduce(steps))
    if base % DAY:
        return _infer_within_days(dates, steps, base)
    months = _infer_months(dates, days_written)
    if months is None:
        _refuse_other_calendars(dates, steps)
    return months or _infer_days(dates, steps, base)


def _refuse_midnights_in_utc(dates: Dates, steps: Dates) -> None:
    """Raise if the hour of the dates differs by one between summer and winter, like midnights of a time zone in UTC."""
    clocks = np.unique(dates % DAY)
    apart = int(clocks[-1] - clocks[0])
    if len(clocks) == 2 and min(apart, DAY - apart) == HOUR and steps.min() >= DAY - HOUR:
        raise FrequencyUnclearError(
            "all dates are at one of two hours, like midnights of a time zone with summer time that are written in UTC",
            advice="Use --timezone=Europe/Berlin, or whichever time zone it is.",
        )


def _infer_within_days(dates: Dates, steps: Dates, base: int) -> Calendar:
    _refuse_midnights_in_utc(dates, steps)
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
                _open_or_all(base),
            )
    if days < 3 and steps.max() >= max(SHORTEST_NIGHT, MOST_SLOTS_ABSENT * base):
        step = fixed_calendar(base).name
        raise FrequencyUnclearError(
            f"the dates are {step} apart, with a gap of {describe_step(int(steps.max()))}; they are too few to tell "
            "whether values are missing there, or it is a night",
            _open_or_all(base),
        )
    if days >= 14 and len(np.unique(weekdays_of(dates))) < 7:
        step = fixed_calendar(base).name
        raise FrequencyUnclearError(
            f"the dates are {step} apart but never fall on certain weekdays; {step} would also forecast those days",
            _open_or_all(base),
        )
    return fixed_calendar(base)


def _open_or_all(step: int) -> tuple[str, ...]:
    """Return the frequencies of opening hours and of all hours."""
    name = fixed_calendar(step).name
    fits = 7 * DAY % step == 0 and 7 * DAY // step <= MAX_WEEKLY_SLOTS
    return (f"{name}-open", name) if fits else (name,)


def open_calendar(calendar: Calendar, dates: Dates) -> Calendar:
    """Return a calendar of opening hours with the slots that have dates, except rare ones.

    Raises:
        FrequencyUnclearError: if the dates are not its step apart.
    """
    step, phase = calendar.step, int(dates[-1] % calendar.step)
    if (dates % step != phase).any():
        odd = int(dates[np.flatnonzero(dates % step != phase)[-1]])
        raise FrequencyUnclearError(
            f"not all dates are multiples of {describe_step(step)} apart, such as {format_date(odd)}",
            _open_or_all(int(np.gcd.reduce(np.diff(dates)))) if len(dates) > 1 else (),
        )
    slots = (dates + 3 * DAY) % (7 * DAY) // step
    counts = np.bincount(slots, minlength=7 * DAY // step)
    usual = float(np.median(counts[counts > 0]))
    mask = "".join("01"[int(count >= SHARE_OF_RARE * usual and count > 0)] for count in counts)
    return OpeningHours(calendar.name, step, mask, phase)


_BUSINESS = ("business_start", "business_end")


def _infer_months(dates: Dates, days_written: bool) -> Calendar | None:
    """Return the calendar of months that all dates are on, or None."""
    days, months = dates // DAY, months_of(dates)
    steps = np.diff(months)
    if steps.min() < 1:
        return None
    step = int(np.gcd.reduce(steps))
    if len(dates) / ((months[-1] - months[0]) / step + 1) < LEAST_DENSITY or not _is_common(steps, step):
        return None
    day_of_month = days - month_days(months, "start") + 1
    fits = {day: np.array_equal(month_days(months, day), days) for day in ("start", "end", *_BUSINESS)}
    for plain, business in (("start", "business_start"), ("end", "business_end")):
        if step in (1, 3) and days_written and fits[plain] and fits[business]:
            phase = -1 if step == 1 else _quarter_phase(int(months[-1] % 12), plain)
            names = tuple(month_calendar(step, day, phase).name for day in (plain, business))
            period = "month" if step == 1 else "quarter"
            raise FrequencyUnclearError(f"the {plain} of each {period} and its business {plain} both fit", names)
    kinds_of_day = ("start", "end", str(int(day_of_month.max())), *_BUSINESS)
    for day in kinds_of_day:
        if np.array_equal(month_days(months, day), days):
            phase = -1 if day.isdigit() or step not in (3, 12) else int(months[-1] % 12)
            if step == 3 and phase >= 0:
                phase = _quarter_phase(phase, day)
            return month_calendar(step, day, phase)
    return None


def _quarter_phase(month: int, day: str) -> int:
    """Return the month, from 0, by which pandas names quarters: the first one's first, or the year's last."""
    return month % 3 if "start" in day else 9 + month % 3


def _refuse_other_calendars(dates: Dates, steps: Dates) -> None:
    """Raise if the dates are on a calendar that no supported frequency describes."""
    if len(dates) < 4:
        return
    days = dates // DAY
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    in_month = np.where(days == month_days(months, "end"), LAST_OF_MONTH, days - month_days(months, "start") + 1)
    in_days = steps // DAY
    each, counts = np.unique(in_month, return_counts=True)
    if len(each) == 2 and counts.min() >= len(dates) / 4 and each[1] - each[0] >= 7 and len(dates) >= 6:
        raise FrequencyUnclearError(
            "the dates are two days of each month, which no --frequency describes",
            advice="No --frequency fits. Add up the values of each month with --aggregate=MS.",
        )
    base = int(np.gcd.reduce(in_days))
    if base % 7 == 0 and in_days.min() >= 28 and not (in_days == base).any():
        weekday = WEEKDAY_NAMES[int(weekdays_of(dates[:1])[0])]
        raise FrequencyUnclearError(
            f"the dates are {weekday}s, unevenly spaced and at least four weeks apart, like the third {weekday} of "
            "each month, or the ends of years of 52 and 53 weeks; no --frequency describes that",
            advice="No --frequency fits. Write months, quarters or years (2024-05, 2024Q1, 2024) instead of days, or "
            "add up the values with --aggregate=MS, QS or YS.",
        )


def _infer_days(dates: Dates, steps: Dates, base: int) -> Calendar:
    if base > DAY:
        business = _infer_business_steps(dates) if base % (7 * DAY) else None
        if business is not None:
            return business
        _require_even_steps(dates, steps, base)
        _require_all_weekdays(dates, base)
        if base // (7 * DAY) in YEAR_PARTS_IN_WEEKS and base % (7 * DAY) == 0:
            name = fixed_calendar(base, WEEKDAYS[int(weekdays_of(dates[-1:])[0])]).name
            raise FrequencyUnclearError(
                f"the dates are {describe_step(base)} apart, as in years of 52 weeks, some of which have 53", (name,)
            )
        if base % (7 * DAY) == 0:
            return fixed_calendar(base, WEEKDAYS[int(weekdays_of(dates[-1:])[0])])
        on_business_days = set(np.unique(weekdays_of(dates)).tolist()) <= {0, 1, 2, 3, 4}
        if (len(dates) < 10 or on_business_days) and (steps != base).any():
            raise FrequencyUnclearError(
                f"the dates are multiples of {describe_step(base)} apart, but too few to be sure",
                ("B" if on_business_days else "D", fixed_calendar(base).name),
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
    """Return the calendar of every n-th business day, n > 1, if all dates are on it and nearly all slots are filled."""
    if not set(np.unique(weekdays_of(dates)).tolist()) <= {0, 1, 2, 3, 4} or (dates % DAY != dates[0] % DAY).any():
        return None
    days = (dates // DAY).astype("datetime64[D]")
    steps = np.diff(np.busday_count(np.datetime64("1970-01-01"), days, weekmask=BUSINESS_WEEK))
    step = int(np.gcd.reduce(steps))
    if step % 5 == 0 or step == 1 or (np.diff(dates) == np.diff(dates)[0]).all():
        return None
    calendar = weekday_calendar(BUSINESS_WEEK, step)
    if len(dates) < 10 or np.mean(steps == step) < MOST:
        raise FrequencyUnclearError(
            f"the dates are multiples of {step} business days apart, but too few, or with too many gaps, to be sure",
            (calendar.name, "B"),
        )
    return calendar


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
            f"the dates are {describe_step(base)} apart but never fall on {absent}; "
            f"{fixed_calendar(base).name} would also forecast those days",
            (fixed_calendar(base).name,),
        )


def binomial_tail(most: int, trials: int, chance: float) -> float:
    """Return the probability of at most `most` successes in `trials`, each of probability `chance`.

    In logarithms: from some 1,030 trials on, the number of ways to choose successes exceeds any float.
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
    """Raise if a weekday occurs among the dates, but much more rarely than another that nearly always does."""
    counts = np.bincount(weekdays, minlength=7)
    weeks = (int(dates[-1]) - int(dates[0])) / (7 * DAY)
    rare = np.zeros(7, dtype=bool)
    for weekday in np.flatnonzero(counts):
        others = counts[(counts > 0) & (np.arange(7) != weekday)]
        # below 1: even if the others lack no date, a missing date is not impossible
        most = 1 - 1 / (int(weeks) + 1)
        usual_share = min(float(others.mean()) / weeks, most) if len(others) and weeks >= 1 else 0.0
        if counts[weekday] >= usual_share * int(weeks):
            continue  # as many as expected
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
                "the dates do not span a weekend, so every day and Monday to Friday both fit", ("D", "B")
            )
        _require_even_steps(dates, steps, DAY)
        return fixed_calendar(DAY)
    gaps = np.diff(np.busday_count(first, (dates // DAY).astype("datetime64[D]"), weekmask=mask))
    if np.bincount(gaps).argmax() != 1:
        _require_even_steps(dates, steps, int(np.gcd.reduce(steps)))
        raise FrequencyUnclearError("the dates fall on some weekdays only, and rarely on two in a row", ("D",))
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
            f"the smallest step is {describe_step(base)}, but most of the dates at that step are missing",
            _open_or_all(commonest) if base == commonest < DAY else _fitting_names(dates, commonest),
        )


def _is_common(steps: Dates, base: int) -> bool:
    """Return whether the smallest step is more than an exception among the steps."""
    sizes, counts = np.unique(steps, return_counts=True)
    at = sizes == base
    return bool(at.any() and counts[at][0] >= 0.25 * counts.max())


def _fitting_names(dates: Dates, step: int) -> tuple[str, ...]:
    """Return the frequencies worth suggesting: those that nearly all dates are on."""
    if 28 * DAY <= step <= 31 * DAY:
        days = dates // DAY
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        shares = ((np.mean(month_days(months, a) == days), n) for a, n in (("start", "MS"), ("end", "ME")))
        return tuple(name for share, name in shares if share >= MOST)
    phases = np.unique(dates % step, return_counts=True)[1]
    return (fixed_calendar(step).name,) if phases.max() >= MOST * len(dates) else ()


def calendar_of(frequency: str | None, days_written: bool) -> Callable[[Dates], Calendar]:
    """Return what finds a series' calendar: the stated frequency, or inference."""
    if frequency is None:
        return lambda dates: infer_calendar(dates, days_written)
    calendar = parse_frequency(frequency)

    def stated(dates: Dates) -> Calendar:
        if isinstance(calendar, OpeningHours):
            return open_calendar(calendar, dates)
        on = calendar.holds(dates)
        if len(dates) and on.mean() < LEAST_SHARE_ON_STATED:
            share = "no date falls" if not on.any() else f"only {on.sum():,} of {len(on):,} dates fall"
            off = dates[~on]
            raise FrequencyUnclearError(
                f"{share} on {calendar.name}; {format_date(int(off[-1]))} does not",
                _names_instead(dates, days_written),
            )
        slots = len(np.unique(calendar.slots(dates)))
        if slots < LEAST_SLOTS_PER_DATE * len(dates):
            raise FrequencyUnclearError(
                f"{len(dates):,} dates share {slots:,} steps of {calendar.name}: they are closer together than that",
                _names_instead(dates, days_written),
            )
        return calendar

    return stated


def _names_instead(dates: Dates, days_written: bool) -> tuple[str, ...]:
    """Return the frequency that is inferred, or what would settle it."""
    try:
        return (infer_calendar(dates, days_written).name,)
    except FrequencyUnclearError as error:
        return error.options
