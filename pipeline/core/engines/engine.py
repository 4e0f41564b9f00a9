"""The protocol that makes engines interchangeable."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits


class Engine(Protocol):
    """Forecasts blocks of series. Must be deterministic: the same block gives the same numbers."""

    @property
    def model(self) -> str:
        """Name and version, for receipts and tables."""
        ...

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        """Return a batch as core/engines/forecast_batch.py describes it, a row for each row of `series`.

        A series with a fault keeps it; one that cannot be fitted gets one. Nothing is raised for a series.
        """
        ...
