"""Members that repeat what was: the last value, the last season, the median of seasons, last year's level moved."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled

MEDIAN_SEASONS = 4
SHARE_YEARS, SHARE_DECAY = 3, 0.6  # of the shares of a year's parts: how many years, and what an older one counts


@compiled
def naive(y: Floats, out: Floats) -> None:
    """Write the last value for each step."""
    for k in range(len(out)):
        out[k] = y[len(y) - 1]


@compiled
def drift(y: Floats, out: Floats) -> None:
    """Write the line from the first value through the last."""
    n = len(y)
    slope = (y[n - 1] - y[0]) / max(n - 1, 1)
    for k in range(len(out)):
        out[k] = y[n - 1] + slope * (k + 1)


@compiled
def seasonal_naive(y: Floats, m: int, out: Floats) -> None:
    """Write the last season over and over; the last value if there is no whole season."""
    n = len(y)
    for k in range(len(out)):
        out[k] = y[n - m + k % m] if n >= m else y[n - 1]


@compiled
def seasonal_median(y: Floats, m: int, out: Floats) -> None:
    """Write the median of the last four seasons, of which there must be that many."""
    n = len(y)
    values = np.empty(MEDIAN_SEASONS)
    for k in range(len(out)):
        for season in range(MEDIAN_SEASONS):
            values[season] = y[n - (season + 1) * m + k % m]
        out[k] = np.median(values)


@compiled
def moved_season(y: Floats, m: int, level_rows: int, out: Floats) -> None:
    """Write the last long season, moved by how much the median of its last values has changed since the one before."""
    n = len(y)
    change = 0.0
    if n >= m + level_rows:
        change = np.median(y[n - level_rows :]) - np.median(y[n - m - level_rows : n - m])
    for k in range(len(out)):
        out[k] = y[n - m + k % m] + change


@compiled
def mean_season(y: Floats, m: int, out: Floats) -> None:
    """Write the mean of the last two long seasons, or the last one if there is no other."""
    n = len(y)
    for k in range(len(out)):
        last = y[n - m + k % m]
        out[k] = (last + y[n - 2 * m + k % m]) / 2 if n >= 2 * m else last


@compiled
def season_means(y: Floats, m: int) -> Floats:
    """Return the mean of each whole season up to the last value, shape (n // m,)."""
    n = len(y)
    seasons = n // m
    means = np.zeros(seasons)
    for i in range(seasons):
        for j in range(m):
            means[i] += y[n - (seasons - i) * m + j]
        means[i] /= m
    return means


@compiled
def shared_out(y: Floats, m: int, means: Floats, ahead: Floats, positive: bool, out: Floats) -> None:
    """Write forecast season means shared out over the season as in recent seasons.

    Args:
        y: values.
        m: length of the season.
        means: of past seasons.
        ahead: of the seasons to come.
        positive: whether shares are ratios to the mean, and not differences from it.
        out: the forecast, shape (h,).
    """
    n, seasons = len(y), len(means)
    for k in range(len(out)):
        share = weights = 0.0
        weight = 1.0
        for back in range(min(SHARE_YEARS, seasons)):
            value, mean = y[n - (back + 1) * m + k % m], means[seasons - 1 - back]
            share += weight * (value / mean if positive else value - mean)
            weights += weight
            weight *= SHARE_DECAY
        share /= weights
        out[k] = ahead[k // m] * share if positive else ahead[k // m] + share
