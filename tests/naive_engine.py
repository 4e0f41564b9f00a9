"""An engine for tests of what is around engines: repeats the last value, in no time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.core.forecast_batch import ForecastBuilder, SeriesForecast
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series_batch import lists_of
from pipeline.errors import RecordError


class NaiveEngine:
    model = "naive 1"

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        builder = ForecastBuilder(spec)
        faults = series.column("fault").to_pylist()
        for values, future, fault in zip(lists_of(series, "y"), lists_of(series, "future"), faults, strict=True):
            if fault is not None:
                builder.append_fault(RecordError.from_json(fault))
                continue
            prediction = np.full(len(future), values[-1])
            spread = np.asarray(spec.level)[:, None] / 100 * np.ones(len(future))
            builder.append(SeriesForecast(prediction, prediction - spread, prediction + spread))
        return builder.finish(series)
