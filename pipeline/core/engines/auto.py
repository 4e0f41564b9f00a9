"""The engine of --model=auto: each series by a combination of members, weighted by how they did in its own past."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.engines.backtests import Backtests, whole_horizon
from pipeline.core.engines.forecast_batch import Forecasts, forecast_batch
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.members.forecast import CombinedForecast, forecast_series
from pipeline.core.members.history import History
from pipeline.core.series.arrow_lists import flat_list


class AutoEngine:
    """Combines members, series by series; see docs/models.md."""

    model = "auto 1"  # changes when numbers do

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        """Forecast a block; see engine.Engine."""
        faults = {
            row: RecordError.from_json(text)
            for row, text in enumerate(series.column("fault").to_pylist())
            if text is not None
        }
        forecasts, backtests = Forecasts.empty(len(series), spec), Backtests(len(series))
        scores = np.full(len(series), np.nan)
        for row, history, found in combined_forecasts(series, spec):
            forecasts.prediction[row] = found.prediction
            forecasts.lower[:, row], forecasts.upper[:, row] = found.lower, found.upper
            errors = backtests.add(row, found, history, spec.level)
            whole = whole_horizon(found, len(history.known), spec.horizon)
            if spec.scored and whole is not None:
                scores[row] = errors[whole]
        return forecast_batch(series, forecasts, faults, spec, scores=scores, backtests=backtests.column())


def combined_forecasts(series: pa.RecordBatch, spec: ForecastSpec) -> Iterator[tuple[int, History, CombinedForecast]]:
    """Yield the forecast of each series of a block without a fault: its row, its history, the forecast."""
    dates, offsets = flat_list(series, "ds")
    y, _ = flat_list(series, "y")
    future, starts = flat_list(series, "future")
    frequencies = series.column("frequency").to_pylist()
    for row in np.flatnonzero(np.asarray(series.column("fault").is_null())).tolist():
        own, ahead = slice(*offsets[row : row + 2].tolist()), slice(*starts[row : row + 2].tolist())
        history = History.of(parse_frequency(frequencies[row]), dates[own], y[own], future[ahead])
        yield row, history, forecast_series(history, spec.horizon, spec.level)
