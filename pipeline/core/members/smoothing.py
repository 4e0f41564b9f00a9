"""Exponential smoothing with a damped trend, without a season, or with an additive or multiplicative one.

In error-correction form (Hyndman, Koehler, Ord & Snyder 2008, "Forecasting with exponential smoothing", chapter 2),
with the level l, the trend b and the season s, and e the error of the forecast one step ahead:

    forecast l + phi b (+ s or times s);  l += phi b + alpha e;  b = phi b + alpha beta e;  s += gamma (1 - alpha) e

With a multiplicative season e is divided by the season where it moves level and trend, and by the level where it moves
the season. All kernels take any history without gaps; parameters are searched once for each series.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled

NO_SEASON, ADDITIVE, MULTIPLICATIVE = 0, 1, 2
EXPLODED = 1e299  # the squared error of parameters for which the states leave all bounds
MAX_LEVEL = 1e18
SMALLEST_FACTOR = 1e-3  # of a multiplicative season, which divides an error
TREND_ROWS = 10  # from which the trend begins
FIRST_PARAMETERS = (0.1, 0.02, 0.02, 0.97)
ALPHAS, BETAS, PHIS, FIRST_GAMMA = (0.05, 0.2, 0.5, 0.9), (0.02, 0.2), (0.85, 0.97), 0.05
ROUNDS = 4  # of the search along each parameter, whose steps are halved each time


class Smoothing(NamedTuple):
    """A series and the states with which it begins.

    Attributes:
        y: values, shape (n,).
        kind: NO_SEASON, ADDITIVE or MULTIPLICATIVE.
        season: of the first values, shape (m,); m = 1 for NO_SEASON.
        level, trend: before the first value.
    """

    y: Floats
    kind: int
    season: Floats
    level: float
    trend: float


@compiled
def smooth(series: Smoothing, parameters: Floats, season: Floats) -> tuple[float, float, float]:
    """Run the states over a series; return the sum of squared errors, the last level and the last trend.

    Args:
        series: with m its season's length.
        parameters: alpha, beta, gamma and phi.
        season: room for the season, shape (m,); holds the last one afterwards, by position modulo m.
    """
    alpha, beta, gamma, phi = parameters[0], parameters[1], parameters[2], parameters[3]
    level, trend, squares = series.level, series.trend, 0.0
    m = len(series.season)
    for j in range(m):
        season[j] = series.season[j]
    for i in range(len(series.y)):
        ahead = level + phi * trend
        j = i % m
        if series.kind == NO_SEASON:
            error = series.y[i] - ahead
            correction = error
        elif series.kind == ADDITIVE:
            error = series.y[i] - ahead - season[j]
            correction = error
            season[j] += gamma * (1 - alpha) * error
        else:
            factor = season[j]
            error = series.y[i] - ahead * factor
            correction = error / (factor if abs(factor) > SMALLEST_FACTOR else SMALLEST_FACTOR)
            season[j] = factor + gamma * (1 - alpha) * error / (ahead if abs(ahead) > 1e-9 else 1e-9)
        level = ahead + alpha * correction
        trend = phi * trend + alpha * beta * correction
        squares += error * error
        if not abs(level) < MAX_LEVEL:
            return EXPLODED, level, trend
    return squares, level, trend


@compiled
def search(series: Smoothing, parameters: Floats) -> None:
    """Write alpha, beta, gamma and phi with a small squared error: the best of a grid, then along each in turn."""
    room = np.empty(len(series.season))
    tried = np.empty(4)
    best = np.inf
    for k in range(4):
        parameters[k] = FIRST_PARAMETERS[k]
    seasonal = series.kind != NO_SEASON
    for alpha in ALPHAS:
        for beta in BETAS:
            for phi in PHIS:
                tried[0], tried[1], tried[2], tried[3] = alpha, beta, FIRST_GAMMA if seasonal else 0.0, phi
                squares, _, _ = smooth(series, tried, room)
                if squares < best:
                    best = squares
                    parameters[:] = tried
    low, high = np.array([0.005, 0.001, 0.001, 0.8]), np.array([0.995, 0.9, 0.9, 0.98])
    step = np.array([0.15, 0.1, 0.15, 0.06])
    for _ in range(ROUNDS):
        for k in range(4):
            if k == 2 and not seasonal:
                continue
            for sign in (-1.0, 1.0):
                tried[:] = parameters
                tried[k] = min(max(parameters[k] + sign * step[k], low[k]), high[k])
                squares, _, _ = smooth(series, tried, room)
                if squares < best:
                    best = squares
                    parameters[:] = tried
                    break
        step *= 0.5


@compiled
def forecast(series: Smoothing, parameters: Floats, out: Floats) -> None:
    """Write the forecast of the next steps, shape (h,)."""
    m, n = len(series.season), len(series.y)
    season = np.empty(m)
    _, level, trend = smooth(series, parameters, season)
    phi, along = parameters[3], 0.0
    for k in range(len(out)):
        along += phi ** (k + 1)
        out[k] = level + along * trend
        if series.kind == ADDITIVE:
            out[k] += season[(n + k) % m]
        elif series.kind == MULTIPLICATIVE:
            out[k] *= season[(n + k) % m]


@compiled
def start_of(y: Floats) -> tuple[float, float]:
    """Return the level before the first value and the trend, by least squares through some values."""
    rows = len(y)
    middle = (rows - 1) / 2
    mean = float(np.mean(y))
    squares = products = 0.0
    for i in range(rows):
        squares += (i - middle) ** 2
        products += (i - middle) * (y[i] - mean)
    trend = products / squares if squares > 0 else 0.0
    return mean - trend * middle - trend, trend
