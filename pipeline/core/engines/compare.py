"""Compares both engines and a seasonal naive forecast on the same series: results, times and accuracy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.core.arrays import Floats
from pipeline.core.engines.auto import possible_forecasts
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import AUTO
from pipeline.core.engines.native import SeriesArrays, fit_block, forecast_fitted
from pipeline.core.engines.prophet_objective import (
    native_parameters,
    objective,
    stan_parameters,
    without_constant_regressors,
)
from pipeline.core.engines.score import held_out, seasonal_naive_forecasts
from pipeline.core.engines.stan import fitted_prophet
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import mase
from pipeline.core.series.arrow_lists import flat_list, lists_of

ENGINES = ("native", "stan")


@dataclass
class Comparison:
    """The result of one series.

    Attributes:
        series_id: its name.
        values: length of its history.
        objective: by engine, Prophet's negative log posterior on Prophet's own design, less its constants; the lower,
            the better the fit.
        seconds: by engine, for fit, forecast and intervals; of the native engine its share of a block's.
        difference: the largest difference of both forecasts, as a multiple of half the mean width of stan's first
            interval; NaN without intervals.
        mase: of the last horizon, held out, by engine, for AUTO and for `naive`; empty if the history is shorter than
            two horizons.
        covered: share of that horizon that is within the first interval, by engine.
        fault: why an engine could not fit it; "" if both could.
    """

    series_id: str
    values: int
    objective: dict[str, float]
    seconds: dict[str, float]
    difference: float
    mase: dict[str, float]
    covered: dict[str, float]
    fault: str = ""


def compare_block(batch: pa.RecordBatch, extras: Sequence[str], spec: ForecastSpec, limits: Limits) -> list[Comparison]:
    """Compare the engines on the series of a block.

    Args:
        batch: of core/series/batch.py.
        extras: its extra columns.
        spec: the options; its engine does not matter.
        limits: the operator's limits.
    """
    faulty = np.asarray(batch.column("fault").is_valid())
    refused = [
        Comparison(name, 0, {}, {}, np.nan, {}, {}, str(RecordError.from_json(fault)))
        for name, fault in zip(batch.column("series_id").to_pylist(), batch.column("fault").to_pylist(), strict=True)
        if fault is not None
    ]
    batch = batch.take(pa.array(np.flatnonzero(~faulty)))
    if not len(batch):
        return refused
    block = SeriesArrays.of(batch, tuple(extras), spec)
    # once before timing, to load compiled code
    forecast_fitted(batch, block, fit_block(block, spec), spec)
    start = time.perf_counter()
    fitted = fit_block(block, spec)
    native = forecast_fitted(batch, block, fitted, spec)
    share = (time.perf_counter() - start) / len(batch)
    found = {int(block.members[member]): (part, i) for part in fitted for i, member in enumerate(part.members.tolist())}
    columns = [lists_of(batch, name) for name in ("ds", "y", "future")]
    numbers = [lists_of(batch, f"extra_{name}") for name in extras]
    yhat = lists_of(native, "yhat")
    results = []
    for row, (dates, values, future) in enumerate(zip(*columns, strict=True)):
        one = Comparison(batch.column("series_id")[row].as_py(), len(values), {}, {"native": share}, np.nan, {}, {})
        results.append(one)
        fault = native.column("fault")[row].as_py()
        if fault is not None:
            one.fault = f"native: {RecordError.from_json(fault)}"
            continue
        own = {name: column[row] for name, column in zip(spec.extra_columns(), numbers, strict=True)}
        start = time.perf_counter()
        try:
            spec_of_stan, varies = without_constant_regressors(spec, own, len(values))
            model, ahead = fitted_prophet(dates, values, future, own, spec_of_stan, limits.max_fit_seconds)
            prediction, half_width = _predicted(model, ahead, spec)
        except RecordError as error:
            one.fault = f"stan: {error}"
            continue
        one.seconds["stan"] = time.perf_counter() - start
        ours = native_parameters(*found[row], varies)
        one.objective = {
            "native": objective(model, spec_of_stan, ours),
            "stan": objective(model, spec_of_stan, stan_parameters(model, len(ours["beta"]))),
        }
        one.difference = float(np.abs(yhat[row] - prediction).max()) / half_width if half_width > 0 else np.nan
    _add_scores(results, batch, extras, spec, limits)
    return results + refused


def _predicted(model: Any, ahead: pd.DataFrame, spec: ForecastSpec) -> tuple[Floats, float]:
    """Return stan's forecast, and half the mean width of its first interval; NaN if it has none."""
    prediction = model.predict(ahead)
    if not spec.level or "yhat_lower" not in prediction:
        return prediction["yhat"].to_numpy(), float("nan")
    width = float((prediction["yhat_upper"] - prediction["yhat_lower"]).mean())
    return prediction["yhat"].to_numpy(), width / 2


def _add_scores(
    results: list[Comparison], batch: pa.RecordBatch, extras: Sequence[str], spec: ForecastSpec, limits: Limits
) -> None:
    shortened, rows, actual, scale = held_out(batch, extras, spec.horizon)
    if not len(rows):
        return
    for name in ENGINES:
        forecast = engine_named(name).forecast(
            shortened, tuple(extras), spec.model_copy(update={"components": False}), limits
        )
        good = np.flatnonzero(np.asarray(forecast.column("fault").is_null()))
        values = flat_list(forecast, "yhat")[0].reshape(-1, spec.horizon)
        scores = mase(actual[good], values, scale[good])
        for i, row in enumerate(good.tolist()):
            results[rows[row]].mase[name] = float(scores[i])
        if spec.level:
            lower, upper = (flat_list(forecast, f"{end}_0")[0].reshape(-1, spec.horizon) for end in ("lower", "upper"))
            within = ((lower <= actual[good]) & (actual[good] <= upper)).mean(axis=1)
            for i, row in enumerate(good.tolist()):
                results[rows[row]].covered[name] = float(within[i])
    for row, _, found in possible_forecasts(shortened, spec):
        results[rows[row]].mase[AUTO] = float(mase(actual[row], found.prediction, scale[row]))
    for i, score in enumerate(mase(actual, seasonal_naive_forecasts(shortened), scale)):
        results[rows[i]].mase["naive"] = float(score)
