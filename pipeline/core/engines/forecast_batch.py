"""The forecasts of a block of series as one record batch, one row per series, each with its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Floats
from pipeline.core.engines.engine import Engine
from pipeline.core.engines.score import held_out
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors
from pipeline.core.faults.narrowing import narrowed
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import mase
from pipeline.core.series.arrow_lists import NUMBERS, TIMESTAMPS, flat_list, list_column, timestamps

AUTO = "auto"
BACKTEST_NUMBERS = ("weight", "level", "mase", "smape", "rmsse", "pinball", "coverage")
BACKTEST = pa.struct([
    ("cutoff", pa.timestamp("us")), ("steps", pa.int64()), ("model", pa.string()),
    *((name, pa.float64()) for name in BACKTEST_NUMBERS),
])  # fmt: skip
"""A model from a cutoff.

cutoff is the last date of which the forecast may know the value, steps how many values after it were compared with it,
model AUTO or the name of a member, weight its weight in the forecast of the series, and level that of the interval, in
percent. A member has no interval, and so neither level, pinball nor coverage. pinball is the mean pinball loss of the
interval's two ends, scaled like mase. What does not exist is null. A series too short for any cutoff has a row without
errors for each model, for the weights.
"""


@dataclass(frozen=True)
class Forecasts:
    """An engine's forecasts of a block, NaN where a series has none.

    Attributes:
        prediction: shape (n, h).
        lower: lower ends of the intervals, shape (levels, n, h).
        upper: upper ends, shape (levels, n, h).
        components: those of spec.component_names, each of shape (n, h).
        median: shape (n, h); NaN where it is the prediction.
    """

    prediction: Floats
    lower: Floats
    upper: Floats
    components: dict[str, Floats]
    median: Floats

    @classmethod
    def empty(cls, series: int, spec: ForecastSpec) -> Forecasts:
        """Return forecasts to be filled in."""
        shape = (series, spec.horizon)
        ends = (len(spec.level), *shape)
        components = {name: np.full(shape, np.nan) for name in spec.component_names}
        return cls(
            np.full(shape, np.nan), np.full(ends, np.nan), np.full(ends, np.nan), components, np.full(shape, np.nan)
        )


def forecast_schema(spec: ForecastSpec) -> pa.Schema:
    """Return the schema of a batch of forecasts.

    Columns: series_id, ids and frequency as in the series; ds (the dates forecast), yhat, the median if it was asked
    for, for the i-th
    level lower_i and upper_i, component_NAME for each component (NaN where the series lacks it), all empty for a
    series with an error; mase, null if there is no score; note, what the owner should know about the forecast; fault;
    with --model=auto also backtests, a list of BACKTEST.
    """
    return _schema(spec.has_median, len(spec.level), tuple(spec.component_names), spec.backtested)


@lru_cache(maxsize=256)
def _schema(median: bool, levels: int, components: tuple[str, ...], backtested: bool) -> pa.Schema:
    return pa.schema([
        ("series_id", pa.string()), ("ids", pa.list_(pa.string())), ("frequency", pa.string()), ("ds", TIMESTAMPS),
        ("yhat", NUMBERS), *([("median", NUMBERS)] if median else []),
        *((f"{end}_{i}", NUMBERS) for i in range(levels) for end in ("lower", "upper")),
        *((f"component_{name}", NUMBERS) for name in components), ("mase", pa.float64()),
        ("note", pa.string()), ("fault", pa.string()),
        *([("backtests", pa.list_(BACKTEST))] if backtested else []),
    ])  # fmt: skip


def forecast_batch(
    series: pa.RecordBatch,
    forecasts: Forecasts,
    faults: dict[int, RecordError],
    spec: ForecastSpec,
    notes: Mapping[int, str] = MappingProxyType({}),
    scores: Floats | None = None,
    backtests: pa.ListArray | None = None,
) -> pa.RecordBatch:
    """Return forecasts as a batch, bounded as the spec says; numbers that are not finite become a fault.

    Args:
        series: what was forecast.
        forecasts: of these series.
        faults: of those that have no forecast, by row.
        spec: with the bounds.
        notes: what the owners of some series should know, by row.
        scores: the MASE of each series, NaN if it has none, if the engine computes it.
        backtests: those of each series, if the model has any.
    """
    parts = [forecasts.prediction, *forecasts.lower, *forecasts.upper]
    finite = np.logical_and.reduce([np.isfinite(part).all(axis=1) for part in parts])
    texts: list[str | None] = [None] * len(series)
    for row, error in faults.items():
        texts[row] = error.to_json()
        finite[row] = False
    for row in np.flatnonzero(~finite).tolist():
        if texts[row] is None:
            texts[row] = RecordError(
                "FIT_FAILED", "The forecast is not finite.", "Check that the values are on a sensible scale."
            ).to_json()
    low, high = spec.forecast_lower_bound, spec.forecast_upper_bound
    counts = np.where(finite, spec.horizon, 0)
    offsets = np.concatenate([[0], np.cumsum(counts)])

    def numbers(part: Floats, bounded: bool = True) -> pa.ListArray:
        kept = part if finite.all() else part[finite]
        if bounded and (low is not None or high is not None):
            kept = np.clip(kept, low, high)
        return list_column(offsets, pa.array(np.ascontiguousarray(kept).ravel()))

    future, starts = flat_list(series, "future")
    if not finite.all():
        kept = np.repeat(finite, np.diff(starts))
        future = future[kept]
    columns = [series.column(name) for name in ("series_id", "ids", "frequency")]
    columns += [list_column(offsets, timestamps(future)), numbers(forecasts.prediction)]
    if spec.has_median:
        columns.append(numbers(np.where(np.isnan(forecasts.median), forecasts.prediction, forecasts.median)))
    for lower, upper in zip(forecasts.lower, forecasts.upper, strict=True):
        columns += [numbers(lower), numbers(upper)]
    columns += [numbers(forecasts.components[name], bounded=False) for name in spec.component_names]
    below = _below_zero(series, forecasts.prediction, spec)
    known = series.column("note")
    told: list[str | None] = [None] * len(series)
    for row in {*notes, *below, *np.flatnonzero(np.asarray(known.is_valid())).tolist()}:
        if finite[row]:
            told[row] = "; ".join(filter(None, (known[row].as_py(), notes.get(row), below.get(row)))) or None
    mases = pa.nulls(len(series), pa.float64()) if scores is None else pa.array(scores, from_pandas=True)
    columns += [mases, pa.array(told, pa.string()), pa.array(texts, pa.string())]
    if spec.backtested:
        columns.append(pa.array([[]] * len(series), pa.list_(BACKTEST)) if backtests is None else backtests)
    return pa.record_batch(columns, schema=forecast_schema(spec))


BELOW_ZERO = "the forecast falls below 0, where the history never is; --forecast_lower_bound=0 prevents it"


def _below_zero(series: pa.RecordBatch, prediction: Floats, spec: ForecastSpec) -> dict[int, str]:
    """Return a note for each series that is forecast to be negative for the first time, by row."""
    if spec.forecast_lower_bound is not None:
        return {}
    y, offsets = flat_list(series, "y")
    rows = np.flatnonzero((prediction < 0).any(axis=1)).tolist()
    return {row: BELOW_ZERO for row in rows if (y[offsets[row] : offsets[row + 1]] >= 0).all()}


def faulty_forecasts(series: pa.RecordBatch, spec: ForecastSpec) -> pa.RecordBatch:
    """Return forecasts of series that all have a fault."""
    texts = series.column("fault").to_pylist()
    faults = {row: RecordError.from_json(text) for row, text in enumerate(texts)}
    return forecast_batch(series, Forecasts.empty(len(series), spec), faults, spec)


def blamed_forecast(
    series: pa.RecordBatch, row: int, error: BaseException, spec: ForecastSpec, errors: InternalErrors
) -> pa.RecordBatch:
    """Return the forecast batch of one series that raised an unexpected exception: the error alone."""
    one = series.slice(row, 1)
    fault = errors(error, one.column("series_id")[0].as_py())
    return forecast_batch(one, Forecasts.empty(1, spec), {0: fault}, spec)


def forecast_block(
    series: pa.RecordBatch,
    extras: Sequence[str],
    spec: ForecastSpec,
    limits: Limits,
    engine: Engine,
    errors: InternalErrors = InternalErrors(),  # noqa: B008 - frozen
) -> pa.RecordBatch:
    """Forecast a block, with a sanity score for each series if the spec asks for one.

    A series for which the engine raises an unexpected exception gets an error; the others are forecast.
    """
    return narrowed(
        len(series),
        lambda first, last: _forecast(series.slice(first, last - first), extras, spec, limits, engine),
        lambda row, error: blamed_forecast(series, row, error, spec, errors),
    )


def _forecast(
    series: pa.RecordBatch, extras: Sequence[str], spec: ForecastSpec, limits: Limits, engine: Engine
) -> pa.RecordBatch:
    forecasts = engine.forecast(series, tuple(extras), spec, limits)
    if not spec.scored or spec.backtested:  # backtests have a score already
        return forecasts
    at = series.schema.get_field_index("fault")
    good = series.set_column(at, "fault", forecasts.column("fault"))  # what has no forecast gets no score
    shortened, rows, actual, scale = held_out(good, extras, spec.horizon)
    bare = spec.model_copy(update={"level": (), "components": False})  # no intervals are needed
    predictions = engine.forecast(shortened, tuple(extras), bare, limits)
    forecast = np.asarray(predictions.column("fault").is_null())
    values = flat_list(predictions, "yhat")[0].reshape(-1, spec.horizon)
    scores = np.full(len(series), np.nan)
    scores[rows[forecast]] = mase(actual[forecast], values, scale[forecast])
    at = forecasts.schema.get_field_index("mase")
    column = pa.array(scores, pa.float64(), mask=np.isnan(scores))
    return forecasts.set_column(at, "mase", column)
