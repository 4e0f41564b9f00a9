from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.tseries.holiday import USFederalHolidayCalendar

from pipeline.core.dates.calendars import DAY, weekdays_of
from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.dates.infer_frequency import FrequencyUnclearError, binomial_tail, calendar_of, infer_calendar

# Each with the number of dates from which it must be recognised without gaps.
FREQUENCIES = {
    "s": 30, "15s": 30, "min": 100, "5min": 300, "15min": 300, "30min": 100, "h": 100, "6h": 60, "D": 20, "B": 30,
    "W-SUN": 8, "W-WED": 8, "2W-MON": 8, "4W-FRI": 8, "MS": 40, "ME": 40, "2MS": 6, "QS-JAN": 40, "QS-FEB": 40,
    "QE-DEC": 40, "QE-NOV": 40, "6MS": 6, "YS-JAN": 5, "YS-JUL": 5, "YE-DEC": 5, "YE-JUN": 5, "BME": 24, "BMS": 24,
}  # fmt: skip
OFFICE_HOURS = pd.DatetimeIndex(
    [day + pd.Timedelta(hours=h) for day in pd.date_range("2024-01-01", periods=5) for h in range(9, 17)]
)
JITTERED = pd.date_range("2024-01-01", periods=50, freq="h") + pd.to_timedelta(np.arange(50) % 2, "s")
STARTS = st.datetimes(pd.Timestamp("1990-01-01"), pd.Timestamp("2040-01-01")).map(lambda t: t.replace(microsecond=0))


def microseconds(dates: pd.DatetimeIndex) -> np.ndarray:
    return dates.as_unit("us").asi8


@pytest.mark.parametrize("frequency", FREQUENCIES)
@settings(max_examples=25, deadline=None)
@given(start=STARTS)
def test_future_dates_are_pandas_own_for_a_calendar_without_gaps(frequency: str, start: pd.Timestamp) -> None:
    count = FREQUENCIES[frequency]
    start = start if frequency[-1] in "snh" else start.replace(hour=0, minute=0, second=0)
    dates = microseconds(pd.date_range(start, periods=count + 10, freq=frequency))
    calendar = infer_calendar(dates[:count])
    np.testing.assert_array_equal(calendar.after(int(dates[count - 1]), 10), dates[count:])


@pytest.mark.parametrize("frequency", FREQUENCIES)
@settings(max_examples=25, deadline=None)
@given(start=STARTS, seed=st.integers(0, 10_000), gaps=st.floats(0, 0.4))
def test_with_gaps_the_calendar_is_right_or_it_is_refused(
    frequency: str, start: pd.Timestamp, seed: int, gaps: float
) -> None:
    count = 3 * FREQUENCIES[frequency]
    start = start if frequency[-1] in "snh" else start.replace(hour=0, minute=0, second=0)
    dates = microseconds(pd.date_range(start, periods=count + 10, freq=frequency))
    kept = np.random.default_rng(seed).random(count) >= gaps
    kept[[0, 1, count - 2, count - 1]] = True
    try:
        calendar = infer_calendar(dates[:count][kept])
    except FrequencyUnclearError:
        assert gaps > 0.2, "too few gaps to refuse it for"
        return
    np.testing.assert_array_equal(calendar.after(int(dates[count - 1]), 10), dates[count:])


@settings(max_examples=200)
@given(steps=st.lists(st.integers(1, 60), min_size=2, max_size=30), unit=st.sampled_from(["D", "h", "m"]))
def test_whatever_the_dates_a_calendar_holds_them_all(steps: list[int], unit: str) -> None:
    dates = (np.datetime64("2024-01-01", unit) + np.cumsum(steps)).astype("datetime64[us]").astype(np.int64)
    try:
        calendar = infer_calendar(dates)
    except FrequencyUnclearError:
        return
    slots = calendar.after(int(dates[0]), int((dates[-1] - dates[0]) // 60_000_000) + 1)
    assert set(dates[1:].tolist()) <= set(slots.tolist())


@pytest.mark.parametrize(
    ("dates", "name"),
    [
        (["2024-01-15", "2024-02-15", "2024-03-15"], "M-15"),
        (["2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"], "M-30"),
        (["2024-01-31", "2024-02-29", "2024-03-31"], "ME"),
        (["2023-01-31", "2023-02-28", "2023-04-30"], "ME"),
        (["2020-02-29", "2021-02-28", "2022-02-28"], "YE-FEB"),
    ],
)
def test_days_of_the_month_are_told_apart(dates: list[str], name: str) -> None:
    assert infer_calendar(microseconds(pd.DatetimeIndex(dates))).name == name


@settings(max_examples=60, deadline=None)
@given(days=st.integers(60, 800), missing=st.integers(1, 59), start=STARTS)
def test_one_day_that_is_missing_leaves_a_daily_series_daily(days: int, missing: int, start: pd.Timestamp) -> None:
    dates = microseconds(pd.date_range(start, periods=days))
    assert infer_calendar(np.delete(dates, missing), True).name == "D"


def test_a_weekday_is_not_taken_for_an_exception_after_a_few_weeks_even_if_the_others_lack_no_date() -> None:
    dates = pd.date_range("2024-01-01", periods=35)
    kept = dates[(dates.day_of_week != 6) | (dates == "2024-01-07")]
    assert infer_calendar(microseconds(kept)).name == "D"
    year = pd.date_range("2024-01-01", periods=364)
    with pytest.raises(FrequencyUnclearError, match="2024-01-07 is a Sun"):
        infer_calendar(microseconds(year[(year.day_of_week != 6) | (year == "2024-01-07")]))


def test_a_shop_closed_on_two_odd_days_is_forecast_on_the_others() -> None:
    dates = pd.date_range("2024-01-01", periods=70)
    open_days = microseconds(dates[~dates.dayofweek.isin([1, 6])])
    calendar = infer_calendar(open_days)
    assert calendar.name == "C-MON-WED-THU-FRI-SAT"
    assert set(weekdays_of(calendar.after(int(open_days[-1]), 50)).tolist()) == {0, 2, 3, 4, 5}


WEEKDAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
# Offsets of pandas of every kind, 2B and the third Friday among them.
_NAMES = [
    "D",
    "2D",
    "3D",
    "5D",
    "10D",
    "14D",
    "B",
    "2B",
    "3B",
    "4B",
    "6B",
    "W",
    "MS",
    "ME",
    "BMS",
    "BME",
    "2MS",
    "2ME",
    "6ME",
    "SMS",
    "SME",
    "SMS-10",
    "SME-20",
    "CBMS",
    "CBME",
    "h",
    "2h",
    "3h",
    "6h",
    "12h",
    "bh",
    "cbh",
    "min",
    "5min",
    "15min",
    "30min",
    "s",
    "15s",
    "90s",
    "7h",
    "36h",
    "ms",
    "2YS-JAN",
    "3QS-JAN",
    "4W-FRI",
]
_NAMES += [f"{unit}{day}" for unit in ("W-", "2W-", "WOM-1", "WOM-3", "WOM-4") for day in WEEKDAYS]
_NAMES += [f"{u}-{month}" for u in ("QS", "QE", "BQS", "BQE", "YS", "YE", "BYS", "BYE") for month in MONTHS]
OFFSETS: dict[str, str | pd.DateOffset] = {name: name for name in _NAMES} | {
    "last Friday": pd.offsets.LastWeekOfMonth(weekday=4),
    "52 or 53 weeks, nearest": pd.offsets.FY5253(weekday=5, startingMonth=1, variation="nearest"),
    "52 or 53 weeks, last": pd.offsets.FY5253(weekday=4, startingMonth=12, variation="last"),
    "quarters of 13 or 14 weeks": pd.offsets.FY5253Quarter(
        weekday=5, startingMonth=1, qtr_with_extra_week=4, variation="last"
    ),
    "Monday to Saturday": pd.offsets.CustomBusinessDay(weekmask="Mon Tue Wed Thu Fri Sat"),
    "Sunday to Thursday": pd.offsets.CustomBusinessDay(weekmask="Sun Mon Tue Wed Thu"),
    "Tuesday and Thursday": pd.offsets.CustomBusinessDay(weekmask="Tue Thu"),
    "Easter": pd.offsets.Easter(),
    "mornings": pd.offsets.BusinessHour(start="08:00", end="12:00"),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_an_offset_of_pandas_with_gaps_is_right_or_refused(name: str) -> None:
    compared = 0
    for seed, share in enumerate((1, 0.97, 0.9, 0.75, 0.5)):
        for start in ("2000-01-01", "2011-03-17 09:00"):
            for count in (12, 40, 150, 600):
                every = microseconds(pd.date_range(start, periods=count + 20, freq=OFFSETS[name], unit="us"))
                kept = np.random.default_rng(seed).choice(count - 1, size=max(2, int(share * count) - 1), replace=False)
                history = every[[*sorted(kept), count - 1]]
                compared += 1
                try:
                    calendar = infer_calendar(history)
                except FrequencyUnclearError as refusal:
                    for option in refusal.options:
                        parse_frequency(option)
                    continue
                assert calendar.after(int(history[-1]), 20).tolist() == every[count:].tolist(), (start, seed, count)
    assert compared == 40


def test_holidays_leave_business_days_business_days() -> None:
    closed = pd.offsets.CustomBusinessDay(calendar=USFederalHolidayCalendar())
    assert infer_calendar(microseconds(pd.date_range("2014-01-01", periods=2500, freq=closed))).name == "B"


@pytest.mark.parametrize(("name", "step"), [("h-open", "h"), ("30min-open", "30min")])
def test_opening_hours_go_on_as_they_were(name: str, step: str) -> None:
    every = pd.date_range("2024-01-01", "2024-03-31", freq=step, inclusive="left")
    weekday = (every.day_of_week < 5) & (every.hour >= 8) & (every.hour < 18)
    open_now = every[weekday | ((every.day_of_week == 5) & (every.hour >= 9) & (every.hour < 13))]
    once = pd.DatetimeIndex(["2024-02-04 10:00"])  # a Sunday in February
    history, ahead = open_now[open_now < "2024-03-01"].union(once), open_now[open_now >= "2024-03-01"]
    with pytest.raises(FrequencyUnclearError) as refusal:
        infer_calendar(microseconds(history))
    assert refusal.value.options[0] == name
    calendar = calendar_of(name, True)(microseconds(history))
    assert calendar.name == name
    assert calendar.holds(microseconds(open_now)).all()
    assert not calendar.holds(microseconds(once)).any()
    assert calendar.after(int(microseconds(history)[-1]), len(ahead)).tolist() == microseconds(ahead).tolist()


@pytest.mark.parametrize(
    ("offset", "told"),
    [("SMS", "two days of each month"), ("WOM-3FRI", "Fridays, unevenly spaced and at least four weeks apart"),
     (pd.offsets.FY5253(weekday=5, startingMonth=1, variation="nearest"), "years of 52 and 53 weeks")],
)  # fmt: skip
def test_calendars_without_a_frequency_say_that_no_option_fits(offset: str | pd.DateOffset, told: str) -> None:
    with pytest.raises(FrequencyUnclearError, match=told) as refusal:
        infer_calendar(microseconds(pd.date_range("2014-01-01", periods=40, freq=offset)))
    assert refusal.value.advice.startswith("No --frequency fits.")


@pytest.mark.parametrize(
    ("dates", "options"),
    [
        (pd.date_range("2024-01-01", periods=5), ("D", "B")),
        (pd.DatetimeIndex(["2024-01-01", "2024-02-01"]), ()),
        (OFFICE_HOURS, ("h-open", "h")),
        (pd.DatetimeIndex(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-30"]), ("W",)),
        (JITTERED, ("3601s", "3599s")),
    ],
)
def test_what_is_unclear_is_refused_with_what_would_settle_it(
    dates: pd.DatetimeIndex, options: tuple[str, ...]
) -> None:
    with pytest.raises(FrequencyUnclearError) as refusal:
        infer_calendar(microseconds(dates))
    assert set(refusal.value.options) <= set(options)


@pytest.mark.parametrize("name", [*FREQUENCIES, "W", "M-15", "3M-31", "C-MON-SAT", "QS", "YE"])
def test_a_name_reads_back_as_the_calendar_it_names(name: str) -> None:
    calendar = parse_frequency(name)
    assert parse_frequency(calendar.name) == calendar


@pytest.mark.parametrize("name", ["", "x", "0D", "-1D", "D-MON", "W-XYZ", "M-32", "QS-13", "C-", "1.5h", "D;drop"])
def test_what_is_no_frequency_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a frequency"):
        parse_frequency(name)


@pytest.mark.parametrize(
    ("alias", "name"), [("M", "ME"), ("Q", "QE"), ("A", "YE"), ("H", "h"), ("T", "min"), ("w-sun", "W-SUN")]
)
def test_older_and_lower_case_names_are_understood(alias: str, name: str) -> None:
    assert parse_frequency(alias).name == name


@pytest.mark.parametrize("frequency", ["W-SUN", "QS-FEB", "MS", "B", "YE-JUN"])
def test_a_stated_frequency_goes_on_from_a_date_that_is_off_it_as_in_pandas(frequency: str) -> None:
    last = pd.Timestamp("2024-05-16")
    ahead = pd.date_range(last, periods=6, freq=frequency)
    np.testing.assert_array_equal(
        parse_frequency(frequency).after(microseconds(pd.DatetimeIndex([last]))[0], 5),
        microseconds(ahead[ahead > last])[:5],
    )


@pytest.mark.parametrize("frequency", ["B", "C-MON-SAT", "W-WED", "MS", "ME", "BMS", "BME", "QE-FEB", "YS-APR"])
def test_a_calendar_holds_the_dates_that_pandas_gives_it_and_no_others(frequency: str) -> None:
    every = pd.date_range("2023-06-15", "2026-02-10")
    day = pd.offsets.CustomBusinessDay(weekmask="Mon Sat") if frequency == "C-MON-SAT" else frequency
    own = pd.date_range("2023-05-01", "2026-02-10", freq=day)
    held = parse_frequency(frequency).holds(microseconds(every + pd.Timedelta(hours=23)))
    assert every[held].tolist() == [date for date in own if date >= every[0]]


@pytest.mark.parametrize(
    "frequency", ["6h", "D", "3D", "B", "2B", "C-MON-SAT", "2W-WED", "MS", "2ME", "QE-FEB", "YS-APR"]
)
@pytest.mark.parametrize("first", ["2023-11-06", "1969-12-01"])
def test_neighbouring_dates_lie_in_neighbouring_slots(frequency: str, first: str) -> None:
    step = pd.offsets.CustomBusinessDay(weekmask="Mon Sat") if frequency == "C-MON-SAT" else frequency
    dates = microseconds(pd.date_range(first, periods=60, freq=step))
    kept = np.delete(dates, [3, 4, 17])
    slots = parse_frequency(frequency).slots(kept).tolist()
    assert slots == [slot for slot in range(60) if slot not in (3, 4, 17)]


@given(most=st.integers(0, 300), trials=st.integers(1, 300), chance=st.floats(0, 1))
def test_the_binomial_tail_is_the_sum_of_its_terms(most: int, trials: int, chance: float) -> None:
    terms = (math.comb(trials, n) * chance**n * (1 - chance) ** (trials - n) for n in range(min(most, trials) + 1))
    assert binomial_tail(most, trials, chance) == pytest.approx(
        sum(terms), rel=1e-9, abs=1e-250
    )  # powers underflow below


def test_the_binomial_tail_of_a_century_of_weeks_is_a_probability() -> None:
    for trials in (1030, 5200, 52_000):
        assert 0.49 < binomial_tail(trials // 2, trials, 0.5) < 0.52
        assert 0 <= binomial_tail(trials // 10, trials, 0.9) < 1e-100


@pytest.mark.parametrize("years", [19, 20, 21, 60])
def test_decades_of_days_with_gaps_are_days(years: int) -> None:
    dates = pd.date_range("1950-01-01", periods=365 * years, freq="D")
    kept = dates[np.random.default_rng(0).random(len(dates)) > 0.03]
    assert infer_calendar(microseconds(kept)).name == "D"


@pytest.mark.parametrize("name", ["999999999999999D", "99999999999999YE", "999999999999QS", "99999999W"])
def test_steps_beyond_all_dates_are_an_error_and_no_date(name: str) -> None:
    calendar = parse_frequency(name)
    last = int(microseconds(pd.DatetimeIndex(["2024-01-01"]))[0])
    with pytest.raises(OverflowError, match="beyond all dates"):
        calendar.after(last, 100_000)
    assert calendar.slots(np.array([last, last + DAY])).tolist() == [0, 0]


def test_steps_that_end_before_all_dates_do_are_dates() -> None:
    last = int(microseconds(pd.DatetimeIndex(["2024-01-01"]))[0])
    dates = parse_frequency("9999999999999us").after(last, 100_000)
    assert dates[0] == last + 9_999_999_999_999
    assert (np.diff(dates) == 9_999_999_999_999).all()
