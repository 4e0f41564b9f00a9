"""The forecasts of a block of series as one record batch, a row a series, each with its status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.engine import Engine
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.score import held_out, mase
from pipeline.core.series_batch import NUMBERS, TIMESTAMPS, lists_of, number_lists, timestamp_lists
from pipeline.errors import RecordError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SeriesForecast:
    """The forecast of one series.

    Attributes:
        prediction: shape (h,).
        lower: lower ends of the intervals, shape (levels, h).
        upper: upper ends, shape (levels, h).
    """

    prediction: Floats
    lower: Floats
    upper: Floats


def forecast_schema(levels: int) -> pa.Schema:
    """Return the schema of a batch of forecasts.

    Columns: series_id, ids and frequency as in the series; ds (the dates forecast), yhat, for the i-th
    level lower_i and upper_i, all empty for a series with a fault; mase, null if there is no score; fault.
    """
    return pa.schema([
        ("series_id", pa.string()), ("ids", pa.list_(pa.string())), ("frequency", pa.string()), ("ds", TIMESTAMPS),
        ("yhat", NUMBERS),
        *((f"{end}_{i}", NUMBERS) for i in range(levels) for end in ("lower", "upper")),
        ("mase", pa.float64()), ("fault", pa.string()),
    ])  # fmt: skip


class ForecastBuilder:
    """Collects an engine's forecasts; bounds them, and turns numbers that are not finite into a fault."""

    def __init__(self, spec: ForecastSpec) -> None:
        self._spec = spec
        self._forecasts: list[SeriesForecast | None] = []
        self._faults: list[str | None] = []

    def append(self, forecast: SeriesForecast) -> None:
        """Add the forecast of the next series."""
        ends = np.concatenate([forecast.prediction[None], forecast.lower, forecast.upper])
        if not np.isfinite(ends).all():
            self.append_fault(
                RecordError(
                    "FIT_FAILED",
                    "The forecast is not finite.",
                    "Look at the values: are they on a sensible scale?",
                )
            )
            return
        low, high = self._spec.forecast_lower_bound, self._spec.forecast_upper_bound
        if low is not None or high is not None:
            forecast = SeriesForecast(
                *(np.clip(part, low, high) for part in (forecast.prediction, forecast.lower, forecast.upper))
            )
        self._forecasts.append(forecast)
        self._faults.append(None)

    def append_fault(self, error: RecordError) -> None:
        """Say that the next series has no forecast."""
        self._forecasts.append(None)
        self._faults.append(error.to_json())

    def finish(self, series: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch of forecasts of `series`."""
        nothing = np.empty(0)
        levels = range(len(self._spec.level))
        futures = [
            future if forecast is not None else future[:0]
            for future, forecast in zip(lists_of(series, "future"), self._forecasts, strict=True)
        ]
        columns = [series.column(name) for name in ("series_id", "ids", "frequency")]
        columns += [
            timestamp_lists(futures),
            number_lists([nothing if f is None else f.prediction for f in self._forecasts]),
        ]
        for i in levels:
            columns.append(number_lists([nothing if f is None else f.lower[i] for f in self._forecasts]))
            columns.append(number_lists([nothing if f is None else f.upper[i] for f in self._forecasts]))
        columns += [pa.nulls(len(series), pa.float64()), pa.array(self._faults, pa.string())]
        return pa.record_batch(columns, schema=forecast_schema(len(levels)))


def forecast_block(
    series: pa.RecordBatch, extras: Sequence[str], spec: ForecastSpec, limits: Limits, engine: Engine
) -> pa.RecordBatch:
    """Forecast a block, with a sanity score for each series if the spec asks for one."""
    forecasts = engine.forecast(series, tuple(extras), spec, limits)
    if not spec.score:
        return forecasts
    shortened, actuals, scales = held_out(series, extras, spec.horizon)
    predictions = lists_of(engine.forecast(shortened, tuple(extras), spec, limits), "yhat")
    scores = [mase(a, p, s) for a, p, s in zip(actuals, predictions, scales, strict=True)]
    at = forecasts.schema.get_field_index("mase")
    return forecasts.set_column(at, "mase", pa.array(scores, pa.float64()))
