from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.calendars import (
    FrequencyUnclearError,
    binomial_tail,
    infer_calendar,
    parse_frequency,
    weekdays_of,
)

# Each with the number of dates from which it must be recognised without gaps.
FREQUENCIES = {
    "s": 30, "15s": 30, "min": 100, "5min": 300, "15min": 300, "30min": 100, "h": 100, "6h": 60, "D": 20, "B": 30,
    "W-SUN": 8, "W-WED": 8, "2W-MON": 8, "4W-FRI": 8, "MS": 40, "ME": 40, "2MS": 6, "QS-JAN": 6, "QS-FEB": 6,
    "QE-DEC": 6, "QE-NOV": 6, "6MS": 6, "YS-JAN": 5, "YS-JUL": 5, "YE-DEC": 5, "YE-JUN": 5, "BME": 24, "BMS": 24,
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


def test_a_shop_closed_on_two_odd_days_is_forecast_on_the_others() -> None:
    dates = pd.date_range("2024-01-01", periods=70)
    open_days = microseconds(dates[~dates.dayofweek.isin([1, 6])])
    calendar = infer_calendar(open_days)
    assert calendar.name == "C-MON-WED-THU-FRI-SAT"
    assert set(weekdays_of(calendar.after(int(open_days[-1]), 50)).tolist()) == {0, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("dates", "options"),
    [
        (pd.date_range("2024-01-01", periods=5), ("D", "B")),
        (pd.DatetimeIndex(["2024-01-01", "2024-02-01"]), ()),
        (OFFICE_HOURS, ("h",)),
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


@given(most=st.integers(0, 300), trials=st.integers(1, 300), chance=st.floats(0, 1))
def test_the_binomial_tail_is_the_sum_of_its_terms(most: int, trials: int, chance: float) -> None:
    terms = (math.comb(trials, n) * chance**n * (1 - chance) ** (trials - n) for n in range(min(most, trials) + 1))
    assert binomial_tail(most, trials, chance) == pytest.approx(sum(terms), rel=1e-9, abs=1e-300)


def test_the_binomial_tail_of_a_century_of_weeks_is_a_probability() -> None:
    for trials in (1030, 5200, 52_000):
        assert 0.49 < binomial_tail(trials // 2, trials, 0.5) < 0.52
        assert 0 <= binomial_tail(trials // 10, trials, 0.9) < 1e-100


@pytest.mark.parametrize("years", [19, 20, 21, 60])
def test_decades_of_days_with_gaps_are_days(years: int) -> None:
    dates = pd.date_range("1950-01-01", periods=365 * years, freq="D")
    kept = dates[np.random.default_rng(0).random(len(dates)) > 0.03]
    assert infer_calendar(microseconds(kept)).name == "D"


@pytest.mark.parametrize(
    "name", ["999999999999999D", "99999999999999YE", "9999999999999us", "999999999999QS", "99999999W"]
)
def test_steps_beyond_all_dates_are_an_error_and_no_date(name: str) -> None:
    calendar = parse_frequency(name)
    last = int(microseconds(pd.DatetimeIndex(["2024-01-01"]))[0])
    try:
        dates = calendar.after(last, 100_000)
    except OverflowError:
        return
    assert (np.diff(dates) > 0).all()
    assert dates[0] > last
