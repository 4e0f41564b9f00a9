"""Whether a series has a season, and its indices by classical decomposition."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled

CRITICAL = 1.645  # of a normal distribution, for a test at 90 %


@compiled
def is_seasonal(y: Floats, m: int, least: float = 0.0) -> bool:
    """Return whether the autocorrelation at lag m is far from 0, given those at shorter lags (Bartlett 1946).

    Args:
        y: values, shape (n,).
        m: length of the season.
        least: how large it must be besides.
    """
    n, mean = len(y), np.mean(y)
    variance = 0.0
    for i in range(n):
        variance += (y[i] - mean) ** 2
    if variance <= 0:
        return False
    squares, correlation = 0.0, 0.0
    for lag in range(1, m + 1):
        products = 0.0
        for i in range(lag, n):
            products += (y[i] - mean) * (y[i - lag] - mean)
        correlation = products / variance
        if lag < m:
            squares += correlation * correlation
    return bool(abs(correlation) > max(CRITICAL * np.sqrt((1 + 2 * squares) / n), least))


@compiled
def seasonal_indices(y: Floats, m: int, multiplicative: bool) -> Floats:
    """Return the season by position modulo m, shape (m,): of mean 1 if it is multiplicative, else of mean 0.

    It is the mean ratio, or difference, of values to a centred moving average over m of them.
    """
    n, half = len(y), m // 2
    sums, index, counts = np.zeros(n + 1), np.zeros(m), np.zeros(m)
    for i in range(n):
        sums[i + 1] = sums[i] + y[i]
    for i in range(half, n - half):
        if m % 2 == 1:
            average = (sums[i + half + 1] - sums[i - half]) / m
        else:
            average = (sums[i + half] - sums[i - half] + 0.5 * (y[i + half] - y[i - half])) / m
        if multiplicative and average <= 0:
            continue
        index[i % m] += y[i] / average if multiplicative else y[i] - average
        counts[i % m] += 1
    for j in range(m):
        neutral = 1.0 if multiplicative else 0.0
        index[j] = index[j] / counts[j] if counts[j] > 0 else neutral
    mean = np.mean(index)
    return index / mean if multiplicative else index - mean
