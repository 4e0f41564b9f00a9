"""Counts with many zeros: the mean of four levels, and intervals of a negative binomial distribution.

The levels are the mean of the history, the mean of its last values, exponential smoothing, and the method of Teunter,
Syntetos & Babai (2011, "Intermittent demand: linking forecasting to inventory obsolescence"): smoothed sizes of what is
not 0, times the smoothed share of it.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled
from pipeline.core.members.seasonality import is_seasonal

MEMBERS = ("mean", "mean of the last values", "exponential smoothing", "Teunter-Syntetos-Babai")
MIN_ZEROS = 0.5  # share of zeros from which on a series of counts is forecast so
SEASONAL_FROM = 0.5  # autocorrelation a season apart: shops that are closed at night have as many zeros
MIN_VALUES = 8
LARGEST = 10_000  # count in a history: larger ones are quantities
LAST_VALUES = 12
ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.3)  # of exponential smoothing
FIRST_VALUES = 6  # from which its level begins
TSB_ALPHA, TSB_BETA = 0.1, 0.1  # of sizes, and of the share that is not 0
MAX_OVERDISPERSION = 20.0
LEAST_LOG_MASS = -700.0  # below it the probability of 0 is 0 in double precision
DEVIATIONS_BELOW = 12  # standard deviations below the mean, where the sum begins then
MAX_COUNT = 1_000_000  # a quantile is not looked for beyond


def has_many_zeros(y: Floats, season: int) -> bool:
    """Return whether a series is one of counts, most but not all of them 0, whose zeros do not come with the season."""
    if len(y) < MIN_VALUES or np.min(y) < 0 or np.max(y) > LARGEST or not np.max(y) > 0:
        return False
    if np.mean(y == 0) < MIN_ZEROS or not (y == np.floor(y)).all():
        return False
    return not (season > 1 and len(y) >= 2 * season and is_seasonal(y, season, SEASONAL_FROM))


@compiled
def levels(y: Floats) -> Floats:
    """Return the four levels, shape (4,)."""
    found = np.empty(4)
    found[0] = np.mean(y)
    found[1] = np.mean(y[max(0, len(y) - LAST_VALUES) :])
    least = np.inf
    for alpha in ALPHAS:
        level, squares = np.mean(y[:FIRST_VALUES]), 0.0
        for value in y:
            squares += (value - level) ** 2
            level += alpha * (value - level)
        if squares < least:
            least = squares
            found[2] = level
    size, share = 0.0, np.mean((y > 0).astype(np.float64))
    for value in y:
        if value > 0:
            size = value
            break
    for value in y:
        share += TSB_BETA * ((1.0 if value > 0 else 0.0) - share)
        if value > 0:
            size += TSB_ALPHA * (value - size)
    found[3] = share * size
    return found


@compiled
def quantile(mean: float, overdispersion: float, probability: float) -> float:
    """Return the least count at or below which a negative binomial's probability is at least the given one.

    Args:
        mean: of the distribution, above 0.
        overdispersion: a, such that its variance is mean + a mean^2; almost 0 is Poisson's.
        probability: in (0, 1).
    """
    size = 1 / max(overdispersion, 1e-6)
    failure = mean / (mean + size)
    first = 0  # almost nothing is below; counts from 0 on would have too little mass to be added up
    if size * np.log(size / (mean + size)) < LEAST_LOG_MASS:
        first = max(int(mean - DEVIATIONS_BELOW * np.sqrt(mean + mean * mean / size)), 0)
    log_mass = size * np.log(size / (mean + size)) + first * np.log(failure)
    for k in range(first):
        log_mass += np.log((k + size) / (k + 1))
    mass = np.exp(log_mass)
    total, count = mass, first
    while total < probability and count < MAX_COUNT:
        mass *= (count + size) / (count + 1) * failure
        total += mass
        count += 1
    return float(count)


def forecast(y: Floats, probabilities: tuple[float, ...]) -> tuple[Floats, Floats, Floats]:
    """Return the four levels, whose mean is the forecast of every step, and the ends of intervals, shape (levels,).

    Args:
        y: counts, shape (n,).
        probabilities: of the intervals.
    """
    found = levels(y)
    centre, variance = float(np.mean(y)), float(np.var(y, ddof=1))
    overdispersion = min(max((variance - centre) / centre**2, 0.0), MAX_OVERDISPERSION) if centre > 0 else 0.0
    expected = max(float(np.mean(found)), 1e-6)
    lower = [quantile(expected, overdispersion, (1 - level) / 2) for level in probabilities]
    upper = [quantile(expected, overdispersion, (1 + level) / 2) for level in probabilities]
    return found, np.array(lower), np.array(upper)
