"""The engine of --model=auto: each series by a combination of members, weighted by how they did in its own past."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.engines.backtests import Backtests
from pipeline.core.engines.forecast_batch import Forecasts, forecast_batch
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import OWN_FAULTS, own_fault
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.members.forecast import CombinedForecast, forecast_series
from pipeline.core.members.history import History
from pipeline.core.series.arrow_lists import flat_list

_log = logging.getLogger(__name__)


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
            if not np.isfinite([found.prediction, *found.lower, *found.upper]).all():
                continue  # it gets a fault
            forecasts.prediction[row] = found.prediction
            forecasts.median[row] = np.nan if found.median is None else found.median
            forecasts.lower[:, row], forecasts.upper[:, row] = found.lower, found.upper
            errors = backtests.add(row, found, history, spec.level)
            if spec.scored and errors.newest_whole is not None:
                scores[row] = errors.mase[0, errors.newest_whole]
        return forecast_batch(series, forecasts, faults, spec, scores=scores, backtests=backtests.column())


def possible_forecasts(series: pa.RecordBatch, spec: ForecastSpec) -> Iterator[tuple[int, History, CombinedForecast]]:
    """Yield what combined_forecasts does, without the series for which it raises an error of our own, which is logged.

    For what looks at forecasts beside the run itself: there such a series gets a dead letter.
    """
    for row in np.flatnonzero(np.asarray(series.column("fault").is_null())).tolist():
        try:
            for _, history, found in combined_forecasts(series.slice(row, 1), spec):
                yield row, history, found
        except OWN_FAULTS as error:
            if not own_fault(error):
                raise
            _log.exception("auto cannot forecast series %r", series.column("series_id")[row].as_py())


def combined_forecasts(series: pa.RecordBatch, spec: ForecastSpec) -> Iterator[tuple[int, History, CombinedForecast]]:
    """Yield the forecast of each series of a block without a fault: its row, its history, the forecast."""
    dates, offsets = flat_list(series, "ds")
    y, _ = flat_list(series, "y")
    future, starts = flat_list(series, "future")
    frequencies = series.column("frequency").to_pylist()
    for row in np.flatnonzero(np.asarray(series.column("fault").is_null())).tolist():
        own, ahead = slice(*offsets[row : row + 2].tolist()), slice(*starts[row : row + 2].tolist())
        history = History.of(parse_frequency(frequencies[row]), dates[own], y[own], future[ahead])
        found = forecast_series(history, spec.horizon, spec.level)
        yield row, history, found.clipped(spec.forecast_lower_bound, spec.forecast_upper_bound)
