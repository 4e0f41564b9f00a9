from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dropcast
from pipeline import cli
from pipeline.core.dates.calendars import DAY
from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.members import autoregression, combination, counts, seasonality, smoothing, theta
from pipeline.core.members.backtest import cutoffs
from pipeline.core.members.forecast import CombinedForecast, forecast_series
from pipeline.core.members.gaps import filled, on_calendar
from pipeline.core.members.history import History
from pipeline.core.members.pace import FINER, MONTHLY, YEARLY, Pace, pace_of
from pipeline.folder.query import connect

YEARS, MONTHS, WEEKS = Pace(YEARLY, 1, 0, 0), Pace(MONTHLY, 12, 0, 0), Pace(FINER, 1, 52, 13)
DAYS, HOURS = Pace(FINER, 7, 364, 28), Pace(FINER, 24, 168, 672)
PACES = {"years": YEARS, "months": MONTHS, "weeks": WEEKS, "days": DAYS, "hours": HOURS}
LEVELS = (50.0, 80.0, 90.0, 95.0)
WriteCsv = Callable[..., Path]


def made(n: int, season: int, seed: int = 0) -> np.ndarray:
    """A level that wanders, a season, and noise."""
    random, t = np.random.default_rng(seed), np.arange(n)
    return (
        100 + np.cumsum(random.normal(0, 1, n)) + 10 * np.sin(2 * np.pi * t / max(season, 2)) + random.normal(0, 1, n)
    )


def history(y: np.ndarray, pace: Pace, horizon: int) -> History:
    """Only weekly series need the dates, for the members of Prophet's model."""
    dates = 19_000 * DAY + 7 * DAY * np.arange(len(y) + horizon)
    return History(y, y, pace, dates, pace.season)


def forecast_of(y: np.ndarray, pace: Pace, horizon: int, levels: tuple[float, ...] = (80.0,)) -> CombinedForecast:
    return forecast_series(history(y, pace, horizon), horizon, levels)


ODD = {
    "constant": np.full(60, 7.0),
    "all zero": np.zeros(60),
    "two values": np.array([3.0, 5.0]),
    "seven values": np.array([3.0, 5.0, 4.0, 6.0, 5.0, 7.0, 6.0]),
    "negative": -made(80, 12),
    "around zero": made(80, 12) - 100,
    "huge": 1e300 * (5 + np.sin(np.arange(80))),
    "both ends": 1e307 * np.sign(np.sin(np.arange(80))),
    "tiny": 1e-300 * (5 + np.sin(np.arange(80))),
    "one outlier": np.where(np.arange(80) == 60, 1e6, made(80, 12)),
    "outlier at the end": np.append(made(79, 12), 1e6),
    "level shift": np.where(np.arange(80) < 40, 10.0, 1000.0) + made(80, 12) / 100,
    "exact season": np.tile(np.arange(12.0), 8),
    "intermittent": np.where(np.arange(80) % 9 == 0, 4.0, 0.0),
    "exponential": np.exp(np.arange(80) / 4),
    "explodes": np.exp(np.arange(80) * 4.0),
}


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("name", ODD)
def test_odd_series_have_a_finite_forecast_within_bounds(name: str, pace: str) -> None:
    y = ODD[name]
    found = forecast_of(y, PACES[pace], 24, LEVELS)
    assert np.isfinite(found.prediction).all()
    assert np.isfinite([found.lower, found.upper]).all()
    assert (found.lower <= found.upper).all()
    assert (np.diff(found.lower, axis=0) <= 0).all(), "a higher level has a wider interval"
    assert (np.diff(found.upper, axis=0) >= 0).all(), "a higher level has a wider interval"
    assert (found.lower >= 0).all() or y.min() < 0
    with np.errstate(over="ignore"):
        low, high = y.min() - np.ptp(y), y.max() + np.ptp(y)
    tolerance = 1e-9 * np.abs(y).max()
    assert (found.prediction >= low - tolerance).all()
    assert (found.prediction <= high + tolerance).all()
    assert (found.prediction >= 0).all() or y.min() < 0
    assert sum(found.weights.values()) == pytest.approx(1)


@settings(max_examples=60)
@given(
    n=st.integers(2, 400),
    horizon=st.integers(1, 60),
    pace=st.sampled_from(sorted(PACES)),
    seed=st.integers(0, 10_000),
    scale=st.integers(-40, 40),
)
def test_a_forecast_follows_the_unit_of_its_values(n: int, horizon: int, pace: str, seed: int, scale: int) -> None:
    y = made(n, PACES[pace].season, seed)
    one = forecast_of(y, PACES[pace], horizon)
    other = forecast_of(y * 2.0**scale, PACES[pace], horizon)
    np.testing.assert_array_equal(other.prediction, one.prediction * 2.0**scale)
    np.testing.assert_array_equal(other.upper, one.upper * 2.0**scale)
    assert other.weights == one.weights


@pytest.mark.parametrize("pace", ["months", "days"])
def test_an_exact_season_goes_on(pace: str) -> None:
    season = PACES[pace].season
    y = np.tile(50 + np.arange(season, dtype=float) ** 2, 12)
    found = forecast_of(y, PACES[pace], 2 * season)
    np.testing.assert_allclose(found.prediction, np.tile(y[:season], 2), rtol=1e-3)


def test_a_line_goes_on_for_yearly_values() -> None:
    y = 100 + 5.0 * np.arange(40)
    found = forecast_of(y, YEARS, 6)
    np.testing.assert_allclose(found.prediction, 100 + 5.0 * np.arange(40, 46), rtol=0.01)


def frame(count: int = 6) -> pd.DataFrame:
    dates = pd.date_range("2015-01-01", periods=100, freq="MS")
    parts = [pd.DataFrame({"unique_id": f"s{i}", "ds": dates, "y": made(100, 12, i)}) for i in range(count)]
    return pd.concat(parts, ignore_index=True)


def test_a_series_has_the_same_forecast_alone_and_in_any_company() -> None:
    data = frame()
    together = dropcast.forecast(data, model="auto", horizon=12)
    shuffled = data.set_index("unique_id").loc[["s4", "s0", "s5", "s2", "s1", "s3"]].reset_index()
    others = dropcast.forecast(shuffled, model="auto", horizon=12)
    for name, one in data.groupby("unique_id"):
        alone = dropcast.forecast(one, model="auto", horizon=12)
        columns = [column for column in alone.columns if column != "unique_id"]
        for company in (together, others):
            same = company[company.unique_id == name].reset_index(drop=True)[columns]
            pd.testing.assert_frame_equal(same, alone.reset_index(drop=True)[columns], check_exact=True)


def test_it_is_better_than_prophet_where_the_level_wanders() -> None:
    data = frame(30)
    past = data.groupby("unique_id").head(88)
    actual = data.groupby("unique_id").tail(12).y.to_numpy()
    errors = {
        model: np.abs(dropcast.forecast(past, model=model, horizon=12, level=[80]).Dropcast.to_numpy() - actual).mean()
        for model in ("auto", "prophet")
    }
    assert errors["auto"] < 0.9 * errors["prophet"], errors


@pytest.mark.parametrize(
    ("frequency", "rows", "pace"),
    [
        ("YE", 40, YEARS), ("QS", 40, Pace(MONTHLY, 4, 0, 0)), ("MS", 60, MONTHS), ("MS", 20, Pace(MONTHLY, 1, 0, 0)),
        ("W-SUN", 200, WEEKS), ("D", 200, DAYS), ("B", 200, Pace(FINER, 5, 260, 20)), ("h", 500, HOURS),
        ("15min", 500, Pace(FINER, 96, 672, 2688)), ("7min", 500, Pace(FINER, 1, 0, 28)),
        ("2W", 90, Pace(FINER, 1, 26, 6)), ("2B", 200, Pace(FINER, 1, 0, 4)), ("4h", 10, Pace(FINER, 1, 0, 168)),
         ("5MS", 40, Pace(MONTHLY, 1, 0, 0)),
    ],
)  # fmt: skip
def test_the_calendar_says_how_often_a_series_has_a_value(frequency: str, rows: int, pace: Pace) -> None:
    assert pace_of(parse_frequency(frequency), rows) == pace


def test_gaps_are_filled_by_the_seasons_beside_them_and_else_in_a_line() -> None:
    values = np.array([1.0, 2, 3, 4, 5, np.nan, 7, 8, 9, np.nan, np.nan, 12, 13, 14])
    np.testing.assert_allclose(filled(values, 4), [1, 2, 3, 4, 5, 2, 7, 8, 9, 14, 7, 12, 13, 14])
    np.testing.assert_allclose(filled(values, 1), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])


def test_values_are_put_on_all_dates_of_their_calendar() -> None:
    dates = pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-05", "2024-01-08"]).as_unit("us").asi8
    y = np.arange(4.0)
    days = on_calendar(parse_frequency("D"), dates, y)
    np.testing.assert_array_equal(days, [0, 1, np.nan, np.nan, 2, np.nan, np.nan, 3])
    np.testing.assert_array_equal(on_calendar(parse_frequency("B"), dates, y), [0, 1, np.nan, np.nan, 2, 3])


def test_a_history_with_a_few_gaps_has_nearly_the_forecast_of_the_whole() -> None:
    dates = pd.date_range("2023-01-01", periods=300)
    data = pd.DataFrame({"ds": dates, "y": made(300, 7)})
    kept = data[np.random.default_rng(1).random(300) > 0.05]
    assert 270 < len(kept) < 300
    whole, gappy = (dropcast.forecast(part, model="auto", horizon=14).yhat for part in (data, kept))
    assert np.abs(whole.to_numpy() - gappy.to_numpy()).max() < 5


@pytest.mark.parametrize(
    ("n", "horizon", "pace", "expected"),
    [
        (120, 12, MONTHS, [120, 114, 108, 102, 96, 90, 84]),
        (50, 12, MONTHS, [50, 44, 38, 32, 26]),
        (20, 6, YEARS, [20, 17, 14, 11]),
        (365, 28, DAYS, [365, 337, 309, 281, 253, 225]),
        (120, 13, MONTHS, [120, 113, 106, 99, 92, 85, 78]),  # the second next is a horizon away or more
        (10, 12, MONTHS, [10]),
        (2, 100, DAYS, [2]),
    ],
)
def test_cutoffs_leave_enough_history(n: int, horizon: int, pace: Pace, expected: list[int]) -> None:
    assert cutoffs(n, horizon, pace).tolist() == expected


def test_the_season_of_a_series_is_found_only_if_it_has_one() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 120)
    assert not seasonality.is_seasonal(noise, 12)
    season = np.sin(2 * np.pi * np.arange(120) / 12)
    assert seasonality.is_seasonal(noise + 3 * season, 12)
    np.testing.assert_allclose(seasonality.seasonal_indices(5 + season, 12, False), season[:12], atol=1e-9)
    np.testing.assert_allclose(
        seasonality.seasonal_indices(5 * (1 + season / 2), 12, True), 1 + season[:12] / 2, atol=0.02
    )


def test_an_autoregression_is_recovered() -> None:
    random = np.random.default_rng(0)
    x = np.zeros(2000)
    for i in range(1, len(x)):
        x[i] = 0.8 * x[i - 1] + random.normal()
    out = np.empty(5)
    assert autoregression.forecast(x + 10, 5, out) >= 1
    np.testing.assert_allclose(out - 10, x[-1] * 0.8 ** np.arange(1, 6), atol=0.15)


def test_holt_winters_follows_a_trend_and_season_without_noise() -> None:
    t, season = np.arange(72), 10 * np.sin(2 * np.pi * np.arange(72) / 12)
    y = 50 + 2.0 * t + season
    series = smoothing.Smoothing(y, smoothing.ADDITIVE, season[:12], 50 - 2.0, 2.0)
    parameters, out = np.array([0.3, 0.1, 0.1, 1.0]), np.empty(12)
    squares, _, _ = smoothing.smooth(series, parameters, np.empty(12))
    assert squares == pytest.approx(0, abs=1e-18)
    smoothing.forecast(series, parameters, out)
    np.testing.assert_allclose(out, 50 + 2.0 * np.arange(72, 84) + season[:12])


def test_theta_of_a_line_is_the_line_at_half_its_slope_or_more() -> None:
    y, parameters, out = 3 + 0.5 * np.arange(60), np.empty(2), np.empty(8)
    theta.search(y, parameters)
    theta.forecast(y, parameters, out)
    rises = np.diff(np.concatenate([y[-1:], out]))
    assert (rises > 0.2).all()
    assert (rises < 0.55).all()


def test_counts_with_many_zeros_have_the_mean_of_four_levels_and_whole_numbers_for_ends() -> None:
    random = np.random.default_rng(3)
    y = np.where(random.random(60) < 0.3, random.poisson(3, 60), 0).astype(float)
    assert np.mean(y == 0) > counts.MIN_ZEROS
    found = forecast_of(y, MONTHS, 6, LEVELS)
    assert list(found.weights) == list(counts.MEMBERS)
    np.testing.assert_allclose(found.prediction, np.mean(counts.levels(y)))
    assert counts.levels(y)[0] == pytest.approx(y.mean())
    assert counts.levels(y)[1] == pytest.approx(y[-12:].mean())
    assert (found.upper == np.floor(found.upper)).all()
    assert not counts.has_many_zeros(y + 0.5, 12)
    assert not counts.has_many_zeros(np.zeros(60), 12)
    assert not counts.has_many_zeros(-y, 12)


@pytest.mark.parametrize(
    ("mean", "overdispersion"), [(0.3, 0.0), (4.0, 0.0), (0.5, 2.0), (30.0, 0.5), (900.0, 0.0), (3000.0, 0.001)]
)
@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9, 0.999])
def test_quantiles_of_counts_are_those_of_many_draws(mean: float, overdispersion: float, probability: float) -> None:
    random = np.random.default_rng(0)
    rates = random.gamma(1 / overdispersion, overdispersion * mean, 400_000) if overdispersion else mean
    draws = random.poisson(rates, 400_000)
    found = counts.quantile(mean, overdispersion, probability)
    assert np.mean(draws <= found) >= probability - 0.003
    assert found == 0 or np.mean(draws <= found - 1) < probability + 0.003


def test_the_command_says_which_model_it_was(
    write_csv: WriteCsv, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"{day:%Y-%m-%d},{value:.2f}"
        for day, value in zip(pd.date_range("2018-01-01", periods=60, freq="MS"), made(60, 12), strict=True)
    ]
    path = write_csv("in/sales.csv", "month,sales\n" + "\n".join(rows) + "\n")
    assert cli.main(["forecast", str(path), f"--output={tmp_path}/out", "--model=auto", "--horizon=6"]) == 0
    with (tmp_path / "out/sales.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    (table,) = (tmp_path / "out/_dropcast/forecasts").glob("*.parquet")
    assert set(pq.read_table(table).column("model").to_pylist()) == {"auto 1"}
    assert "MASE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", [{"growth": "flat"}, {"regressors": "promo"}, {"components": True}, {"engine": "stan"}]
)
def test_options_of_prophets_model_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} is for model=prophet"):
        dropcast.forecast(frame(1), model="auto", **options)


def test_backtests_are_a_table_with_a_view_of_each_models_accuracy(write_csv: WriteCsv, tmp_path: Path) -> None:
    days = pd.date_range("2018-01-01", periods=60, freq="MS")
    values = {name: made(60, 12, seed) for seed, name in enumerate("ab")}
    rows = [f"{name},{days[i]:%Y-%m-%d},{values[name][i]:.2f}\n" for name in values for i in range(60)]
    path = write_csv("in/sales.csv", "shop,month,sales\n" + "".join(rows))
    command = ["forecast", str(path), f"--output={tmp_path}/out", "--model=auto", "--horizon=6", "--level=80,95"]
    for _ in range(2):  # again gives the same rows, once
        assert cli.main(command) == 0
        tables = connect(tmp_path / "out")
        per_series = tables.sql(
            "SELECT series_id, count(*), min(cutoffs), max(cutoffs), sum(weight) FROM accuracy"
            " WHERE model <> 'auto' GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert per_series == [(name, 8, 6, 6, pytest.approx(1)) for name in "ab"]
        combined = tables.sql("SELECT confidence_level, mase, coverage FROM accuracy WHERE model = 'auto'").fetchall()
        assert sorted(level for level, _, _ in combined) == [0.8, 0.8, 0.95, 0.95]
        assert all(mase > 0 and 0 <= inside <= 1 for _, mase, inside in combined)
    ((notes,),) = tables.sql("SELECT notes FROM latest_receipts").fetchall()
    assert "mean weights: " in notes
    assert cli.main([*command, "--model=prophet"]) == 0
    assert connect(tmp_path / "out").sql("SELECT * FROM accuracy").fetchall() == [], "prophet has no backtests"


@pytest.mark.parametrize("pace", ["months", "days"])
def test_the_weights_at_a_cutoff_do_not_know_what_came(pace: str) -> None:
    """Held-out errors are those of a combination whose weights do not know their window, nor those that overlap it."""
    random, n, horizon = np.random.default_rng(0), 200, 10
    y, ends = random.normal(0, 1, n), cutoffs(n, horizon, PACES[pace])
    members = random.normal(0, 1, (len(ends), 3, horizon))
    usable = np.ones(3, bool)
    _, _, residuals = combination.combined(y, ends, members, usable, PACES[pace])
    assert len(residuals) == (6 if pace == "months" else 5)
    for w in range(len(residuals)):
        start = ends[w + 1]
        other = y.copy()
        other[start : start + horizon] += random.normal(0, 50, len(other[start : start + horizon]))
        _, _, changed = combination.combined(other, ends, members, usable, PACES[pace])
        forecast = y[start : start + horizon] - residuals[w][: n - start]
        again = other[start : start + horizon] - changed[w][: n - start]
        np.testing.assert_allclose(forecast, again, atol=1e-9)
        others = [v for v in range(len(residuals)) if abs(v - w) > 1]
        assert any(not np.allclose(residuals[v], changed[v], equal_nan=True) for v in others), "other windows know it"


def test_two_or_three_values_are_forecast_near_the_last() -> None:
    for values in ([1.0, 100], [1, 100, 110], [1, 2, 4]):
        y, parameters, out = np.array(values, float), np.empty(2), np.empty(3)
        theta.search(y, parameters)
        theta.forecast(y, parameters, out)
        assert (abs(out - y[-1]) < abs(out - y[0])).all()


def test_zeros_that_come_with_the_season_are_not_a_rate() -> None:
    random, hours = np.random.default_rng(0), np.arange(42 * 24)
    y = np.where((hours % 24 >= 9) & (hours % 24 < 20), random.poisson(200, len(hours)), 0).astype(float)
    assert np.mean(y == 0) > counts.MIN_ZEROS
    found = forecast_of(y, HOURS, 24)
    assert found.prediction[:9].max() < 20, "closed"
    assert found.prediction[10:19].min() > 150
    assert not counts.has_many_zeros(np.where(random.random(60) < 0.3, 20_000.0, 0.0), 1), "quantities, not counts"


def test_a_constant_is_forecast_as_itself() -> None:
    for value in (5.0, -7.1, 0.3):
        for pace in PACES.values():
            assert (forecast_of(np.full(60, value), pace, 5).prediction == value).all()


def test_newer_errors_count_more_for_the_intervals() -> None:
    calibration = combination.Calibration(0.0, (1.0,) * 4, (1.0,) * 4)
    small, large = np.full((3, 10), 1.0), np.full((3, 10), 9.0)
    newest, oldest = np.concatenate([large, small]), np.concatenate([small, large])
    widths = [combination.half_widths(errors, 1e9, 1.0, calibration, (0.5,))[0, 0] for errors in (newest, oldest)]
    assert widths[0] > widths[1]
    alike = np.arange(60.0).reshape(1, 60)
    alike[0, 30:] = np.nan  # not known
    (width,) = combination.half_widths(alike, 1e9, 1.0, calibration, (0.5,))
    assert width[0] == pytest.approx(14.5, rel=1e-6), "the median of 0 to 29"
