from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from prophet import Prophet

from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.prophet_objective import native_parameters, objective, stan_parameters
from pipeline.core.engines.stan import _condition_name, _regressor_name
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.model.exchange.prophet_object import prophet_model
from pipeline.core.model.fit import fit
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.histories import Histories
from pipeline.core.model.intervals.of_forecast import intervals
from pipeline.core.model.predict import predict
from pipeline.core.series.arrow_lists import lists_of, number_lists, timestamp_lists
from pipeline.core.series.batch import series_schema
from tests.made_series import CASES, DAY, dates, extras_for, histories, sales


def forecast_of_one(spec: ForecastSpec, y: np.ndarray, extras: dict[str, np.ndarray]) -> pa.RecordBatch:
    """Forecast one daily series, `extras` on its days and on those of the horizon."""
    days = 19_000 * DAY + DAY * np.arange(len(y) + spec.horizon, dtype=np.int64)
    columns = {
        "series_id": pa.array(["y"]), "ids": pa.array([[]], pa.list_(pa.string())), "frequency": pa.array(["D"]),
        "ds": timestamp_lists([days[: len(y)]]), "y": number_lists([y]), "future": timestamp_lists([days[len(y) :]]),
        **{f"extra_{name}": number_lists([numbers]) for name, numbers in extras.items()},
        "note": pa.nulls(1, pa.string()), "fault": pa.nulls(1, pa.string()),
    }  # fmt: skip
    batch = pa.record_batch(columns, schema=series_schema(tuple(extras)))
    return engine_named("native").forecast(batch, tuple(extras), spec, Limits())


def all_regressors(spec: ForecastSpec) -> np.ndarray:
    return np.ones(len(spec.regressors), np.bool_)


def prophet_of(spec: ForecastSpec, ds: np.ndarray, y: np.ndarray, extras: dict[str, np.ndarray]) -> Prophet:
    """Return Prophet's own model, fitted by Stan."""
    logging.getLogger("cmdstanpy").disabled = True
    model = prophet_model(spec, _regressor_name, _condition_name)
    frame = pd.DataFrame({"ds": ds.astype("datetime64[us]"), "y": y, **frame_columns(spec, extras)})
    model.fit(frame, seed=0)
    return model


def frame_columns(spec: ForecastSpec, extras: dict[str, np.ndarray]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, option in (("cap", spec.cap), ("floor", spec.floor)):
        if option is not None:
            columns[name] = extras[option] if isinstance(option, str) else option
    for i, regressor in enumerate(spec.regressors):
        columns[f"regressor_{i}"] = extras[regressor.name]
    for seasonality in spec.seasonalities:
        if seasonality.condition_name is not None:
            columns[f"condition_{seasonality.condition_name}"] = extras[seasonality.condition_name] != 0
    return columns


@pytest.mark.parametrize("case", CASES)
def test_the_objective_is_at_or_below_stans_and_the_forecast_is_prophets_own(case: str) -> None:
    spec = ForecastSpec(**CASES[case])
    n, h = 800, 28
    ds, future = np.split(dates("2021-12-01", n + h, "D"), [n])
    extras = extras_for(n + h)
    used = {name: extras[name] for name in spec.extra_columns()}
    y = sales(n) + 8 * extras["promo"][:n] * ("regressors" in CASES[case])
    past, ahead = ({name: column[part] for name, column in used.items()} for part in (slice(n), slice(n, None)))
    fitted = fit(histories((ds, y), **{name: [column] for name, column in past.items()}), spec)[0]

    model = prophet_of(spec, ds, y, past)
    ours, theirs = (
        objective(model, spec, values)
        for values in (native_parameters(fitted, 0, all_regressors(spec)), stan_parameters(model, fitted.beta.shape[1]))
    )
    smooth = spec.growth != "logistic" and not any("multiplicative" in str(value) for value in CASES[case].values())
    assert ours <= theirs + (1e-6 if smooth else 1e-3)

    prediction = predict(fitted, future[None], {name: column[None] for name, column in ahead.items()})
    put_into(model, fitted)
    frame = pd.DataFrame({"ds": future.astype("datetime64[us]"), **frame_columns(spec, ahead)})
    expected = model.predict(frame)
    np.testing.assert_allclose(prediction.yhat[0], expected["yhat"], rtol=1e-9)
    np.testing.assert_allclose(prediction.trend[0], expected["trend"], rtol=1e-9)


def put_into(model: Prophet, fitted: FittedSeries) -> None:
    model.params = {
        "k": fitted.k[:, None], "m": fitted.m[:, None], "delta": fitted.delta,
        "beta": fitted.beta if fitted.beta.shape[1] else np.zeros((1, 1)), "sigma_obs": fitted.sigma_obs[:, None],
    }  # fmt: skip
    model.uncertainty_samples = 0


@pytest.mark.parametrize("case", ["plain", "multiplicative", "logistic", "flat", "loose"])
@pytest.mark.parametrize("frequency", ["D", "MS"])
def test_intervals_are_those_of_prophets_own_sampler(case: str, frequency: str) -> None:
    spec = ForecastSpec(**CASES[case], level="50,80,95")
    n, h = (500, 40) if frequency == "D" else (60, 12)
    ds, future = np.split(dates("2020-01-01", n + h, frequency), [n])
    y = sales(n)
    fitted = fit(histories((ds, y)), spec)[0]
    prediction = predict(fitted, future[None], {})
    lower, upper = intervals(fitted, prediction, spec.level)

    model = prophet_of(spec, ds, y, {})
    put_into(model, fitted)
    frame = pd.DataFrame({"ds": future.astype("datetime64[us]"), **frame_columns(spec, {})})
    np.random.seed(0)
    model.uncertainty_samples = 20_000
    paths = model.predictive_samples(frame)["yhat"]
    for i, level in enumerate(spec.level):
        low, high = np.percentile(paths, [(100 - level) / 2, (100 + level) / 2], axis=1)
        width = high - low
        assert np.abs((upper[i, 0] - lower[i, 0]) / width - 1).max() < 0.06  # the sampler's own error
        assert abs(np.mean((upper[i, 0] - lower[i, 0]) / width) - 1) < 0.01
        assert np.abs((lower[i, 0] - low) / width).max() < 0.05


def test_a_series_that_cannot_be_computed_does_not_touch_its_neighbours() -> None:
    ds = dates("2024-01-01", 60, "D")
    future = ds[-1] + DAY * np.arange(1, 29)
    overflowing = 1.7e308 * np.where(np.arange(60) % 2, 1, -1)
    batch = pa.record_batch(
        [
            pa.array(["good", "bad"]), pa.array([["good"], ["bad"]], pa.list_(pa.string())), pa.array(["D", "D"]),
            timestamp_lists([ds, ds]), number_lists([sales(60), overflowing]), timestamp_lists([future, future]),
            pa.nulls(2, pa.string()), pa.nulls(2, pa.string()),
        ],
        schema=series_schema(()),
    )  # fmt: skip
    forecasts = engine_named("native").forecast(batch, (), ForecastSpec(scaling="minmax"), Limits())
    assert forecasts.column("fault")[0].as_py() is None
    assert "FIT_FAILED" in forecasts.column("fault")[1].as_py()
    assert np.isfinite(lists_of(forecasts, "yhat")[0]).all()


@pytest.mark.parametrize("engine", ["native", "stan"])
def test_any_number_but_0_meets_a_condition(engine: str) -> None:
    n, h = 60, 7
    ds, future = np.split(dates("2024-01-01", n + h, "D"), [n])
    results = []
    for value in (1.0, 2.0):
        gate = np.where(np.arange(n + h) % 3 == 0, value, 0.0)
        columns = [
            pa.array(["a"]), pa.array([["a"]], pa.list_(pa.string())), pa.array(["D"]), timestamp_lists([ds]),
            number_lists([sales(n)]), timestamp_lists([future]), number_lists([gate]),
            pa.nulls(1, pa.string()), pa.nulls(1, pa.string()),
        ]  # fmt: skip
        spec = ForecastSpec(
            engine=engine, horizon=h, score=False,
            seasonalities='[{"name":"x","period":7,"fourier_order":2,"condition_name":"on"}]',
        )  # fmt: skip
        batch = pa.record_batch(columns, schema=series_schema(("on",)))
        results.append(lists_of(engine_named(engine).forecast(batch, ("on",), spec, Limits()), "yhat")[0])
    assert (results[0] == results[1]).all()


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
@pytest.mark.parametrize(("past", "later"), [(1.0, 0.0), (9.99, 8.99), (0.0, 1.0), (-3.0, -3.0)])
def test_a_regressor_that_never_changes_has_no_effect_and_a_note_if_it_changes_later(
    past: float, later: float, mode: str
) -> None:
    y = 100 + 10 * np.sin(np.arange(60) * 2 * np.pi / 7) + np.random.default_rng(0).normal(0, 1, 60)
    plain = ForecastSpec(horizon=5, score=False)
    spec = ForecastSpec(horizon=5, score=False, regressors=[{"name": "promo", "mode": mode}])

    found = forecast_of_one(spec, y, {"promo": np.r_[np.full(60, past), np.full(5, later)]})
    alone = forecast_of_one(plain, y, {})
    for name in ("yhat", "lower_0", "upper_0"):
        np.testing.assert_allclose(lists_of(found, name)[0], lists_of(alone, name)[0], rtol=1e-9)
    (note,) = found.column("note").to_pylist()
    assert (note is None) == (past == later)
    assert note is None or note.startswith("promo never changes in the history")


@pytest.mark.parametrize("days", [5, 6], ids=["Monday to Friday", "Monday to Saturday"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_multiplicative_season_on_some_weekdays_is_climbed_to_its_top(seed: int, days: int) -> None:
    random = np.random.default_rng(seed)
    every = pd.date_range("2021-01-04", periods=900)
    ds = every[every.dayofweek < days]
    level = 1000 * np.exp(np.cumsum(random.normal(0, 0.01, len(ds))))
    y = level * (1 + 0.3 * np.sin(ds.dayofweek * 1.3)) * random.lognormal(0, 0.02, len(ds))
    spec = ForecastSpec(seasonality_mode="multiplicative", country_holidays=None)
    dates = ds.to_numpy().astype("datetime64[us]").astype(np.int64)
    fitted = fit(Histories(np.array([0, len(dates)]), dates, np.asarray(y)), spec)[0]
    model = prophet_model(spec, _regressor_name, _condition_name)
    model.fit(pd.DataFrame({"ds": ds, "y": y}))
    ours = objective(model, spec, native_parameters(fitted, 0, all_regressors(spec)))
    theirs = objective(model, spec, stan_parameters(model, fitted.beta.shape[1]))
    assert ours <= theirs + 1e-3


@pytest.mark.parametrize("scaling", ["minmax", "absmax"])
@pytest.mark.parametrize("seed", range(6))
def test_a_logistic_fit_does_not_depend_on_where_zero_is(seed: int, scaling: str) -> None:
    random = np.random.default_rng(seed)
    ds = dates("2012-05-18", 255, "D")
    walk = 30 + np.cumsum(random.normal(0, 0.8, 255)) + 2 * np.sin(np.arange(255) * 2 * np.pi / 7)
    y = np.clip(walk, 12, 78)
    objectives = []
    for shift in (0.0, 10.0, 1000.0):
        spec = ForecastSpec(growth="logistic", cap=80 + shift, floor=10 + shift, scaling=scaling)
        fitted = fit(histories((ds, y + shift)), spec)[0]
        model = prophet_of(spec, ds, y + shift, {})
        ours = objective(model, spec, native_parameters(fitted, 0, all_regressors(spec)))
        assert ours <= objective(model, spec, stan_parameters(model, fitted.beta.shape[1])) + 1e-3
        objectives.append(ours)
    np.testing.assert_allclose(objectives, objectives[0], atol=1e-3)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (lambda promo, noise: 1 - promo, "the effects of promo, other cannot be told apart (condition number inf)"),
        (lambda promo, noise: promo + 0.01 * noise, "the effects of promo, other cannot be told apart"),
        (lambda promo, noise: noise, None),
    ],
    ids=["one-hot pair", "nearly the same", "another"],
)
def test_regressors_that_move_together_are_named_in_a_note(second: Any, told: str | None) -> None:
    random = np.random.default_rng(3)
    promo, noise = (random.random(65) < 0.3).astype(float), random.normal(0, 1, 65)
    spec = ForecastSpec(regressors="promo,other", horizon=5, score=False)
    extras = {"promo": promo, "other": second(promo, noise)}
    (note,) = forecast_of_one(spec, sales(60), extras).column("note").to_pylist()
    assert (note is None) == (told is None)
    assert told is None or note.startswith(told)
