"""Ridge regressions one step ahead on lags and seasons, iterated.

What is regressed is y less the mean of the last values at the same position of the season. Columns: a constant; the
last errors of that mean; earlier seasons less it; and where a longer season exists, the values and changes a long
season ago. Columns are scaled by their root mean square. The penalty is chosen by generalised cross-validation (Golub,
Heath & Wahba 1979), softened: the solutions at the 1/6, 1/2 and 5/6 points of the weights exp(-tau (GCV / least - 1))
are averaged. Residuals are winsorised at three robust deviations, and the problem is solved again.

"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.members.tridiagonal import penalised, tridiagonalise

MAX_ROWS = 2700  # of the end of a history
MIN_ROWS = 12
MIN_LONG_ROWS = 40  # that columns of a long season must leave
PENALTIES, LEAST_EXPONENT, EXPONENT_STEP = 17, -4.0, 0.375
ROBUST = 3.0  # deviations at which residuals are winsorised
ERROR_CLIP = 20.0  # robust deviations to which the last errors are clipped, against an outlier in the last row
MAX_COLUMNS = 80
FALLBACK_PENALTY = 10.0
MIN_FREE = 0.05  # share of the rows that must be free for cross-validation


class Ridge(NamedTuple):
    """What a regression is made of.

    Attributes:
        season, long_season: lengths; long_season is 0 if there is none.
        averaged: how many last values at a position are averaged (K).
        errors: how many of the last errors are columns (J).
        seasons: how many earlier seasons are columns (Q).
        softness: tau.
    """

    season: int
    long_season: int
    averaged: int
    errors: int
    seasons: int
    softness: float


@compiled
def layout(ridge: Ridge, n: int) -> tuple[int, int, int, int]:
    """Return Q, K, the first row, and how many long seasons are columns, for a history of n values."""
    m = ridge.season
    seasons = max(min(ridge.seasons, (n // 3) // m), 2) if m > 1 else 2
    averaged = min(ridge.averaged, seasons) if m > 1 else ridge.averaged
    first = max(ridge.errors + averaged * m, seasons * m + 2, m + 1 + averaged * m)
    long = 0
    if ridge.long_season > 0:
        for count in (1, 2):
            if n - max(first, ridge.long_season * count + m + 3) >= max(2 * m, MIN_LONG_ROWS):
                long = count
        if long:
            first = max(first, ridge.long_season * long + m + 3)
    return seasons, averaged, first, long


@compiled
def write_columns(ridge: Ridge, z: Floats, mean: Floats, t: int, seasons: int, long: int, row: Floats) -> int:
    """Write the columns for step t, shape (p,); return p."""
    m = ridge.season
    row[0] = 1.0
    p = 1
    for j in range(1, ridge.errors + 1):
        row[p] = z[t - j] - mean[t - j]
        p += 1
    if m > 1:
        for q in range(1, seasons + 1):
            row[p] = z[t - q * m] - mean[t]
            p += 1
        row[p] = z[t - m] - mean[t - m]
        row[p + 1] = z[t - m - 1] - mean[t - m - 1]
        p += 2
    for count in range(1, long + 1):
        o = ridge.long_season * count
        row[p] = z[t - o] - mean[t]
        row[p + 1] = z[t - 1] - z[t - o - 1]
        row[p + 2] = z[t - 2] - z[t - o - 2]
        row[p + 3] = z[t - m] - z[t - o - m]
        p += 4
    return p


@compiled
def _mean_at(z: Floats, t: int, m: int, averaged: int) -> float:
    total = 0.0
    for q in range(1, averaged + 1):
        total += z[t - q * m]
    return total / averaged


@compiled
def choose_penalties(gram: Floats, target: Floats, squares: float, n: float, softness: float, scale: Floats) -> Floats:
    """Return three penalties, each per row, and write each column's root mean square, or -1 if it never is anything."""
    p = len(target)
    largest = 0.0
    for i in range(p):
        scale[i] = np.sqrt(gram[i, i] / n)
        largest = max(largest, scale[i])
    for i in range(p):
        if not scale[i] > 1e-9 * largest:
            scale[i] = -1.0
    scaled, products = np.zeros((p, p)), np.zeros(p)
    for i in range(p):
        if scale[i] > 0:
            products[i] = target[i] / scale[i]
            for j in range(p):
                if scale[j] > 0:
                    scaled[i, j] = gram[i, j] / (scale[i] * scale[j])
    diagonal, beside = tridiagonalise(scaled, products)
    criteria, least = np.empty(PENALTIES), np.inf
    for q in range(PENALTIES):
        penalty = n * 10.0 ** (LEAST_EXPONENT + q * EXPONENT_STEP)
        explained, trace = penalised(diagonal, beside, products, penalty)
        rss, free = squares - explained, 1 - (p - penalty * trace) / n
        criteria[q] = max(rss, 1e-12 * squares) / n / free**2 if free > MIN_FREE else np.inf
        least = min(least, criteria[q])
    chosen = np.full(3, FALLBACK_PENALTY)
    if not np.isfinite(least):
        return chosen
    weights = np.exp(-softness * (criteria / least - 1))
    weights /= np.sum(weights)
    along, k = 0.0, 0
    for q in range(PENALTIES):
        along += weights[q]
        while k < 3 and along >= (2 * k + 1) / 6 - 1e-12:
            chosen[k] = 10.0 ** (LEAST_EXPONENT + q * EXPONENT_STEP)
            k += 1
    return chosen


@compiled
def solve(gram: Floats, target: Floats, n: float, penalties: Floats, scale: Floats, result: Floats) -> None:
    """Write the mean of the solutions for some penalties, shape (p,)."""
    p = len(target)
    factor, half, one = np.zeros((p, p)), np.zeros(p), np.zeros(p)
    result[:] = 0.0
    for q in range(len(penalties)):
        if q == 0 or penalties[q] != penalties[q - 1]:
            for i in range(p):
                for j in range(i + 1):
                    value = gram[i, j] / (scale[i] * scale[j]) if scale[i] > 0 and scale[j] > 0 else 0.0
                    if i == j:
                        value += n * penalties[q]
                    for k in range(j):
                        value -= factor[i, k] * factor[j, k]
                    factor[i, j] = np.sqrt(max(value, 1e-12 * n)) if i == j else value / factor[j, j]
                value = target[i] / scale[i] if scale[i] > 0 else 0.0
                for k in range(i):
                    value -= factor[i, k] * half[k]
                half[i] = value / factor[i, i]
            for i in range(p - 1, -1, -1):
                value = half[i]
                for k in range(i + 1, p):
                    value -= factor[k, i] * one[k]
                one[i] = value / factor[i, i]
        for i in range(p):
            if scale[i] > 0:
                result[i] += one[i] / scale[i] / len(penalties)


@compiled
def forecasts(y: Floats, ends: Ints, ridge: Ridge, out: Floats, available: Bools) -> None:
    """Write the forecasts after some first values of a history.

    Args:
        y: the history.
        ends: how many values each forecast may know, the whole history first, then fewer and fewer; shape (w,).
        ridge: the regression.
        out: the forecasts, shape (w, h).
        available: whether the history is long enough for each, shape (w,).
    """
    available[:] = False
    begin = max(0, ends[0] - MAX_ROWS)
    n, horizon, m = ends[0] - begin, out.shape[1], ridge.season
    seasons, averaged, first, long = layout(ridge, n)
    rows = n - first
    if rows < max(m, MIN_ROWS):
        return
    z, mean = np.empty(n + horizon), np.empty(n + horizon)
    for i in range(n):
        z[i] = y[begin + i]
    for t in range(averaged * m, n):
        mean[t] = _mean_at(z, t, m, averaged)
    row = np.empty(MAX_COLUMNS)
    p = write_columns(ridge, z, mean, first, seasons, long, row)
    x, target = np.empty((rows, p)), np.empty(rows)
    for t in range(first, n):
        write_columns(ridge, z, mean, t, seasons, long, row)
        target[t - first] = z[t] - mean[t]
        for j in range(p):
            x[t - first, j] = row[j]
    scale, beta, penalties = np.full(p, -1.0), np.zeros(p), np.ones(1)
    squares = np.sum(target * target)
    if squares > 0:
        gram, products = np.zeros((p, p)), np.zeros(p)
        _add_rows(x, target, 0, rows, gram, products)
        penalties = choose_penalties(gram, products, squares, float(rows), ridge.softness, scale)
        solve(gram, products, float(rows), penalties, scale, beta)
        fitted = np.zeros(rows)
        for i in range(rows):
            for j in range(p):
                fitted[i] += x[i, j] * beta[j]
        deviation = np.median(np.abs(target - fitted)) * 1.4826
        if deviation > 0:
            for i in range(rows):
                target[i] = fitted[i] + min(max(target[i] - fitted[i], -ROBUST * deviation), ROBUST * deviation)
            products[:] = 0.0
            for i in range(rows):
                for j in range(p):
                    products[j] += x[i, j] * target[i]
            solve(gram, products, float(rows), penalties, scale, beta)
    gram, products, done, own = np.zeros((p, p)), np.zeros(p), 0, np.zeros(p)
    for w in range(len(ends) - 1, -1, -1):
        end = ends[w] - begin
        if w > 0:
            if end - first < max(m, MIN_ROWS):
                continue
            _add_rows(x, target, done, end - first, gram, products)
            done = end - first
            solve(gram, products, float(done), penalties, scale, own)
        else:
            own[:] = beta
        _iterate(ridge, z, mean, end, seasons, averaged, long, own, row, out[w])
        available[w] = True


@compiled
def _add_rows(x: Floats, target: Floats, a: int, b: int, gram: Floats, products: Floats) -> None:
    """Add rows a to b to X'X and X'y."""
    p = x.shape[1]
    for row in range(a, b):
        for i in range(p):
            value = x[row, i]
            products[i] += value * target[row]
            for j in range(i + 1):
                gram[i, j] += value * x[row, j]
    for i in range(p):
        for j in range(i):
            gram[j, i] = gram[i, j]


@compiled
def _iterate(
    ridge: Ridge, z: Floats, mean: Floats, end: int, seasons: int, averaged: int, long: int, beta: Floats, row: Floats,
    out: Floats,
) -> None:  # fmt: skip
    """Write the forecast after `end` values, each step taken for a value by the next; leave z and mean as they were."""
    horizon = len(out)
    kept, kept_mean = z[end : end + horizon].copy(), mean[end : end + horizon].copy()
    low, high = np.min(z[:end]), np.max(z[:end])
    width = high - low
    for k in range(horizon):
        t = end + k
        mean[t] = _mean_at(z, t, ridge.season, averaged)
        p = write_columns(ridge, z, mean, t, seasons, long, row)
        value = mean[t]
        for i in range(p):
            value += row[i] * beta[i]
        z[t] = out[k] = min(max(value, low - width), high + width)
    z[end : end + horizon] = kept
    mean[end : end + horizon] = kept_mean
