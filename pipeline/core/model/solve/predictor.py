"""A nonlinear predictor, and the objective that its parameters minimise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Bools, Floats
from pipeline.core.compiled import inlined
from pipeline.core.model.solve.growth import FLAT, LINEAR, LOGISTIC


class Design(NamedTuple):
    """The parts of a series' predictor.

    Attributes:
        growth: LINEAR, LOGISTIC or FLAT.
        z: smooth columns, shape (T, ns), of which the first two (FLAT: the first) belong to the trend.
        t: ascending, shape (T,).
        changepoints: ascending, shape (nd,).
        cap: scaled capacities, shape (T,); not read unless LOGISTIC.
        multiplicative: of each smooth column, shape (ns,).
    """

    growth: int
    z: Floats
    t: Floats
    changepoints: Floats
    cap: Floats
    multiplicative: Bools


class Nonlinear(NamedTuple):
    """A series whose predictor is not linear in its parameters.

    Attributes:
        design: of its predictor.
        y: scaled, shape (T,).
        precision: of the smooth parameters' priors, shape (ns,).
        tau: scale of the hinges' prior.
    """

    design: Design
    y: Floats
    precision: Floats
    tau: float


class Predictor(NamedTuple):
    """A predictor and its parts, each of shape (T,).

    Attributes:
        hinges: sum_j delta_j (t - s_j)+.
        trend: in scaled units.
        factor: 1 + X_m b.
        f: trend * factor + additive terms.
    """

    hinges: Floats
    trend: Floats
    factor: Floats
    f: Floats


@inlined
def write_trend(design: Design, theta: Floats, hinges: Floats, trend: Floats) -> None:
    """Write the sum of the hinges, and the trend, both of shape (T,).

    Args:
        design: of the predictor.
        theta: parameters: k and m (LOGISTIC: k and c; FLAT: m alone), other smooth ones, deltas.
        hinges, trend: as in Predictor.
    """
    growth, t, changepoints, cap = design.growth, design.t, design.changepoints, design.cap
    ns, nd = design.z.shape[1], len(changepoints)
    slope = offset = 0.0
    j = 0
    for row in range(len(t)):
        while j < nd and changepoints[j] < t[row]:
            slope += theta[ns + j]
            offset -= theta[ns + j] * changepoints[j]
            j += 1
        hinges[row] = slope * t[row] + offset
        if growth == LINEAR:
            trend[row] = theta[0] * t[row] + theta[1] + hinges[row]
        elif growth == LOGISTIC:
            trend[row] = cap[row] / (1 + np.exp(-(theta[0] * t[row] + theta[1] + hinges[row])))
        else:
            trend[row] = theta[0]


@inlined
def predict(design: Design, theta: Floats, predictor: Predictor) -> None:
    """Write the predictor for some parameters, shape (ns + nd,)."""
    z, multiplicative = design.z, design.multiplicative
    rows, ns = z.shape
    write_trend(design, theta, predictor.hinges, predictor.trend)
    for row in range(rows):
        times, plus = 1.0, 0.0
        for k in range(1 if design.growth == FLAT else 2, ns):
            if multiplicative[k]:
                times += z[row, k] * theta[k]
            else:
                plus += z[row, k] * theta[k]
        predictor.factor[row] = times
        predictor.f[row] = predictor.trend[row] * times + plus


@inlined
def residual_sum_of_squares(y: Floats, f: Floats) -> float:
    """Return |y - f|^2."""
    total = 0.0
    for row in range(len(y)):
        total += (y[row] - f[row]) ** 2
    return total


@inlined
def penalties(series: Nonlinear, theta: Floats) -> float:
    """Return the negative log prior of the parameters, without constants."""
    growth, precision = series.design.growth, series.precision
    ns = len(precision)
    total = 0.0
    if growth == LOGISTIC:
        total += 0.5 * (precision[0] * theta[0] ** 2 + precision[1] * (theta[1] / theta[0]) ** 2)
    for k in range(2 if growth == LOGISTIC else 0, ns):
        total += 0.5 * precision[k] * theta[k] * theta[k]
    for j in range(ns, len(theta)):
        total += abs(theta[j]) / series.tau
    return total


@inlined
def misfit(rss: float, s2: float, rows: int, with_sigma: bool) -> float:
    """Return the negative log likelihood and prior of sigma; without what sigma alone decides if it is fixed."""
    part = rss / (2 * s2)
    return part + rows * 0.5 * np.log(s2) + 2 * s2 if with_sigma else part
