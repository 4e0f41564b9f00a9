"""The protocol behind which engines are interchangeable, and the way to one by its name."""

from __future__ import annotations

import logging
from functools import cache
from typing import Protocol

import pyarrow as pa

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.errors import RecordError


class Engine(Protocol):
    """Forecasts blocks of series. Must be deterministic: the same block gives the same numbers."""

    @property
    def model(self) -> str:
        """Name and version, for receipts and tables."""
        ...

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        """Return a batch as core/forecast_batch.py describes it, a row for each row of `series`.

        A series with a fault keeps it; one that cannot be fitted gets one. Nothing is raised for a series.
        """
        ...


def quieten_prophet() -> None:
    """Before it is imported: it complains that plotly is absent."""
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)


@cache
def engine_named(name: str) -> Engine:
    """Return the engine, made once a process."""
    if name == "native":
        from pipeline.core.native_engine import NativeEngine  # imports numba

        return NativeEngine()
    if name == "stan":
        quieten_prophet()
        from pipeline.core.stan_engine import StanEngine  # imports prophet, which takes seconds

        return StanEngine()
    raise ValueError(f"there is no engine {name!r}")


def changepoints_outside() -> RecordError:
    """Return the refusal of a series that does not span the changepoints given."""
    return RecordError(
        "BAD_CHANGEPOINTS",
        "The changepoints do not all lie within the history.",
        "Mend --changepoints, or leave them out.",
    )


def bad_capacity() -> RecordError:
    """Return the refusal of a series whose cap is too low."""
    return RecordError(
        "BAD_CAPACITY",
        "The cap is not above the floor (which is 0 unless given) on every date.",
        "Mend --cap, --floor, or their columns.",
    )


def fallback_notes(spec: ForecastSpec) -> list[str]:
    """Return what the owner should know if another engine does the work than the one asked for."""
    if spec.solver == spec.engine:
        return []
    return [f"the {spec.engine} engine does not sample (mcmc_samples): {spec.solver} did the work"]
