"""An engine for tests of what is around engines: repeats the last value, in no time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.core.engines.forecast_batch import Forecasts, forecast_batch
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.arrow_lists import lists_of


class NaiveEngine:
    model = "naive 1"

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        forecasts = Forecasts.empty(len(series), spec)
        faults = {}
        spread = np.asarray(spec.level)[:, None] / 100
        for i, (values, fault) in enumerate(
            zip(lists_of(series, "y"), series.column("fault").to_pylist(), strict=True)
        ):
            if fault is not None:
                faults[i] = RecordError.from_json(fault)
                continue
            forecasts.prediction[i] = values[-1]
            forecasts.lower[:, i], forecasts.upper[:, i] = values[-1] - spread, values[-1] + spread
        return forecast_batch(series, forecasts, faults, spec)
