"""A direction in which the likelihood stays the same: a larger trend and smaller multiplicative terms."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled
from pipeline.core.model.solve.growth import FLAT
from pipeline.core.model.solve.predictor import (
    Design,
    Nonlinear,
    Predictor,
    penalties,
    predict,
    residual_sum_of_squares,
)

NOTHING_LEFT = 1e-20  # of the first squared gradient: what conjugate gradients leave is rounding
NEWTON_STEPS = 20
SAME_SCALE = 1e-9  # of log(c): a negligible change


@compiled
def constant_from(design: Design, unit: Floats) -> float:
    """Write the combination of the multiplicative columns that is nearest to 1, shape (ns,); the shortest if several.

    Found by conjugate gradients on the normal equations. Returns its root mean square error.
    """
    z, multiplicative = design.z, design.multiplicative
    rows, ns = z.shape
    left, image = np.ones(rows), np.empty(rows)
    gradient, way = np.zeros(ns), np.zeros(ns)
    first = before = 0.0
    for turn in range(2 * ns + 1):
        now = 0.0
        for k in range(ns):
            gradient[k] = 0.0
            if multiplicative[k]:
                for row in range(rows):
                    gradient[k] += z[row, k] * left[row]
            now += gradient[k] ** 2
        if turn == 0:
            first = before = now
        if now <= NOTHING_LEFT * first or now == 0:
            break
        length = 0.0
        for k in range(ns):
            way[k] = gradient[k] + (now / before * way[k] if turn else 0.0)
        for row in range(rows):
            image[row] = 0.0
            for k in range(ns):
                if multiplicative[k]:
                    image[row] += z[row, k] * way[k]
            length += image[row] ** 2
        step = now / length
        for k in range(ns):
            unit[k] += step * way[k]
        for row in range(rows):
            left[row] -= step * image[row]
        before = now
    return float(np.sqrt(np.mean(left**2)))


@compiled
def rescale(
    series: Nonlinear, theta: Floats, tried: Floats, unit: Floats, s2: float, rss: float, predictor: Predictor
) -> float:
    """Divide the trend by c and multiply 1 + X_m b by it, for the c that the priors favour most; return the new RSS.

    Where multiplicative columns span the constant (weekly ones on five days), the predictor stays the same all along
    that curve, and straight steps across it are short. With u the combination that is 1, b becomes c b + (c - 1) u.
    """
    design, precision = series.design, series.precision
    multiplicative, ns = design.multiplicative, len(precision)
    first = 1 if design.growth == FLAT else 2
    trend_squares = lasso = squares = mixed = 0.0
    for k in range(first):
        trend_squares += precision[k] * theta[k] ** 2
    for j in range(ns, len(theta)):
        lasso += abs(theta[j]) / series.tau
    for k in range(first, ns):
        if multiplicative[k]:
            whole = theta[k] + unit[k]
            squares += precision[k] * whole**2
            mixed += precision[k] * whole * unit[k]
    log_c = 0.0
    for _ in range(NEWTON_STEPS):  # Newton's method on the priors as a function of log(c), by steps of at most 1
        c = np.exp(log_c)
        slope = -trend_squares / c**2 - lasso / c + squares * c**2 - mixed * c
        bend = 2 * trend_squares / c**2 + lasso / c + 2 * squares * c**2 - mixed * c
        step = -slope / bend if bend > 0 else -np.sign(slope)
        step = min(max(step, -1.0), 1.0)
        log_c += step
        if abs(step) < SAME_SCALE:
            break
    before = penalties(series, theta) + rss / (2 * s2)
    while abs(log_c) > SAME_SCALE:
        c = np.exp(log_c)
        for i in range(len(theta)):
            if i < first or i >= ns:
                tried[i] = theta[i] / c
            elif multiplicative[i]:
                tried[i] = c * theta[i] + (c - 1) * unit[i]
            else:
                tried[i] = theta[i]
        predict(design, tried, predictor)
        tried_rss = residual_sum_of_squares(series.y, predictor.f)
        if penalties(series, tried) + tried_rss / (2 * s2) < before:
            theta[:] = tried
            return tried_rss
        log_c *= 0.25
    predict(design, theta, predictor)
    return rss
