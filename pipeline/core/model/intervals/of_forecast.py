"""Prediction intervals of fitted series, for any number of levels."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.intervals.half_widths import half_widths_for
from pipeline.core.model.intervals.logistic import STRAIGHT, nearly_straight_half_widths, simulated_interval
from pipeline.core.model.predict import Prediction
from pipeline.core.model.solve.growth import FLAT, GROWTHS, LOGISTIC

SLOPE_EPSILON = 1e-8  # Prophet adds it to the mean slope change


def intervals(fitted: FittedSeries, prediction: Prediction, levels: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return lower and upper ends, each of shape (levels, n, H).

    Args:
        fitted: n series.
        prediction: their forecast.
        levels: in percent.
    """
    probabilities = tuple(level / 100 for level in levels)
    n, horizon = prediction.t.shape
    if not levels:
        return np.empty((0, n, horizon)), np.empty((0, n, horizon))
    sigma = (fitted.sigma_obs * fitted.y_scale)[:, None]
    growth = GROWTHS[fitted.spec.growth]
    if growth == FLAT:
        normal = np.array([NormalDist().inv_cdf((1 + level) / 2) for level in probabilities])
        half = np.broadcast_to(normal[:, None, None] * sigma, (len(levels), n, horizon))
        return prediction.yhat - half, prediction.yhat + half
    t = prediction.t
    dt = (t[:, -1] - t[:, 0]) / (horizon - 1) if horizon > 1 else 1 / (fitted.rows - 1)
    chance = np.minimum(fitted.changepoints_t.shape[1] * dt, 1.0)
    slope = np.mean(np.abs(fitted.delta), axis=1) + SLOPE_EPSILON
    # non-finite values show in yhat, and become an error there
    ratio = _finite(slope * dt / fitted.sigma_obs)[:, None] * np.abs(_finite(prediction.factor))
    if growth != LOGISTIC:
        half = half_widths_for(horizon, probabilities).of(chance, ratio) * sigma
        return prediction.yhat - half, prediction.yhat + half
    share = _finite((prediction.trend - prediction.floor) / (fitted.y_scale[:, None] * prediction.cap))
    tangent = ratio * np.abs(prediction.cap * share * (1 - share))
    half = nearly_straight_half_widths(tangent, chance, probabilities) * sigma
    lower, upper = prediction.yhat - half, prediction.yhat + half
    bent = slope * dt * np.sqrt(chance * horizon * (4.0 * horizon**2 - 1) / 6) > STRAIGHT
    for i in np.flatnonzero(bent & np.isfinite(prediction.yhat).all(axis=1)).tolist():
        lower[:, i], upper[:, i] = simulated_interval(
            fitted, prediction, i, float(chance[i]), float(slope[i]), float(dt[i]), probabilities
        )
    return lower, upper


def _finite(numbers: Floats) -> Floats:
    return np.where(np.isfinite(numbers), numbers, 0.0)
