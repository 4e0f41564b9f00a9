"""Prophet's model as members of weekly series: its forecast, moved by what its own last errors say.

Prophet's forecast goes on from the trend, not from the last values. Three variants make up for that: a flat trend plus
the last error, which fades like a first-order autoregression; the linear trend plus the smoothed level of its errors;
and the same on logarithms.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.dates.calendars import Dates
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.members.members import MAX_LOG_RISE
from pipeline.core.model.fit import fit
from pipeline.core.model.histories import Histories
from pipeline.core.model.predict import predict

VARIANTS = 3
FADING, LEVEL, LOG_LEVEL = range(VARIANTS)
MAX_ROWS = 2700  # of the end of a history, to which Prophet's model is fitted
ERROR_ROWS = 400  # of the end of it, whose errors count
MIN_LEVEL_ROWS = 5  # from which the level of errors is smoothed
SMOOTHING = 0.3  # alpha of that level
MAX_PERSISTENCE = 0.999  # of the last error


@cache
def _spec(growth: str) -> ForecastSpec:
    return ForecastSpec.model_validate({"growth": growth})


def forecasts(y: Floats, dates: Dates, ends: Ints, horizon: int) -> Floats:
    """Return the variants' forecasts after each of some first parts of a history, NaN where one is not available.

    Args:
        y: values without gaps, shape (n,).
        dates: of the values and of a horizon after them, microseconds, shape (n + h,).
        ends: lengths of the parts, at least 2 each; shape (w,).
        horizon: h.

    Returns:
        Shape (w, 3, h).
    """
    out = np.full((len(ends), VARIANTS, horizon), np.nan)
    flat, linear = (_forecast(y, dates, ends, horizon, growth) for growth in ("flat", "linear"))
    for w, end in enumerate(ends.tolist()):
        _fading(y[:end], flat[w], out[w, FADING])
        _level(y[:end], linear[w], out[w, LEVEL])
    if np.min(y) > 0:
        logs = np.log(y)
        linear = _forecast(logs, dates, ends, horizon, "linear")
        for w, end in enumerate(ends.tolist()):
            _level(logs[:end], linear[w], out[w, LOG_LEVEL])
            out[w, LOG_LEVEL] = np.exp(np.minimum(out[w, LOG_LEVEL], np.max(logs[:end]) + MAX_LOG_RISE))
    return out


def _forecast(y: Floats, dates: Dates, ends: Ints, horizon: int, growth: str) -> Floats:
    """Return Prophet's values on the last rows of each part and a horizon after it, shape (w, r + h)."""
    starts = np.maximum(ends - MAX_ROWS, 0)
    rows = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    errors = min(ERROR_ROWS, int(np.min(ends)))
    wanted = dates[(ends - errors)[:, None] + np.arange(errors + horizon)]
    values = np.full(wanted.shape, np.nan)
    for part in fit(Histories(offsets, dates[rows], y[rows]), _spec(growth)):
        values[part.members] = predict(part, wanted[part.members], {}).yhat
    return values


@compiled
def _fading(y: Floats, values: Floats, out: Floats) -> None:
    """Write Prophet's forecast plus the last error times its autocorrelation, step by step."""
    rows = len(values) - len(out)
    errors = y[len(y) - rows :] - values[:rows]
    product, squares = 0.0, 0.0
    for i in range(rows):
        squares += errors[i] ** 2
        if i:
            product += errors[i] * errors[i - 1]
    persistence = min(max(product / squares, 0.0), MAX_PERSISTENCE) if squares > 0 else 0.0
    error = errors[rows - 1]
    for k in range(len(out)):
        error *= persistence
        out[k] = values[rows + k] + error


@compiled
def _level(y: Floats, values: Floats, out: Floats) -> None:
    """Write Prophet's forecast plus the smoothed level of its errors."""
    rows = len(values) - len(out)
    if rows < MIN_LEVEL_ROWS:
        return
    errors = y[len(y) - rows :] - values[:rows]
    level = errors[0]
    for i in range(1, rows):
        level += SMOOTHING * (errors[i] - level)
    out[:] = values[rows:] + level
