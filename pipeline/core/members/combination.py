"""How members are combined, and the intervals of the combination from its own errors."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.members.backtest import windows_of
from pipeline.core.members.members import HOURLY_SEASON
from pipeline.core.members.pace import FINER, MONTHLY, YEARLY, Pace, is_weekly

DECAY = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # what windows count, the newest first
SHARPNESS, FINER_SHARPNESS = 2.0, 4.0  # p in weights proportional to exp(-p n / (n + 1) log error)
BEST_OF_HOURLY = 5  # members that count
SPREAD_DECAY = 2  # power of DECAY by which the errors of a window count for the intervals: how far off changes sooner
LEAST_ERROR = 1e-3  # of the members' median: an error of 0 would have all the weight


LEVELS = (0.5, 0.8, 0.9, 0.95)  # for which the constants were learnt


class Calibration(NamedTuple):
    """Constants of the intervals, learnt from development sets: see benchmarks/calibration.py and docs/models.md.

    Attributes:
        growth: r in the shape 1 + r (sqrt(h) - 1) by which errors grow with the steps ahead.
        prior: for each of LEVELS the half width at the first step, in units of the seasonal naive forecast's error,
            before any window is known.
        factor: for each of LEVELS, by which errors are larger than those of the windows before them.
    """

    growth: float
    prior: tuple[float, ...]
    factor: tuple[float, ...]


MONTHS = Calibration(0.20, (0.50, 1.00, 1.32, 1.58), (0.98, 1.08, 1.13, 1.20))
QUARTERS = Calibration(0.89, (0.47, 0.86, 1.10, 1.26), (0.93, 1.11, 1.23, 1.37))
YEARS = Calibration(0.92, (0.71, 1.23, 1.56, 1.77), (1.17, 1.42, 1.58, 1.84))
WEEKS = Calibration(0.54, (0.63, 1.28, 1.73, 2.10), (0.98, 1.08, 1.18, 1.29))
DAYS = Calibration(0.10, (0.46, 1.00, 1.48, 2.01), (1.00, 1.04, 1.07, 1.10))
HOURS = Calibration(0.23, (0.26, 0.55, 0.77, 1.00), (0.91, 0.97, 1.01, 1.06))
QUARTERS_A_YEAR = 4


def calibration_of(pace: Pace) -> Calibration:
    """Return the constants for a series' pace."""
    if pace.kind == YEARLY:
        return YEARS
    if pace.kind == MONTHLY:
        return QUARTERS if pace.season == QUARTERS_A_YEAR else MONTHS
    if is_weekly(pace):
        return WEEKS
    return HOURS if pace.season >= HOURLY_SEASON else DAYS


@compiled
def weights(errors: Floats, windows: float, pace: Pace, usable: Bools, out: Floats) -> None:
    """Write the weights of members, shape (k,), which add up to 1; 0 for those that are not usable.

    Args:
        errors: mean absolute errors by window, newest first, NaN in windows that do not count; shape (w, k).
        windows: how many windows count, parts of one included.
        pace: of the series.
        usable: whether each member has a forecast, shape (k,).
        out: the weights.
    """
    members = errors.shape[1]
    means, count = np.zeros(members), 0
    for i in range(members):
        total = sizes = 0.0
        for w in range(errors.shape[0]):
            if np.isfinite(errors[w, i]):
                total += DECAY[min(w, len(DECAY) - 1)] * errors[w, i]
                sizes += DECAY[min(w, len(DECAY) - 1)]
        means[i] = total / sizes if sizes > 0 else 1.0
        count += usable[i]
    median = np.median(means[usable])
    sharpness = FINER_SHARPNESS if pace.kind == FINER else SHARPNESS
    share = windows / (windows + 1)
    best = -np.inf
    for i in range(members):
        error = max(means[i], LEAST_ERROR * median + 1e-300)
        out[i] = -sharpness * share * np.log(error / (median + 1e-300)) if usable[i] else -np.inf
        best = max(best, out[i])
    least = -np.inf
    if pace.season == HOURLY_SEASON and count > BEST_OF_HOURLY:
        least = np.sort(out)[members - BEST_OF_HOURLY]
    total = 0.0
    for i in range(members):
        out[i] = np.exp(out[i] - best) if out[i] >= least else 0.0
        total += out[i]
    for i in range(members):
        out[i] /= total


@compiled
def window_errors(y: Floats, ends: Ints, forecasts: Floats) -> tuple[Floats, Floats]:
    """Return the mean absolute error of each member in each window, shape (w - 1, k), and how much of it is known.

    Args:
        y: the history, NaN in gaps.
        ends: cutoffs, the whole history first; shape (w,).
        forecasts: after each, shape (w, k, h).
    """
    windows, members, horizon = forecasts.shape
    errors, known = np.full((windows - 1, members), np.nan), np.zeros(windows - 1)
    for w in range(1, windows):
        steps = min(horizon, len(y) - ends[w])
        known[w - 1] = steps / horizon
        for i in range(members):
            total, count = 0.0, 0
            for k in range(steps):
                error = abs(y[ends[w] + k] - forecasts[w, i, k])
                if np.isfinite(error):
                    total += error
                    count += 1
            if count:
                errors[w - 1, i] = total / count
    return errors, known


@compiled
def combined(y: Floats, ends: Ints, forecasts: Floats, usable: Bools, pace: Pace) -> tuple[Floats, Floats, Floats]:
    """Return the combined forecast, shape (h,), the weights, shape (k,), and held-out errors, shape (w - 1, h).

    The error in a window is that of a combination whose weights do not know it, nor windows that overlap it; NaN where
    the history has no value.
    """
    windows, members, horizon = forecasts.shape
    errors, known = window_errors(y, ends, forecasts)
    own, neighbours = np.empty(members), windows_of(pace).neighbours
    weights(errors, np.sum(known), pace, usable, own)
    result = np.zeros(horizon)
    for i in range(members):
        if own[i] > 0:
            result += own[i] * forecasts[0, i]
    residuals, others = np.full((windows - 1, horizon), np.nan), np.empty(members)
    for w in range(windows - 1):
        masked, left = errors.copy(), 0.0
        for v in range(windows - 1):
            if abs(v - w) <= neighbours:
                masked[v] = np.nan
            else:
                left += known[v]
        weights(masked, left, pace, usable, others)
        for k in range(min(horizon, len(y) - ends[w + 1])):
            value = 0.0
            for i in range(members):
                if others[i] > 0:
                    value += others[i] * forecasts[w + 1, i, k]
            residuals[w, k] = y[ends[w + 1] + k] - value
    return result, own, residuals


def half_widths(
    residuals: Floats, known: float, scale: float, calibration: Calibration, levels: tuple[float, ...]
) -> Floats:
    """Return the half widths of intervals by level and step, shape (levels, h).

    A level's quantile of the combination's own held-out errors, of which newer ones count more, is shrunk towards what
    is usual before any are known, the less the more windows there are. Between the levels of the constants these are
    interpolated by the normal distribution's quantiles. Beyond them the factor stays the same, and the prior is
    proportional to the quantile.

    Args:
        residuals: held-out errors of the combination, the newest window first, shape (w, h).
        known: how many windows count, parts of one included.
        scale: mean absolute error of the seasonal naive forecast within the history.
        calibration: constants for the series' pace.
        levels: probabilities of the intervals.
    """
    horizon = residuals.shape[1]
    shape = 1 + calibration.growth * (np.sqrt(np.arange(1, horizon + 1)) - 1)
    errors, places = _weighed(np.abs(residuals) / shape)
    share = known / (known + 1)
    sizes = np.empty(len(levels))
    for i, level in enumerate(levels):
        size = scale * _at_level(calibration.prior, level, proportional=True)
        if len(errors):
            own = max(float(np.interp(level * places[-1], places[:-1], errors)), LEAST_ERROR * scale)
            size = math.exp(share * math.log(own) + (1 - share) * math.log(size)) if size > 0 and own > 0 else own
        sizes[i] = size * _at_level(calibration.factor, level, proportional=False)
    return sizes[:, None] * shape


@compiled
def _weighed(errors: Floats) -> tuple[Floats, Floats]:
    """Return what is known of errors, ascending, and where each lies among the weights of all; last, their sum.

    Args:
        errors: by window, the newest first, NaN where nothing is known, shape (w, h).
    """
    windows, horizon = errors.shape
    found, weights, count = np.empty(windows * horizon), np.empty(windows * horizon), 0
    for w in range(windows):
        weight = DECAY[min(w, len(DECAY) - 1)] ** SPREAD_DECAY
        for k in range(horizon):
            if np.isfinite(errors[w, k]):
                found[count], weights[count] = errors[w, k], weight
                count += 1
    order = np.argsort(found[:count], kind="mergesort")
    places, total = np.empty(count + 1), 0.0
    for i in range(count):
        places[i] = total + weights[order[i]] / 2
        total += weights[order[i]]
    places[count] = total
    return found[:count][order], places


@lru_cache(maxsize=1000)  # levels come from outside
def _at_level(numbers: tuple[float, ...], level: float, proportional: bool) -> float:
    """Return a number for a level from those for LEVELS; beyond them proportional to the quantile, or the same."""
    quantiles = [NormalDist().inv_cdf((1 + known) / 2) for known in (level, *LEVELS)]
    own, known = quantiles[0], quantiles[1:]
    inside = float(np.interp(own, known, numbers))
    nearest = min(max(own, known[0]), known[-1])
    return inside * own / nearest if proportional else inside
