"""Autoregression by Burg's method (1975), its order by the corrected Akaike criterion (Hurvich & Tsai 1989)."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled

ROWS_LEFT = 8  # that an order must leave
SMALLEST_VARIANCE = 1e-300


@compiled
def forecast(x: Floats, max_order: int, out: Floats) -> int:
    """Fit an autoregression with a mean, and write the forecast of the next steps, shape (h,); return its order."""
    n, mean = len(x), np.mean(x)
    forward = x - mean
    backward = forward.copy()
    variance = np.sum(forward * forward) / n
    best = n * np.log(max(variance, SMALLEST_VARIANCE)) + 2.0
    coefficients, chosen, order = np.zeros(max_order + 1), np.zeros(max_order + 1), 0
    for p in range(1, max_order + 1):
        if n - p < ROWS_LEFT:
            break
        products = squares = 0.0
        for i in range(p, n):
            products += forward[i] * backward[i - 1]
            squares += forward[i] ** 2 + backward[i - 1] ** 2
        if squares <= 0:
            break
        reflection = 2 * products / squares
        longer = coefficients.copy()
        longer[p] = reflection
        for j in range(1, p):
            longer[j] = coefficients[j] - reflection * coefficients[p - j]
        coefficients = longer
        for i in range(n - 1, p - 1, -1):
            ahead = forward[i]
            forward[i] = ahead - reflection * backward[i - 1]
            backward[i] = backward[i - 1] - reflection * ahead
        variance *= 1 - reflection * reflection
        parameters = p + 2
        criterion = n * np.log(max(variance, SMALLEST_VARIANCE)) + 2 * parameters * n / max(n - parameters - 1, 1)
        if criterion < best:
            best, order = criterion, p
            chosen = coefficients.copy()
    for k in range(len(out)):
        value = 0.0
        for j in range(1, order + 1):
            value += chosen[j] * ((out[k - j] if k >= j else x[n + k - j]) - mean)
        out[k] = mean + value
    return order
