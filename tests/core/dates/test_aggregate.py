"""Rows added up by period, and dates without a row taken for zero."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.dates.aggregate import aggregated, period_calendar, period_starts
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.arrow_lists import lists_of
from pipeline.core.series.load import load_file

NO_EXTRAS = np.empty((0, 0))


def micros(*dates: str) -> np.ndarray:
    return np.array(dates, "datetime64[us]").astype(np.int64)


def series_of(text: str, tmp_path: Path, **options: object) -> tuple[list[str], list[float], str | None]:
    """Return the dates, values and note of a file's one series."""
    spec = ForecastSpec(horizon=2, **options)
    (batch,) = load_file(io.BytesIO(text.encode()), spec, Limits(), tmp_path).batches()
    fault = batch.column("fault")[0].as_py()
    if fault is not None:
        raise RecordError.from_json(fault)
    dates = lists_of(batch, "ds")[0].astype("datetime64[us]").astype("datetime64[D]").astype(str).tolist()
    return dates, lists_of(batch, "y")[0].tolist(), batch.column("note")[0].as_py()


# pandas names the same periods, each by its first date
PERIODS = {"h": "h", "D": "D", "MS": "M", "QS-JAN": "Q-DEC", "QS-FEB": "Q-JAN", "YS-APR": "Y-MAR", "W-MON": "W-SUN",
           "W-SUN": "W-SAT"}  # fmt: skip


@pytest.mark.parametrize("frequency", PERIODS)
@given(seconds=st.integers(-2_000_000_000, 4_000_000_000))
def test_a_period_holds_the_dates_that_pandas_says_it_does(frequency: str, seconds: int) -> None:
    dates = np.array([seconds * 1_000_000])
    starts, ends = period_starts(dates, period_calendar(frequency))
    period = pd.Timestamp(seconds, unit="s").to_period(PERIODS[frequency])
    assert pd.Timestamp(int(starts[0]) * 1000) == period.start_time
    assert pd.Timestamp(int(ends[0]) * 1000) == (period + 1).start_time


@given(
    days=st.lists(st.tuples(st.integers(0, 400), st.integers(-50, 50)), min_size=1, max_size=60),
    frequency=st.sampled_from(["D", "W-MON", "MS"]),
)
def test_nothing_is_lost_or_counted_twice(days: list[tuple[int, int]], frequency: str) -> None:
    days.sort()
    dates, values = np.array([day for day, _ in days]) * 86_400_000_000, np.array([float(y) for _, y in days])
    found = aggregated(dates, values, np.empty((len(days), 0)), period_calendar(frequency), "sum")
    starts, _ = period_starts(dates, period_calendar(frequency))
    kept = np.isin(starts, found.dates[np.isfinite(found.values)])
    assert np.nansum(found.values) == values[kept].sum()
    assert len(np.unique(starts[~kept])) == len(found.notes) <= 2


def test_equal_transactions_are_several(tmp_path: Path) -> None:
    text = "date,y\n" + "".join(f"2024-01-{day:02d},5\n2024-01-{day:02d},5\n" for day in range(1, 11))
    dates, values, note = series_of(text, tmp_path, aggregate="D")
    assert (len(dates), set(values), note) == (10, {10.0}, None)
    assert set(series_of(text, tmp_path, aggregate="D", aggregation="mean")[1]) == {5.0}


def test_months_that_are_not_whole_are_left_out_and_named(tmp_path: Path) -> None:
    days = pd.date_range("2023-03-12", "2024-05-17").strftime("%Y-%m-%d")
    dates, values, note = series_of("date,y\n" + "".join(f"{day},1\n" for day in days), tmp_path, aggregate="MS")
    assert (dates[0], dates[-1], values[0], values[-1]) == ("2023-04-01", "2024-04-01", 30.0, 30.0)
    assert note == (
        "the first period, 2023-03-01, is incomplete and was left out: it begins with 2023-03-12; "
        "the last period, 2024-05-01, is incomplete and was left out: it ends with 2024-05-17"
    )


def test_both_ends_of_three_periods_are_held_against_the_one_between(tmp_path: Path) -> None:
    days = pd.date_range("2025-01-10", "2025-03-05").strftime("%Y-%m-%d")
    text = "date,y\n" + "".join(f"{day},5\n" for day in days)
    with pytest.raises(RecordError, match="one value"):
        series_of(text, tmp_path, aggregate="MS")
    days = pd.date_range("2025-01-01", "2025-03-16").strftime("%Y-%m-%d")
    dates, values, note = series_of("date,y\n" + "".join(f"{day},1\n" for day in days), tmp_path, aggregate="MS")
    assert (dates, values) == (["2025-01-01", "2025-02-01"], [31, 28])
    assert note == "the last period, 2025-03-01, is incomplete and was left out: it ends with 2025-03-16"


@pytest.mark.parametrize(
    ("first", "last", "left", "note"),
    [("2025-01-01", "2025-02-10", [31, None], "the last period, 2025-02-01"),
     ("2025-01-20", "2025-02-28", [None, 28], "the first period, 2025-01-01")],
)  # fmt: skip
def test_of_two_months_the_one_that_is_not_whole_is_left_out(
    first: str, last: str, left: list[int | None], note: str
) -> None:
    dates = micros(*pd.date_range(first, last).strftime("%Y-%m-%d"))
    found = aggregated(dates, np.ones(len(dates)), np.empty((len(dates), 0)), period_calendar("MS"), "sum")
    assert [None if np.isnan(value) else value for value in found.values] == left
    assert [text.partition(", is incomplete")[0] for text in found.notes] == [note]


def test_a_sum_with_a_value_missing_is_missing(tmp_path: Path) -> None:
    rows = [f"2025-01-{day:02d},{'' if day == 5 and part else 1}\n" for day in range(1, 15) for part in range(3)]
    dates, values, note = series_of("date,y\n" + "".join(rows), tmp_path, aggregate="D")
    assert "2025-01-05" not in dates
    assert set(values) == {3.0}
    assert note == "1 period has rows without a value, and thus no sum"


def test_a_mean_is_that_of_the_values_that_are_there(tmp_path: Path) -> None:
    rows = [f"2025-01-{day:02d},{value}\n" for day in range(1, 15) for value in ("1", "" if day == 5 else "3", "8")]
    dates, values, note = series_of("date,y\n" + "".join(rows), tmp_path, aggregate="D", aggregation="mean")
    assert (values[dates.index("2025-01-05")], values[0]) == (4.5, 4.0)
    assert (len(dates), note) == (14, None)


def test_hours_of_a_zone_with_half_an_hour_are_those_of_its_clock(tmp_path: Path) -> None:
    times = pd.date_range("2025-01-01", periods=4 * 72, freq="15min").strftime("%Y-%m-%d %H:%M")
    spec = ForecastSpec(horizon=2, aggregate="h", timezone="Asia/Kolkata")
    text = "date,y\n" + "".join(f"{time},1\n" for time in times)
    (batch,) = load_file(io.BytesIO(text.encode()), spec, Limits(), tmp_path).batches()
    assert lists_of(batch, "y")[0].tolist() == [4.0] * 72
    assert not (lists_of(batch, "ds")[0].astype(np.int64) % 3_600_000_000).any()


def test_a_regressor_goes_on_through_a_period_that_is_not_whole(tmp_path: Path) -> None:
    days = pd.date_range("2025-01-06", "2025-05-30")
    rows = "".join(f"{day:%Y-%m-%d},{'' if day > pd.Timestamp('2025-04-24') else 1},{day.month}\n" for day in days)
    spec = ForecastSpec(horizon=4, aggregate="W-MON", regressors="promo")
    (batch,) = load_file(io.BytesIO(f"date,y,promo\n{rows}".encode()), spec, Limits(), tmp_path).batches()
    assert batch.column("fault")[0].as_py() is None
    assert (
        lists_of(batch, "future")[0].astype("datetime64[us]").astype("datetime64[D]").astype(str).tolist()[0]
        == "2025-04-21"
    )


@pytest.mark.parametrize(("frequency", "period"), [("MS", "D"), ("D", "h"), ("W-MON", "D")])
def test_periods_shorter_than_the_steps_of_the_dates_are_refused(frequency: str, period: str, tmp_path: Path) -> None:
    dates = pd.date_range("2024-01-01", periods=40, freq=frequency).strftime("%Y-%m-%d")
    with pytest.raises(RecordError, match=f"nothing to add up by {period}: the dates have the frequency {frequency}"):
        series_of("date,y\n" + "".join(f"{date},1\n" for date in dates), tmp_path, aggregate=period)


def test_a_month_that_ends_like_others_is_whole(tmp_path: Path) -> None:
    text = "date,y\n" + "".join(f"2023-{month:02d}-{20 + month % 5},1\n" for month in range(1, 11))
    dates, _, note = series_of(text, tmp_path, aggregate="MS")
    assert (len(dates), note) == (10, None)


def test_a_first_month_that_begins_late_with_as_many_rows_as_others_is_whole(tmp_path: Path) -> None:
    days = [(1, "05"), *((month, "01") for month in range(2, 11))]
    text = "date,y\n" + "".join(f"2023-{m:02d}-{d},1\n2023-{m:02d}-20,1\n" for m, d in days)
    dates, values, note = series_of(text, tmp_path, aggregate="MS")
    assert (dates[0], set(values), note) == ("2023-01-01", {2.0}, None)
    dates, values, note = series_of(text.replace("2023-01-20,1\n", ""), tmp_path, aggregate="MS")
    assert (dates[0], set(values)) == ("2023-02-01", {2.0})
    assert note is not None


def test_dates_without_a_row_mean_zero_if_so_asked(tmp_path: Path) -> None:
    days = [day for day in range(1, 29) if day % 3]
    text = "date,y\n" + "".join(f"2024-01-{day:02d},{day}\n" for day in days) + "2024-01-29,\n2024-01-31,\n"
    assert series_of(text, tmp_path, frequency="D")[0] == [f"2024-01-{day:02d}" for day in days]
    dates, values, _ = series_of(text, tmp_path, frequency="D", fill_missing="zero")
    assert dates == [f"2024-01-{day:02d}" for day in range(1, 29)]
    assert values == [day if day % 3 else 0 for day in range(1, 29)]


def test_an_empty_cell_stays_missing_among_zeros(tmp_path: Path) -> None:
    text = "date,y\n" + "".join(f"2024-01-{day:02d},{'' if day == 5 else 1}\n" for day in range(1, 15) if day != 9)
    dates, values, _ = series_of(text, tmp_path, frequency="D", fill_missing="zero")
    assert "2024-01-05" not in dates
    assert values[dates.index("2024-01-09")] == 0


def test_transactions_become_a_daily_series_with_zeros(tmp_path: Path) -> None:
    text = "date,kunde,betrag\n2024-01-01,a,1\n2024-01-01,b,2\n2024-01-02,a,4\n2024-01-05,c,8\n2024-01-06,a,1\n"
    found = series_of(text, tmp_path, id_columns="none", aggregate="D", fill_missing="zero")
    assert found[0] == [f"2024-01-{day:02d}" for day in range(1, 7)]
    assert found[1] == [3, 4, 0, 0, 8, 1]


def test_filling_up_is_bounded(tmp_path: Path) -> None:
    text = "date,y\n1900-01-01,1\n1900-01-02,1\n2024-01-01,1\n"
    with pytest.raises(RecordError, match="3 rows would become more than 20,000"):
        series_of(text, tmp_path, frequency="D", fill_missing="zero")


@pytest.mark.parametrize("frequency", ["ME", "B", "2D", "C-MON", "7h", "5MS", "x"])
def test_periods_that_do_not_begin_on_their_date_are_refused(frequency: str) -> None:
    with pytest.raises(ValidationError, match=r"periods are named by the date they begin on|not a frequency"):
        ForecastSpec(aggregate=frequency)
