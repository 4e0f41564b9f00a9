"""Intervals of logistic growth: exact along the curve's tangent, or by simulation with fixed numbers.

Prophet lets the argument of the curve deviate as it lets a linear trend deviate, a step later. Where these deviations
are small the curve is as good as its tangent, and the half widths are those of linear growth; else its bends count.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled
from pipeline.core.model.intervals.half_widths import half_widths_for

if TYPE_CHECKING:
    from pipeline.core.model.fitted import FittedSeries
    from pipeline.core.model.predict import Prediction


SEED = 0
PATHS = 4_000  # fewer for long horizons: as many as fit MOST_DRAWS
MOST_DRAWS = 2_000_000
STRAIGHT = 0.05  # standard deviation of the argument up to which the tangent suffices: within 1 % of a half width


def nearly_straight_half_widths(tangent: Floats, chance: Floats, levels: tuple[float, ...]) -> Floats:
    """Return half widths in units of sigma, shape (levels, n, H), of deviations along the tangent.

    Args:
        tangent: scale of slope changes times the step and the curve's derivative, over sigma, shape (n, H).
        chance: of a slope change at a step, shape (n,).
        levels: probabilities.
    """
    n, horizon = tangent.shape
    half = np.empty((len(levels), n, horizon))
    half[:, :, 0] = np.array([[NormalDist().inv_cdf((1 + level) / 2)] for level in levels])
    if horizon > 1:
        half[:, :, 1:] = half_widths_for(horizon - 1, levels).of(chance, tangent[:, 1:])
    return half


@lru_cache(maxsize=2)
def _draws(horizon: int) -> tuple[Floats, Floats, Floats]:
    """Return uniform, Laplace(0, 1) and Normal(0, 1) numbers, each of shape (horizon, paths).

    A Latin hypercube: at each step the Laplace and the normal numbers are the quantiles of equal shares, in
    random order, so that what is made of one step's numbers alone has next to no simulation error.
    """
    random = np.random.default_rng(SEED)
    paths = max(100, min(PATHS, MOST_DRAWS // horizon))
    shares = (np.arange(paths) + 0.5) / paths
    normal = np.array([NormalDist().inv_cdf(share) for share in shares.tolist()])
    laplace = np.where(shares < 0.5, np.log(2 * shares), -np.log(2 * (1 - shares)))
    columns = np.stack([shares, laplace, normal])
    return tuple(np.stack([random.permutation(column) for _ in range(horizon)]) for column in columns)  # type: ignore[return-value]


def simulated_interval(
    fitted: FittedSeries, prediction: Prediction, i: int, chance: float, slope: float, dt: float,
    levels: tuple[float, ...],
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return the ends of the intervals of series i, each of shape (levels, H).

    As Prophet's sampler has it: slope changes, each spread over two steps, bend the curve's argument, which stays
    continuous; the mean of the simulated trends is put back onto the forecast.

    Args:
        fitted: the series.
        prediction: their forecast.
        i: index of the series.
        chance: of a slope change at a step.
        slope: scale of the slope changes.
        dt: a step, in scaled time.
        levels: probabilities.
    """
    t, cap = prediction.t[i], prediction.cap[i]
    changes = fitted.delta[i]
    argument = fitted.k[i] * (t - fitted.m[i]) + np.maximum(t[:, None] - fitted.changepoints_t[i], 0) @ changes
    scale = float(fitted.y_scale[i])
    tails = np.array([(1 - level) / 2 for level in levels])
    deviations = _simulate(
        argument, cap, prediction.factor[i], *_draws(len(t)), chance, slope * dt, float(fitted.sigma_obs[i]),
        np.concatenate([tails, 1 - tails]))  # fmt: skip
    ends = prediction.yhat[i] + scale * deviations
    return ends[: len(levels)], ends[len(levels) :]


@compiled
def _simulate(
    argument: Floats, cap: Floats, factor: Floats, uniform: Floats, laplace: Floats, normal: Floats,
    chance: float, slope: float, sigma: float, probabilities: Floats,
) -> Floats:  # fmt: skip
    """Return quantiles of simulated deviations from the forecast, in scaled units, shape (probabilities, H)."""
    horizon, paths = uniform.shape
    result = np.empty((len(probabilities), horizon))
    rates, bends, trends = np.zeros(paths), np.zeros(paths), np.empty(paths)
    for h in range(horizon):
        mean = 0.0
        for path in range(paths):
            # a change at step i weighs h - i - 1/2 steps from the next step on: half of it counts from each of two
            bends[path] += rates[path]
            if h > 0 and uniform[h - 1, path] < chance:
                half = slope * laplace[h - 1, path] / 2
                bends[path] += half
                rates[path] += 2 * half
            trends[path] = cap[h] / (1 + np.exp(-(argument[h] + bends[path])))
            mean += trends[path]
        mean /= paths
        for path in range(paths):
            trends[path] = (trends[path] - mean) * factor[h] + sigma * normal[h, path]
        result[:, h] = np.quantile(trends, probabilities)
    return result
