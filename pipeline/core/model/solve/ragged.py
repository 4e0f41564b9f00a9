"""Series that each have their own dates, regressors or nonlinear terms: one design for each."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled, inlined
from pipeline.core.model.solve.calendar_gram import feature_gram, no_sums, trend_gram
from pipeline.core.model.solve.gauss_newton import gauss_newton
from pipeline.core.model.solve.gram import hinge_gram, products, smooth_gram
from pipeline.core.model.solve.growth import FLAT, LOGISTIC
from pipeline.core.model.solve.predictor import Design, Nonlinear, Predictor, predict
from pipeline.core.model.solve.problem import Problem, RaggedRows, Results, SmoothColumns, Workspace
from pipeline.core.model.solve.solver import solve


@inlined
def write_smooth_columns(columns: SmoothColumns, rows: RaggedRows, a: int, b: int, z: Floats) -> None:
    """Write the smooth columns of one series: those of its trend, of the calendar's table, and its own.

    Args:
        columns: of all series.
        rows: of all series.
        a, b: the series' first row, and the one after its last.
        z: the result, shape (b - a, ns).
    """
    first = 1 if columns.growth == FLAT else 2
    table, gate_of = columns.table, columns.gate_of
    width = table.shape[1]
    for i in range(b - a):
        if first == 2:
            z[i, 0] = rows.t[a + i]
        z[i, first - 1] = 1.0
        row = rows.table_row[a + i]
        for k in range(width):
            z[i, first + k] = table[row, k]
        if rows.gates.shape[1] > 0:
            for k in range(width):
                if gate_of[k] >= 0:
                    z[i, first + k] *= rows.gates[a + i, gate_of[k]]
        for k in range(rows.own.shape[1]):
            z[i, first + width + k] = rows.own[a + i, k]


@compiled
def fit_ragged(
    columns: SmoothColumns, rows: RaggedRows, y: Floats, precision: Floats, tau: float, phase: int, results: Results
) -> None:
    """Fit additive series.

    Args:
        columns: which all of them have; growth is not LOGISTIC.
        rows: of all series.
        y: scaled values, shape (N,).
        precision: of the smooth parameters' priors, shape (ns,).
        tau: scale of the hinges' prior.
        phase: of the table of features, see Stretches.
        results: where the parameters are written.
    """
    offsets, changepoints, theta = rows.offsets, rows.changepoints, results.theta
    n, nd = changepoints.shape
    ns = len(precision)
    p = ns + nd
    longest = 0
    for i in range(n):
        longest = max(longest, offsets[i + 1] - offsets[i])
    centred = np.empty(longest)
    workspace = Workspace(np.zeros((p + 4, p)), np.zeros((p + 4, p)), np.empty(nd, np.int64))
    gram, target, pull, lever = np.zeros((p, p)), np.empty(p), np.zeros(ns), np.zeros(ns)
    first = 1 if columns.growth == FLAT else 2
    intercept, width = first - 1, columns.table.shape[1]
    of_dates_alone = rows.own.shape[1] == 0 and rows.gates.shape[1] == 0
    stretches = no_sums(len(columns.table) if of_dates_alone else 0, width, phase)
    features, sums = np.empty(width * (width + 1) // 2), np.empty((3, width))
    room_z, ones = np.empty((0 if of_dates_alone else longest, ns)), np.ones(0 if of_dates_alone else longest)
    for i in range(n):
        a, b = offsets[i], offsets[i + 1]
        mean = np.mean(y[a:b])
        for row in range(b - a):
            centred[row] = y[a + row] - mean
        pull[intercept] = -mean * precision[intercept]
        if of_dates_alone:
            table_rows = rows.table_row[a:b]
            feature_gram(columns.table, table_rows, stretches, features)
            at = 0
            for k in range(width):
                for j in range(k + 1):
                    gram[first + k, first + j] = features[at]
                    at += 1
            yy = trend_gram(
                columns.table, table_rows, rows.t[a:b], centred[: b - a], changepoints[i], first, sums, gram, target
            )
        else:
            z = room_z[: b - a]
            write_smooth_columns(columns, rows, a, b, z)
            smooth_gram(z, gram)
            hinge_gram(z, ones[: b - a], rows.t[a:b], changepoints[i], gram)
            yy = products(z, ones[: b - a], rows.t[a:b], changepoints[i], centred[: b - a], target)
        problem = Problem(gram, target, pull, precision, lever, yy, b - a, tau)
        results.s2[i], results.status[i] = solve(problem, False, 0.0, theta[i], workspace)
        theta[i, intercept] += mean


@compiled
def fit_nonlinear(
    columns: SmoothColumns, rows: RaggedRows, y: Floats, precision: Floats, tau: float, results: Results
) -> None:
    """Fit series with multiplicative terms or logistic growth; arguments as for fit_ragged."""
    offsets, changepoints, cap = rows.offsets, rows.changepoints, rows.cap
    n, nd = changepoints.shape
    ns = len(precision)
    p = ns + nd
    workspace = Workspace(np.zeros((p + 4, p)), np.zeros((p + 4, p)), np.empty(nd, np.int64))
    gram = np.zeros((p, p))
    for i in range(n):
        a, b = offsets[i], offsets[i + 1]
        z = np.empty((b - a, ns))
        write_smooth_columns(columns, rows, a, b, z)
        own_cap = cap[a:b] if columns.growth == LOGISTIC else cap
        design = Design(columns.growth, z, rows.t[a:b], changepoints[i], own_cap, columns.multiplicative)
        series = Nonlinear(design, y[a:b], precision, tau)
        results.s2[i], results.status[i] = gauss_newton(series, results.theta[i], gram, workspace)


@compiled
def predict_ragged(
    columns: SmoothColumns, rows: RaggedRows, theta: Floats, trend: Floats, factor: Floats, predictor: Floats
) -> None:
    """Write the trend, 1 + X_m b, and the predictor of each row, all scaled.

    Args:
        columns, rows: as for fit_ragged.
        theta: parameters of each series, shape (n, ns + nd).
        trend, factor, predictor: results, shape (N,).
    """
    ns = len(columns.multiplicative)
    for i in range(len(rows.offsets) - 1):
        a, b = rows.offsets[i], rows.offsets[i + 1]
        z = np.empty((b - a, ns))
        write_smooth_columns(columns, rows, a, b, z)
        parameters = theta[i].copy()
        if columns.growth == LOGISTIC:
            parameters[1] *= -parameters[0]
        own_cap = rows.cap[a:b] if columns.growth == LOGISTIC else rows.cap
        design = Design(columns.growth, z, rows.t[a:b], rows.changepoints[i], own_cap, columns.multiplicative)
        predict(design, parameters, Predictor(np.empty(b - a), trend[a:b], factor[a:b], predictor[a:b]))
