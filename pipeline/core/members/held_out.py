"""What a combination and its members forecast from earlier cutoffs, and what came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.compiled import compiled


@dataclass(frozen=True)
class HeldOut:
    """Forecasts from earlier cutoffs, the newest first.

    Attributes:
        cutoffs: how many values each forecast knows, shape (w,).
        actual: values that followed, NaN where they are not known, shape (w, h).
        predictions: of the combination, then of each member, shape (1 + k, w, h).
        lower, upper: ends of the combination's intervals, shape (levels, w, h).
    """

    cutoffs: Ints
    actual: Floats
    predictions: Floats
    lower: Floats
    upper: Floats

    def compared(self) -> HeldOut:
        """Return the forecasts after which any value is known."""
        kept = np.isfinite(self.actual).any(axis=1)
        if kept.all():
            return self
        return HeldOut(
            self.cutoffs[kept], self.actual[kept], self.predictions[:, kept], self.lower[:, kept], self.upper[:, kept]
        )

    def clipped(self, low: float | None, high: float | None) -> HeldOut:
        """Return the same forecasts within bounds."""
        predictions, lower, upper = (np.clip(part, low, high) for part in (self.predictions, self.lower, self.upper))
        return HeldOut(self.cutoffs, self.actual, predictions, lower, upper)

    def times(self, unit: float) -> HeldOut:
        """Return the same in another unit."""
        return HeldOut(self.cutoffs, self.actual * unit, self.predictions * unit, self.lower * unit, self.upper * unit)


def actual_after(known: Floats, cutoffs: Ints, horizon: int) -> Floats:
    """Return the values that follow each cutoff, NaN where there are none, shape (w, h).

    Args:
        known: the history, NaN in gaps, shape (n,).
        cutoffs: lengths of its known part, shape (w,).
        horizon: h.
    """
    padded = np.concatenate([known, np.full(horizon, np.nan)])
    return np.asarray(padded[cutoffs[:, None] + np.arange(horizon)])


@compiled
def scale_of(y: Floats, season: int) -> tuple[float, float]:
    """Return the mean absolute and the root mean squared error of the seasonal naive forecast within a history.

    Where no values are a season apart, of the naive forecast; 0 if there are none at all.

    Args:
        y: values, NaN in gaps, shape (n,).
        season: number of values in a season.
    """
    for lag in (season, 1):
        total, squares, count = 0.0, 0.0, 0
        for i in range(lag, len(y)):
            error = abs(y[i] - y[i - lag])
            if np.isfinite(error):
                total += error
                squares += error * error
                count += 1
        if count:
            return total / count, np.sqrt(squares / count)
    return 0.0, 0.0


@compiled
def scales_of(y: Floats, season: int, ends: Ints) -> Floats:
    """Return what scale_of returns for some first parts of a history, shape (2, w)."""
    found = np.empty((2, len(ends)))
    for w in range(len(ends)):
        found[0, w], found[1, w] = scale_of(y[: ends[w]], season)
    return found
