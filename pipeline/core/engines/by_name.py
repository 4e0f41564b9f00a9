"""Returns an engine by its name."""

from __future__ import annotations

import logging
from functools import cache

from pipeline.core.engines.engine import Engine


def quieten_prophet() -> None:
    """Before it is imported: it complains that plotly is absent."""
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)


@cache
def engine_named(name: str) -> Engine:
    """Return the engine, made once per process."""
    if name == "native":
        from pipeline.core.engines.native import NativeEngine  # imports numba

        return NativeEngine()
    if name == "auto":
        from pipeline.core.engines.auto import AutoEngine  # imports numba

        return AutoEngine()
    if name == "stan":
        quieten_prophet()
        from pipeline.core.engines.stan import StanEngine  # imports prophet, which takes seconds

        return StanEngine()
    raise ValueError(f"there is no engine {name!r}")
