"""Measures of forecasts against the values that came. Values that are not known, NaN, do not count."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats


def mean_known(numbers: Floats) -> Floats:
    """Return the mean over the last axis of what is known; NaN where nothing is, or where it is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):  # numbers too large for a mean have none
        means = np.asarray(numbers.mean(axis=-1))
        if np.isnan(means).any():
            known = ~np.isnan(numbers)
            counts = known.sum(axis=-1)
            means = np.where(counts > 0, np.where(known, numbers, 0.0).sum(axis=-1) / np.maximum(counts, 1), np.nan)
    return np.where(np.isfinite(means), means, np.nan)


def smape(actual: Floats, prediction: Floats) -> Floats:
    """Return the symmetric mean absolute percentage error (Makridakis 1993) in percent, shape (...).

    Where value and forecast are both 0, there is no error.

    Args:
        actual, prediction: shape (..., h).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.abs(actual) / 2 + np.abs(prediction) / 2  # of half each, which cannot be too large
        return 100 * mean_known(np.abs(actual - prediction) / np.where(size == 0, 1.0, size))


def mase(actual: Floats, prediction: Floats, scale: Floats) -> Floats:
    """Return the mean absolute scaled error (Hyndman & Koehler 2006), shape (...); NaN if there is nothing to scale by.

    Args:
        actual, prediction: shape (..., h).
        scale: mean absolute error of the seasonal naive forecast within each history, shape (...).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _scaled(mean_known(np.abs(actual - prediction)), scale)


def rmsse(actual: Floats, prediction: Floats, scale: Floats) -> Floats:
    """Return the root mean squared scaled error (Makridakis, Spiliotis & Assimakopoulos 2022), shape (...); see `mase`.

    Args:
        actual, prediction: shape (..., h).
        scale: root mean squared error of the seasonal naive forecast within each history, shape (...).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _scaled(np.sqrt(mean_known((actual - prediction) ** 2)), scale)


def pinball(actual: Floats, quantiles: Floats, probability: float) -> Floats:
    """Return the mean pinball loss (Koenker & Bassett 1978) of forecasts of a quantile, in units of y, shape (...).

    Args:
        actual, quantiles: shape (..., h).
        probability: of the quantile, in (0, 1).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        over = actual - quantiles
        return mean_known(np.maximum(probability * over, (probability - 1) * over))


def interval_pinball(actual: Floats, lower: Floats, upper: Floats, level: float, scale: Floats) -> Floats:
    """Return the mean pinball loss of an interval's two ends, scaled like `mase`, shape (...).

    Args:
        actual, lower, upper: shape (..., h).
        level: of the interval, in percent.
        scale: see `mase`.
    """
    ends = ((lower, 0.5 - level / 200), (upper, 0.5 + level / 200))
    return _scaled(np.mean([pinball(actual, quantiles, probability) for quantiles, probability in ends], axis=0), scale)


def coverage(actual: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return the share of values inside an interval, shape (...).

    Args:
        actual, lower, upper: shape (..., h).
    """
    inside = ((actual >= lower) & (actual <= upper)).astype(np.float64)
    return mean_known(np.where(np.isnan(actual), np.nan, inside))


def _scaled(errors: Floats, scale: Floats) -> Floats:
    """Return errors over their scale; NaN where it is 0."""
    scale = np.broadcast_to(scale, errors.shape)
    found = np.divide(errors, scale, out=np.full(errors.shape, np.nan), where=scale > 0)
    return np.where(np.isfinite(found), found, np.nan)
