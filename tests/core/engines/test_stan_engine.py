from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from pipeline.core.dates.calendars import DAY
from pipeline.core.engines import stan as stan_engine
from pipeline.core.engines.stan import StanEngine, fit_and_forecast
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.load import load_file

START = np.datetime64("2023-01-01", "us").astype(np.int64)


def daily(values: np.ndarray, ahead: int = 14) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dates = START + DAY * np.arange(len(values) + ahead)
    return dates[: len(values)], values.astype(float), dates[len(values) :]


def seasonal(days: int = 200, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 50 + 0.1 * np.arange(days) + 8 * np.sin(2 * np.pi * np.arange(days) / 7) + random.normal(0, 1, days)


def frame(dates: np.ndarray, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"ds": dates.astype("datetime64[us]"), **columns})


def test_it_is_what_a_plain_prophet_script_gives() -> None:
    dates, values, future = daily(seasonal())
    forecast = fit_and_forecast(dates, values, future, {}, ForecastSpec(), 60)
    np.random.seed(stan_engine.SEED)
    plain = Prophet(interval_width=0.8).fit(frame(dates, y=values)).predict(frame(future))
    np.testing.assert_allclose(forecast.prediction, plain["yhat"], rtol=1e-9)
    np.testing.assert_allclose(forecast.lower[0], plain["yhat_lower"], rtol=0.02)
    np.testing.assert_allclose(forecast.upper[0], plain["yhat_upper"], rtol=0.02)


def test_each_option_reaches_prophet_under_its_own_name() -> None:
    dates, values, future = daily(seasonal(400))
    options = {
        "n_changepoints": 5, "changepoint_range": 0.6, "changepoint_prior_scale": 0.5, "yearly_seasonality": 3,
        "weekly_seasonality": 2, "daily_seasonality": False, "seasonality_mode": "multiplicative",
        "seasonality_prior_scale": 2.0, "holidays_prior_scale": 3.0, "holidays_mode": "additive", "scaling": "minmax",
    }  # fmt: skip
    forecast = fit_and_forecast(dates, values, future, {}, ForecastSpec(**options, country_holidays="US"), 60)
    model = Prophet(**options)
    model.add_country_holidays("US")
    plain = model.fit(frame(dates, y=values)).predict(frame(future))
    np.testing.assert_allclose(forecast.prediction, plain["yhat"], rtol=1e-9)


def test_logistic_growth_takes_cap_and_floor_from_numbers_or_columns() -> None:
    dates, values, future = daily(seasonal())
    n = len(dates) + len(future)
    by_number = fit_and_forecast(dates, values, future, {}, ForecastSpec(growth="logistic", cap=100, floor=10), 60)
    columns = {"top": np.full(n, 100.0), "bottom": np.full(n, 10.0)}
    spec = ForecastSpec(growth="logistic", cap="top", floor="bottom")
    by_column = fit_and_forecast(dates, values, future, columns, spec, 60)
    np.testing.assert_array_equal(by_number.prediction, by_column.prediction)
    history = frame(dates, y=values, cap=100.0, floor=10.0)
    plain = Prophet(growth="logistic").fit(history).predict(frame(future, cap=100.0, floor=10.0))
    np.testing.assert_allclose(by_number.prediction, plain["yhat"], rtol=1e-9)


def test_a_cap_below_the_floor_is_the_owners_fault() -> None:
    dates, values, future = daily(seasonal(50))
    columns = {"top": np.r_[np.full(60, 100.0), np.full(4, -1.0)]}
    with pytest.raises(RecordError) as refusal:
        fit_and_forecast(dates, values, future, columns, ForecastSpec(growth="logistic", cap="top"), 60)
    assert refusal.value.code == "BAD_CAPACITY"


def test_a_regressor_may_be_named_in_another_case_than_in_the_csv(tmp_path: Path) -> None:
    lines = "".join(f"2024-01-{d:02d},{d if d < 25 else ''},{d % 2}\n" for d in range(1, 29))
    spec = ForecastSpec(regressors="promo", horizon=4)
    loaded = load_file(io.BytesIO(("date,y,Promo\n" + lines).encode()), spec, Limits(), tmp_path)
    forecasts = StanEngine().forecast(next(loaded.batches()), loaded.layout.extras, spec, Limits())
    assert forecasts.column("fault").to_pylist() == [None]


def test_regressors_may_have_names_that_prophet_reserves() -> None:
    values = seasonal()
    promo = (np.arange(214) % 9 == 0).astype(float)
    dates, values, future = daily(values + 30 * promo[:200])
    spec = ForecastSpec(regressors="trend")
    forecast = fit_and_forecast(dates, values, future, {"trend": promo}, spec, 60)
    with_promo = promo[200:] == 1
    assert forecast.prediction[with_promo].mean() - forecast.prediction[~with_promo].mean() > 20


@pytest.mark.parametrize("seasonality", [False, 4])
def test_flat_growth_has_no_trend(seasonality: object) -> None:
    dates, values, future = daily(np.r_[seasonal(100), seasonal(100)])
    spec = ForecastSpec(growth="flat", weekly_seasonality=False, yearly_seasonality=seasonality)
    forecast = fit_and_forecast(dates, values, future, {}, spec, 60)
    assert np.isfinite(forecast.prediction).all()
    assert seasonality or np.ptp(forecast.prediction) < 1e-9


def test_levels_nest_and_a_second_run_is_identical() -> None:
    dates, values, future = daily(seasonal())
    spec = ForecastSpec(level="50,80,95")
    one, other = (fit_and_forecast(dates, values, future, {}, spec, 60) for _ in range(2))
    np.testing.assert_array_equal(one.lower, other.lower)
    np.testing.assert_array_equal(one.upper, other.upper)
    assert (np.diff(one.lower, axis=0) <= 0).all()
    assert (np.diff(one.upper, axis=0) >= 0).all()


def test_a_fit_that_hangs_is_stopped_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dates, values, future = daily(np.arange(60.0))  # an exact line keeps Stan busy for seconds
    with pytest.raises(RecordError) as refusal:
        fit_and_forecast(dates, values, future, {}, ForecastSpec(), 0.05)
    assert refusal.value.code == "FIT_TIMEOUT"
    assert list(tmp_path.iterdir()) == []
    assert not _children()


def test_fits_leave_no_temporary_file() -> None:
    import cmdstanpy

    before = set(Path(cmdstanpy._TMPDIR).iterdir())
    dates, values, future = daily(seasonal(60))
    for _ in range(2):
        fit_and_forecast(dates, values, future, {}, ForecastSpec(), 60)
    assert set(Path(cmdstanpy._TMPDIR).iterdir()) == before


def _children() -> list[str]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    pids = path.read_text().split() if path.exists() else []
    names = [Path(f"/proc/{pid}/comm") for pid in pids]
    return [name.read_text() for name in names if name.exists() and "prophet" in name.read_text()]


@pytest.mark.parametrize(
    "values",
    [
        np.full(30, 7.0), np.zeros(30), np.array([1.0, 2.0]), 1e9 + np.random.default_rng(0).normal(size=60),
        seasonal(60) * 1e300, seasonal(60) * 1e-200, np.r_[seasonal(60), 1e6], np.r_[np.zeros(29), 1e308],
    ],
    ids=["constant", "zero", "two", "offset", "huge", "tiny", "spike", "1e308"],
)  # fmt: skip
def test_hostile_values_give_finite_forecasts(values: np.ndarray) -> None:
    dates, values, future = daily(values, ahead=3)
    forecast = fit_and_forecast(dates, values, future, {}, ForecastSpec(), 60)
    assert np.isfinite(forecast.prediction).all()
    assert np.isfinite(forecast.lower).all()
    assert (forecast.lower <= forecast.upper).all()


@pytest.mark.parametrize("year", [1700, 2300])
def test_years_beyond_nanoseconds_are_forecast_like_any_other(year: int) -> None:
    values = seasonal(140)
    _, _, future = daily(values)
    near = fit_and_forecast(*daily(values), {}, ForecastSpec(), 60)
    # a shift by whole weeks changes nothing in a model that has a weekly season only
    weeks = round((year - 2023) * 365.2425 / 7)
    dates, _, future = (part + weeks * 7 * DAY if part.dtype == np.int64 else part for part in daily(values))
    far = fit_and_forecast(dates, values, future, {}, ForecastSpec(), 60)
    # not to the last digit: Stan stops before its optimum, at a place that rounding decides
    np.testing.assert_allclose(far.prediction, near.prediction, rtol=5e-3)
