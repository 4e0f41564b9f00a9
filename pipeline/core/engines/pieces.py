"""A block in pieces, between which work can be ended that takes too long or that nobody waits for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.core.engines.fit_cost import estimated_seconds
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.series.arrow_lists import flat_list

PIECE_SECONDS, STAN_SECONDS, AUTO_SECONDS = 5.0, 0.5, 0.01  # of a piece; of a series, at least


def pieces(series: pa.RecordBatch, spec: ForecastSpec) -> Iterator[pa.RecordBatch]:
    """Yield a block in pieces that take a few seconds at most, or have one series."""
    if len(series) == 1:
        yield series
        return
    if spec.solver == "stan":
        each = STAN_SECONDS
    else:
        rows = np.diff(flat_list(series, "ds")[1])
        each = max(float(estimated_seconds(rows, spec).max(initial=0.0)), AUTO_SECONDS if spec.backtested else 0.0)
    size = max(1, int(PIECE_SECONDS / each)) if each else max(len(series), 1)
    for first in range(0, len(series), size):
        yield series.slice(first, size)
