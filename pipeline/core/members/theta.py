"""The dynamic optimised theta model (Fiorucci et al. 2016, "Models for optimising the theta method").

A theta line bends the series' own straight line: its level is smoothed exponentially, and the forecast adds to it a
share 1 - 1/theta of the line through all values so far, whose intercept and slope are updated with each value.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled

ALPHAS, THETAS = (0.05, 0.2, 0.5, 0.9), (1.0, 2.0, 6.0)
MIN_ALPHA, MAX_ALPHA, MAX_THETA = 0.01, 0.99, 10.0
ROUNDS = 4
SETTLED = 2  # errors of the first steps do not count: the line is not known yet


@compiled
def _line_after(i: int, intercept: float, slope: float, mean: float, value: float) -> tuple[float, float, float]:
    """Return intercept, slope and mean with the value at step i added to those of the i values before."""
    new_mean = (i * mean + value) / (i + 1)
    if i == 0:
        return value, 0.0, new_mean
    new_slope = ((i - 1) * slope + 6 * (value - mean) / (i + 1)) / (i + 2)
    return new_mean - new_slope * (i + 2) / 2, new_slope, new_mean


@compiled
def _run(y: Floats, alpha: float, theta: float) -> tuple[float, float, float, float]:
    """Return the sum of squared errors one step ahead, the last level, intercept and slope."""
    share = 1 - 1 / theta
    level, intercept, slope, mean = y[0], y[0], 0.0, y[0]
    squares, kept = 0.0, 1.0  # kept: (1 - alpha)^i
    for i in range(len(y)):
        if i > 0:
            kept *= 1 - alpha
            error = y[i] - level - share * (kept * intercept + (1 - kept) / alpha * slope)
            if i > SETTLED:
                squares += error * error
        level = alpha * y[i] + (1 - alpha) * level
        intercept, slope, mean = _line_after(i, intercept, slope, mean, y[i])
    return squares, level, intercept, slope


@compiled
def search(y: Floats, parameters: Floats) -> None:
    """Write alpha and theta with a small squared error: the best of a grid, then along each in turn."""
    best = np.inf
    parameters[0], parameters[1] = 0.5, 2.0
    if len(y) <= SETTLED + 1:  # no error counts yet
        return
    for alpha in ALPHAS:
        for theta in THETAS:
            squares, _, _, _ = _run(y, alpha, theta)
            if squares < best:
                best = squares
                parameters[0], parameters[1] = alpha, theta
    alpha_step, theta_step = 0.15, 0.5  # theta's is of its logarithm
    for _ in range(ROUNDS):
        for k in range(2):
            for sign in (-1.0, 1.0):
                alpha, theta = parameters[0], parameters[1]
                if k == 0:
                    alpha = min(max(alpha + sign * alpha_step, MIN_ALPHA), MAX_ALPHA)
                else:
                    theta = min(max(np.exp(np.log(theta) + sign * theta_step), 1.0), MAX_THETA)
                squares, _, _, _ = _run(y, alpha, theta)
                if squares < best:
                    best = squares
                    parameters[0], parameters[1] = alpha, theta
                    break
        alpha_step *= 0.5
        theta_step *= 0.5


@compiled
def forecast(y: Floats, parameters: Floats, out: Floats) -> None:
    """Write the forecast of the next steps, shape (h,): each forecast is taken for a value by the next."""
    alpha, share = parameters[0], 1 - 1 / parameters[1]
    _, level, intercept, slope = _run(y, alpha, parameters[1])
    i, mean = len(y), float(np.mean(y))
    for k in range(len(out)):
        kept = (1 - alpha) ** i
        out[k] = level + share * (kept * intercept + (1 - kept) / alpha * slope)
        level = alpha * out[k] + (1 - alpha) * level
        intercept, slope, mean = _line_after(i, intercept, slope, mean, out[k])
        i += 1
