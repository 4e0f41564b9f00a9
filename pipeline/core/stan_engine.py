"""The reference engine: the prophet package, made deterministic, bounded in time, and leaving no file behind."""

from __future__ import annotations

import logging
import tempfile
import threading
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import prophet
import pyarrow as pa
from cmdstanpy.utils import get_logger

from pipeline.core.calendars import Dates
from pipeline.core.forecast_batch import ForecastBuilder, SeriesForecast
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series_batch import lists_of
from pipeline.errors import RecordError, shorten

Floats = npt.NDArray[np.float64]

SEED = 0  # Prophet simulates its intervals; a fixed seed makes a rerun byte-identical
_SAMPLING = threading.Lock()  # Prophet draws from NumPy's one global generator

get_logger().setLevel(logging.ERROR)  # cmdstanpy tells of each fit's start and end
logging.getLogger("prophet").setLevel(logging.ERROR)


class StanEngine:
    """Fits each series by itself with prophet.Prophet, whose optimizer is Stan's L-BFGS."""

    model = f"stan prophet {version('prophet')}"

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        """Forecast a block; see engine.Engine."""
        builder = ForecastBuilder(spec)
        columns = [lists_of(series, name) for name in ("ds", "y", "future")]
        numbers = [lists_of(series, f"extra_{name}") for name in extras]
        faults = series.column("fault").to_pylist()
        for i, (dates, values, future) in enumerate(zip(*columns, strict=True)):
            if faults[i] is not None:
                builder.append_fault(RecordError.from_json(faults[i]))
                continue
            try:
                # by the spec's names: those in the CSV may differ in case
                frame = {name: column[i] for name, column in zip(spec.extra_columns(), numbers, strict=True)}
                builder.append(fit_and_forecast(dates, values, future, frame, spec, limits.max_fit_seconds))
            except RecordError as error:
                builder.append_fault(error)
        return builder.finish(series)


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
    past = len(dates)
    frame = pd.DataFrame({"ds": np.concatenate([dates, future]).astype("datetime64[us]")})
    for name, capacity in (("cap", spec.cap), ("floor", spec.floor)):
        if capacity is not None:
            frame[name] = extras[capacity] if isinstance(capacity, str) else capacity
    if spec.growth == "logistic" and (frame["cap"] <= frame.get("floor", 0.0)).any():
        raise RecordError(
            "BAD_CAPACITY",
            "The cap is not above the floor (which is 0 unless given) on every date.",
            "Mend --cap, --floor, or their columns.",
        )
    for i, regressor in enumerate(spec.regressors):
        frame[_regressor_name(i)] = extras[regressor.name]
    history, ahead = frame.iloc[:past].assign(y=values), frame.iloc[past:]
    model = _model(spec)
    try:
        with tempfile.TemporaryDirectory(prefix="dropcast-") as folder:
            model.fit(history, output_dir=folder, timeout=seconds, seed=SEED)
        model.stan_backend.stan_fit = model.stan_fit = None
        return _predict(model, ahead.reset_index(drop=True), spec)
    except TimeoutError:
        raise RecordError(
            "FIT_TIMEOUT",
            f"The fit took longer than {seconds:g} seconds.",
            "Try again later, or ask the operator to raise --max_fit_seconds.",
        ) from None
    except (RuntimeError, ValueError, np.linalg.LinAlgError, OverflowError) as error:
        raise RecordError(
            "FIT_FAILED",
            f"Prophet could not fit the series: {shorten(_last_line(error), 200)}",
            "Look at the values: are they on a sensible scale, with dates that are right?",
        ) from error


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _regressor_name(position: int) -> str:
    return f"regressor_{position}"  # Prophet reserves many names; the owner's own may be any


def _model(spec: ForecastSpec) -> Any:
    model = prophet.Prophet(
        growth=spec.growth,
        n_changepoints=spec.n_changepoints,
        changepoint_range=spec.changepoint_range,
        changepoint_prior_scale=spec.changepoint_prior_scale,
        yearly_seasonality=spec.yearly_seasonality,
        weekly_seasonality=spec.weekly_seasonality,
        daily_seasonality=spec.daily_seasonality,
        seasonality_mode=spec.seasonality_mode,
        seasonality_prior_scale=spec.seasonality_prior_scale,
        holidays_prior_scale=spec.holidays_prior_scale,
        holidays_mode=spec.holidays_mode,
        scaling=spec.scaling,
        uncertainty_samples=spec.uncertainty_samples,
    )
    if spec.country_holidays is not None:
        model.add_country_holidays(country_name=spec.country_holidays)
    for i, regressor in enumerate(spec.regressors):
        model.add_regressor(
            _regressor_name(i),
            prior_scale=regressor.prior_scale,
            standardize=regressor.standardize,
            mode=regressor.mode,
        )
    return model


def _predict(model: Any, ahead: pd.DataFrame, spec: ForecastSpec) -> SeriesForecast:
    model.uncertainty_samples = 0
    prediction = model.predict(ahead)["yhat"].to_numpy()
    model.uncertainty_samples = spec.uncertainty_samples
    with _SAMPLING:
        np.random.seed(SEED)
        paths = model.predictive_samples(ahead)["yhat"]
    tails = [(100 - level) / 2 for level in spec.level]
    lower = np.atleast_2d(model.percentile(paths, tails, axis=1))
    upper = np.atleast_2d(model.percentile(paths, [100 - tail for tail in tails], axis=1))
    return SeriesForecast(prediction, lower, upper)
