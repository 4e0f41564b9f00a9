"""Series that each have their own dates, regressors or nonlinear terms: one design a series."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.model.compiled import compiled
from pipeline.core.model.gauss_newton import FLAT, LOGISTIC, gauss_newton, predict
from pipeline.core.model.gram import hinge_gram, products, smooth_gram
from pipeline.core.model.solver import solve


@compiled
def smooth_columns(
    growth: int, t: Floats, rows: Ints, table: Floats, own: Floats, gates: Floats, gate_of: Ints, z: Floats
) -> None:
    """Write the smooth columns of one series: those of its trend, of the calendar's table, and its own.

    Args:
        growth: LINEAR, LOGISTIC or FLAT.
        t: scaled time, shape (T,).
        rows: row of the table for each date, shape (T,).
        table: features of dates, shape (dates, K).
        own: the series' own columns (regressors), shape (T, R).
        gates: whether each condition holds, as 0 or 1, shape (T, C).
        gate_of: for each column of the table its condition, or -1, shape (K,).
        z: the result, shape (T, first + K + R).
    """
    first = 1 if growth == FLAT else 2
    width = table.shape[1]
    for i in range(len(t)):
        if first == 2:
            z[i, 0] = t[i]
        z[i, first - 1] = 1.0
        row = rows[i]
        for k in range(width):
            z[i, first + k] = table[row, k]
        if gates.shape[1] > 0:
            for k in range(width):
                if gate_of[k] >= 0:
                    z[i, first + k] *= gates[i, gate_of[k]]
        for k in range(own.shape[1]):
            z[i, first + width + k] = own[i, k]


@compiled
def fit_ragged(
    growth: int, offsets: Ints, t: Floats, y: Floats, changepoints: Floats,
    rows: Ints, table: Floats, own: Floats, gates: Floats, gate_of: Ints, precision: Floats, tau: float,
    theta: Floats, s2: Floats, status: Ints,
) -> None:  # fmt: skip
    """Fit additive series that have the same columns.

    Args:
        growth: LINEAR or FLAT.
        offsets: series i has rows offsets[i] to offsets[i + 1], shape (n + 1,).
        t: scaled time, ascending within a series, shape (N,).
        y: scaled values, shape (N,).
        changepoints: of each series, in its scaled time, shape (n, nd); nd = 0 for FLAT.
        rows, own, gates: as in smooth_columns, for all rows, N long.
        table, gate_of: as in smooth_columns.
        precision: of the smooth parameters' priors, shape (ns,).
        tau: scale of the hinges' prior.
        theta: results: smooth parameters and hinges, shape (n, ns + nd).
        s2: results: variance of the noise, shape (n,).
        status: results: how s2 was found, shape (n,).
    """
    n, nd = changepoints.shape
    ns = len(precision)
    p = ns + nd
    longest = 0
    for i in range(n):
        longest = max(longest, offsets[i + 1] - offsets[i])
    room_z, ones, centred = np.empty((longest, ns)), np.ones(longest), np.empty(longest)
    gram, work, room = np.zeros((p, p)), np.zeros((p + 4, p)), np.zeros((p + 4, p))
    target, pull, lever, signs = np.empty(p), np.zeros(ns), np.zeros(ns), np.empty(nd, np.int64)
    at = 0 if growth == FLAT else 1
    for i in range(n):
        a, b = offsets[i], offsets[i + 1]
        z = room_z[: b - a]
        smooth_columns(growth, t[a:b], rows[a:b], table, own[a:b], gates[a:b], gate_of, z)
        mean = np.mean(y[a:b])
        for row in range(b - a):
            centred[row] = y[a + row] - mean
        pull[at] = -mean * precision[at]
        smooth_gram(z, gram)
        hinge_gram(z, ones, t[a:b], changepoints[i], gram)
        yy = products(z, ones, t[a:b], changepoints[i], centred[: b - a], target)
        s2[i], status[i] = solve(
            gram, target, pull, precision, lever, yy, b - a, tau, False, 0.0, theta[i], signs, work, room)  # fmt: skip
        theta[i, at] += mean


@compiled
def fit_nonlinear(
    growth: int, offsets: Ints, t: Floats, y: Floats, cap: Floats, changepoints: Floats,
    rows: Ints, table: Floats, own: Floats, gates: Floats, gate_of: Ints,
    multiplicative: Bools, precision: Floats, tau: float, theta: Floats, s2: Floats, status: Ints,
) -> None:  # fmt: skip
    """Fit series with multiplicative terms or logistic growth that have the same columns.

    Args:
        growth: LINEAR, LOGISTIC or FLAT.
        cap: scaled capacities, shape (N,); not read unless LOGISTIC.
        multiplicative: of each smooth column, shape (ns,).
        offsets, t, y, changepoints, rows, table, own, gates, gate_of, precision, tau: as for fit_ragged.
        theta, s2, status: results, as for fit_ragged.
    """
    n, nd = changepoints.shape
    ns = len(precision)
    p = ns + nd
    gram, work, room = np.zeros((p, p)), np.zeros((p + 4, p)), np.zeros((p + 4, p))
    signs = np.empty(nd, np.int64)
    for i in range(n):
        a, b = offsets[i], offsets[i + 1]
        z = np.empty((b - a, ns))
        smooth_columns(growth, t[a:b], rows[a:b], table, own[a:b], gates[a:b], gate_of, z)
        s2[i], status[i] = gauss_newton(
            growth, z, t[a:b], y[a:b], changepoints[i], cap[a:b] if growth == LOGISTIC else cap, multiplicative,
            precision, tau, theta[i], signs, gram, work, room)  # fmt: skip


@compiled
def predict_ragged(
    growth: int, offsets: Ints, t: Floats, cap: Floats, changepoints: Floats,
    rows: Ints, table: Floats, own: Floats, gates: Floats, gate_of: Ints,
    multiplicative: Bools, theta: Floats, trend: Floats, factor: Floats, predictor: Floats,
) -> None:  # fmt: skip
    """Write the trend, 1 + X_m b, and the predictor of each row, all scaled; arguments as in fit_ragged."""
    ns = len(multiplicative)
    for i in range(len(offsets) - 1):
        a, b = offsets[i], offsets[i + 1]
        z, hinges = np.empty((b - a, ns)), np.empty(b - a)
        smooth_columns(growth, t[a:b], rows[a:b], table, own[a:b], gates[a:b], gate_of, z)
        parameters = theta[i].copy()
        if growth == LOGISTIC:
            parameters[1] *= -parameters[0]
        predict(
            growth,
            parameters,
            z,
            t[a:b],
            changepoints[i],
            cap[a:b] if growth == LOGISTIC else cap,
            multiplicative,
            hinges,
            trend[a:b],
            factor[a:b],
            predictor[a:b],
        )
