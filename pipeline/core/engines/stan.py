"""The reference engine: the prophet package, made deterministic, bounded in time, and leaving no file behind."""

from __future__ import annotations

import logging
import threading
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from cmdstanpy.utils import get_logger

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import Dates
from pipeline.core.engines.fit_cost import fit_timeout
from pipeline.core.engines.forecast_batch import Forecasts, forecast_batch
from pipeline.core.engines.refusals import bad_capacity, changepoints_outside
from pipeline.core.errors import RecordError, shorten
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.model.design.structure import given_changepoints
from pipeline.core.model.exchange.prophet_object import prophet_model
from pipeline.core.scratch import scratch_folder
from pipeline.core.series.arrow_lists import lists_of

SEED = 0  # Prophet simulates its intervals; a fixed seed makes a rerun byte-identical
_UNFITTABLE = (RuntimeError, ValueError, np.linalg.LinAlgError, OverflowError)
_SAMPLING = threading.Lock()  # Prophet draws from NumPy's one global generator

get_logger().setLevel(logging.ERROR)  # cmdstanpy logs each fit's start and end
logging.getLogger("prophet").setLevel(logging.ERROR)


class SeriesForecast(NamedTuple):
    """The forecast of one series: prediction and components of shape (h,), ends of intervals of shape (levels, h)."""

    prediction: Floats
    lower: Floats
    upper: Floats
    components: dict[str, Floats]


class StanEngine:
    """Fits each series separately with prophet.Prophet, whose optimizer is Stan's L-BFGS."""

    model = f"stan prophet {version('prophet')}"

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        """Forecast a block; see engine.Engine."""
        forecasts = Forecasts.empty(len(series), spec)
        faults = {}
        columns = [lists_of(series, name) for name in ("ds", "y", "future")]
        numbers = [lists_of(series, f"extra_{name}") for name in extras]
        known = series.column("fault").to_pylist()
        for i, (dates, values, future) in enumerate(zip(*columns, strict=True)):
            if known[i] is not None:
                faults[i] = RecordError.from_json(known[i])
                continue
            try:
                # by the spec's names: those in the CSV may differ in case
                frame = {name: column[i] for name, column in zip(spec.extra_columns(), numbers, strict=True)}
                one = fit_and_forecast(dates, values, future, frame, spec, limits.max_fit_seconds)
                forecasts.prediction[i], forecasts.lower[:, i], forecasts.upper[:, i] = one[:3]
                for name, component in one.components.items():
                    forecasts.components[name][i] = component
            except RecordError as error:
                faults[i] = error
        return forecast_batch(series, forecasts, faults, spec)


def fit_and_forecast(
    dates: Dates, values: Floats, future: Dates, extras: dict[str, Floats], spec: ForecastSpec, seconds: float
) -> SeriesForecast:
    """Fit one series and forecast it.

    Args:
        dates: microseconds, shape (n,).
        values: shape (n,), all finite.
        future: dates to forecast, shape (h,).
        extras: columns of shape (n + h,): history, then future.
        spec: Prophet's parameters.
        seconds: how long Stan may take.

    Raises:
        RecordError: FIT_TIMEOUT, FIT_FAILED or BAD_CAPACITY.
    """
    model, ahead = fitted_prophet(dates, values, future, extras, spec, seconds)
    try:
        return _predict(model, ahead, spec)
    except _UNFITTABLE as error:
        raise _fit_failed(error) from error


def fitted_prophet(
    dates: Dates, values: Floats, future: Dates, extras: dict[str, Floats], spec: ForecastSpec, seconds: float
) -> tuple[Any, pd.DataFrame]:
    """Return a fitted prophet.Prophet, and the frame of the dates to forecast; see fit_and_forecast.

    Raises:
        RecordError: FIT_TIMEOUT, FIT_FAILED or BAD_CAPACITY.
    """
    past = len(dates)
    frame = pd.DataFrame({"ds": np.concatenate([dates, future]).astype("datetime64[us]")})
    for name, capacity in (("cap", spec.cap), ("floor", spec.floor)):
        if capacity is not None:
            frame[name] = extras[capacity] if isinstance(capacity, str) else capacity
    if spec.growth == "logistic" and (frame["cap"] <= frame.get("floor", 0.0)).any():
        raise bad_capacity()
    for i, regressor in enumerate(spec.regressors):
        frame[_regressor_name(regressor.name, i)] = extras[regressor.name]
    for seasonality in spec.seasonalities:
        if seasonality.condition_name is not None:
            frame[_condition_name(seasonality.condition_name)] = extras[seasonality.condition_name] != 0
    history, ahead = frame.iloc[:past].assign(y=values), frame.iloc[past:]
    given = given_changepoints(spec)
    if ((given < dates[0]) | (given > dates[-1])).any():
        raise changepoints_outside()
    model = prophet_model(spec, _regressor_name, _condition_name)
    try:
        with scratch_folder() as folder:
            quiet = {"show_progress": False} if spec.mcmc_samples else {}
            model.fit(history, output_dir=str(folder), timeout=seconds, seed=SEED, **quiet)
        model.stan_backend.stan_fit = model.stan_fit = None
    except TimeoutError:
        raise fit_timeout(seconds) from None
    except _UNFITTABLE as error:
        raise _fit_failed(error) from error
    return model, ahead.reset_index(drop=True)


def _fit_failed(error: Exception) -> RecordError:
    return RecordError(
        "FIT_FAILED",
        f"Prophet could not fit the series: {shorten(_last_line(error), 200)}",
        "Check that the values are on a sensible scale and the dates are right.",
    )


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _regressor_name(name: str, position: int) -> str:
    return f"regressor_{position}"  # Prophet reserves many names; the owner's own may be any


def _condition_name(name: str) -> str:
    return f"condition_{name}"


def _predict(model: Any, ahead: pd.DataFrame, spec: ForecastSpec) -> SeriesForecast:
    model.uncertainty_samples = 0
    predicted = model.predict(ahead)
    prediction = predicted["yhat"].to_numpy()
    regressors = {regressor.name: _regressor_name(regressor.name, i) for i, regressor in enumerate(spec.regressors)}
    columns = {name: regressors.get(name, name) for name in spec.component_names}
    components = {name: predicted[column].to_numpy() for name, column in columns.items() if column in predicted}
    if not spec.level:
        none = np.empty((0, len(prediction)))
        return SeriesForecast(prediction, none, none, components)
    model.uncertainty_samples = spec.uncertainty_samples
    with _SAMPLING:
        np.random.seed(SEED)
        paths = model.predictive_samples(ahead)["yhat"]
    tails = [(100 - level) / 2 for level in spec.level]
    lower = np.atleast_2d(model.percentile(paths, tails, axis=1))
    upper = np.atleast_2d(model.percentile(paths, [100 - tail for tail in tails], axis=1))
    return SeriesForecast(prediction, lower, upper, components)
