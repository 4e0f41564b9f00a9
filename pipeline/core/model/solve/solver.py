"""The maximum of the posterior for a trend of hinges and a smooth block, from a Gram matrix.

Columns are a smooth block (slope, intercept, seasonalities, ...), each with a normal prior, and hinges (t - s_j)+,
with Laplace priors. With sigma fixed, the negative log posterior times sigma squared is a ridge and a lasso:

    1/2 |y - Z theta|^2 + s2 sum_k precision_k (theta_k - mean_k)^2 / 2 + (s2 / tau) |delta|_1,    s2 = sigma^2

which is convex. The smooth block is eliminated (a Schur complement); what is left, a lasso in the hinges, is
solved by an active set (lasso.py). Then sigma has a closed form given
the residuals: with T rows and RSS = |y - Z theta|^2, T log(sigma) + RSS / (2 s2) + 2 s2 is least at

    s2 = 2 RSS / (T + sqrt(T^2 + 16 RSS)).

The two are repeated to their common fixed point, from above: where there are as many columns as rows the posterior
grows without end as sigma goes to 0, and the stationary point wanted is that of largest sigma.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled, inlined
from pipeline.core.model.solve.eigen import eigen, multiply
from pipeline.core.model.solve.lasso import Lasso, minimise_lasso
from pipeline.core.model.solve.problem import Problem, Workspace

MAXIMUM, MARGINAL, STUCK, FLOOR, UNDEFINED = 0, 1, 2, 3, 4
"""How sigma was found: the posterior's maximum (of largest sigma); there is none, and the smooth block alone says
what sigma is; the search ended where the posterior still rises; the columns fit the series exactly, and sigma is the
floor; the arithmetic broke down. Each is worse than the one before."""
STAN = -1  # all parameters are Stan's, whose search got further

COLLAPSED = 1e-6  # of the variance; if columns are not few beside rows, sigma is then on its way to 0
RELATIVE_FLOOR = 1e-14  # of the variance: below it a residual computed from the Gram has no digits left
SMALLEST = 1e-300  # a variance of 0 would divide by zero
FLOORS_ABOVE_FLOOR = 100.0  # a variance nearer to its floor than this is rounding
DEPENDENT_HINGE = 1e-13  # of a hinge's own sum of squares: what is left of it once the others have done their part
DEPENDENT_COLUMN = 1e-9  # of a smooth column's: below it the problem is solved in rotated coordinates
NULL_DIRECTION = 1e-14  # of the largest eigenvalue: the data say nothing along a direction with a smaller one
POSITIVE = 1e-15  # of a diagonal element: the least pivot that rounding leaves of a positive one
PLENTY_OF_ROWS = 4  # times as many as columns, from which on sigma does not collapse
GRID_PASSES, GRID_STEPS = 3, 128  # of the search for the variance of largest marginal likelihood
TOLERANCE = 1e-8  # of log(s2)
CLOSE = 1e-2  # |log(g(s2) / s2)| below which a secant step cannot leave the fixed point's neighbourhood
MAX_STEPS = 500


@compiled
def sigma_squared(rss: float, rows: float) -> float:
    """Return the variance that maximises the posterior, given the residual sum of squares."""
    return 2 * rss / (rows + math.sqrt(rows * rows + 16 * rss))


@compiled
def eliminate(problem: Problem, s2: float, diagonal: bool, work: Floats) -> bool:
    """Eliminate the smooth block at a given s2; return whether the arithmetic held.

    With A = G_ss + s2 (diag(precision) + lever lever') = U'U, writes W = U'^-1 G_sd, v = U'^-1 (b_s + s2 pull), the
    diagonal of the Schur complement S = G_dd - W'W, and r = b_d - W'v.

    Args:
        problem: of one series.
        s2: variance of the noise.
        diagonal: whether gram's smooth block is diagonal.
        work: shape (ns + nd + 4, ns + nd): rows 0 to ns hold U and W beside it; then room for
            S, with its diagonal; then v, and r; the last is room.
    """
    gram, target, pull = problem.gram, problem.target, problem.pull
    precision, lever = problem.precision, problem.lever
    ns = len(precision)
    p = len(target)
    nd = p - ns
    v, r, left = work[p], work[p + 1], work[p + 3]
    for i in range(nd):
        r[i], left[i] = target[ns + i], gram[ns + i, ns + i]
    for k in range(ns):
        row, across = work[k, k:p], work[k, ns:p]
        for i in range(nd):
            across[i] = gram[ns + i, k]
        v[k] = target[k] + s2 * pull[k]
        if not diagonal:
            for j in range(ns - k):
                row[j] = gram[k + j, k] + s2 * lever[k + j] * lever[k]
            row[0] += s2 * precision[k]
            take_rows(work, k, p)
            for e in range(k):
                v[k] -= work[e, k] * v[e]
            # the prior keeps it positive, but not always above rounding
            row[0] = np.sqrt(max(row[0], POSITIVE * gram[k, k] + SMALLEST))
        else:
            row[0] = np.sqrt(gram[k, k] + s2 * precision[k])
        f = 1 / row[0]
        v[k] *= f
        if not diagonal:
            for j in range(1, ns - k):
                row[j] *= f
        for i in range(nd):
            w = across[i] * f
            across[i] = w
            r[i] -= w * v[k]
            left[i] -= w * w
    for i in range(nd):
        work[ns + i, ns + i] = left[i]
    return bool(np.isfinite(v[0]))


@inlined
def take_rows(work: Floats, k: int, p: int) -> None:
    """Take from row k of Cholesky's factorisation what the rows before it account for, from column k to p."""
    row = work[k, k:p]  # slices: an index that numba does not know to be positive keeps a loop from being vectorised
    whole = k - k % 4
    for e in range(0, whole, 4):  # four at a time: fewer passes over the row
        a, b, c, d = work[e, k:p], work[e + 1, k:p], work[e + 2, k:p], work[e + 3, k:p]
        f0, f1, f2, f3 = a[0], b[0], c[0], d[0]
        for j in range(len(row)):
            row[j] -= f0 * a[j] + f1 * b[j] + f2 * c[j] + f3 * d[j]
    for e in range(whole, k):
        a = work[e, k:p]
        f0 = a[0]
        for j in range(len(row)):
            row[j] -= f0 * a[j]


@compiled
def smooth_given_hinges(d: Floats, ns: int, diagonal: bool, work: Floats, theta: Floats) -> None:
    """Write the smooth parameters U^-1 (v - W d) into theta[:ns], and d behind them."""
    nd = len(d)
    v = work[ns + nd]
    for k in range(ns - 1, -1, -1):
        value = v[k]
        for i in range(nd):
            if d[i] != 0:
                value -= work[k, ns + i] * d[i]
        if not diagonal:
            for e in range(k + 1, ns):
                value -= work[k, e] * theta[e]
        theta[k] = value / work[k, k]
    for i in range(nd):
        theta[ns + i] = d[i]


@compiled
def well_conditioned(gram: Floats, ns: int, room: Floats) -> bool:
    """Return whether no smooth column is nearly dependent on others, by the pivots of Cholesky's factorisation."""
    for k in range(ns):
        row = room[k, k:ns]
        for j in range(ns - k):
            row[j] = gram[k + j, k]
        take_rows(room, k, ns)
        if not row[0] > DEPENDENT_COLUMN * gram[k, k]:
            return False
        f = 1 / np.sqrt(row[0])
        for j in range(ns - k):
            row[j] *= f
    return True


@compiled
def rotate(problem: Problem) -> tuple[Problem, Floats]:
    """Return the problem in coordinates phi, theta = M phi, in which Gram matrix and prior are diagonal, and M.

    With the prior precision P = diag(precision) + lever lever' = LL' and L^-1 G_ss L^-T = Q diag(values) Q', M is
    L^-T Q, and the prior precision of phi is 1.
    """
    gram, target, pull = problem.gram, problem.target, problem.pull
    precision, lever = problem.precision, problem.lever
    ns, p = len(precision), len(target)
    # m begins as L^-T, column by column of L^-1
    factor, m = np.zeros((ns, ns)), np.zeros((ns, ns))
    for k in range(ns):
        for j in range(k + 1):
            value = lever[k] * lever[j] + (precision[k] if j == k else 0.0)
            for e in range(j):
                value -= factor[k, e] * factor[j, e]
            factor[k, j] = value / factor[j, j] if j < k else np.sqrt(value)
    for j in range(ns):
        for k in range(j, ns):
            value = 1.0 if k == j else 0.0
            for e in range(j, k):
                value -= factor[k, e] * m[j, e]
            m[j, k] = value / factor[k, k]
    block, across = np.empty((ns, ns)), np.empty((p - ns, ns))
    for k in range(ns):
        for j in range(k + 1):
            block[k, j] = block[j, k] = gram[k, j]
    for i in range(p - ns):
        for k in range(ns):
            across[i, k] = gram[ns + i, k]
    values, vectors = eigen(multiply(multiply(m.T.copy(), block), m))
    m = multiply(m, vectors)
    rotated, goal, means = gram.copy(), target.copy(), np.zeros(ns)
    across = multiply(across, m)
    # loops: numba takes seconds to compile an assignment to a slice
    for k in range(ns):
        for j in range(ns):
            rotated[j, k] = 0.0
        for i in range(p - ns):
            rotated[ns + i, k] = across[i, k]
    most = np.max(values)
    for k in range(ns):
        goal[k] = 0.0
        for j in range(ns):
            goal[k] += m[j, k] * target[j]
            means[k] += m[j, k] * pull[j]
        if values[k] > NULL_DIRECTION * most:
            rotated[k, k] = values[k]
        else:  # the data say nothing about this direction
            goal[k] = 0.0
            for i in range(p - ns):
                rotated[ns + i, k] = 0.0
    return Problem(rotated, goal, means, np.ones(ns), lever, problem.yy, problem.rows, problem.tau), m


@compiled
def marginal_variance(problem: Problem) -> float:
    """Return a variance for a series whose posterior has no maximum: what the smooth block alone says about the noise.

    The greater of two. The first is that of largest marginal likelihood, times sigma's prior.

    With values the diagonal of its Gram matrix in rotated coordinates, and phi ~ Normal(pull, 1) integrated out, minus
    twice its logarithm is
    (T - ns) log s2 + sum log(s2 + values) + |y - Z pull|^2 / s2 - sum (Z'(y - Z pull))^2 / (s2 (s2 + values)) + 4 s2.
    For a small s2 the two quotients are large and nearly the same: |y - Z pull|^2 is split into what each direction
    explains, (Z'(y - Z pull))^2 / value, and the rest, so that they need not be subtracted.
    The second is the mean square outside of the directions to which the prior gives the series' own variance or more:
    wide priors let even slight directions, such as the drift of quarters against the year, account for all noise.

    Args:
        problem: in rotated coordinates, in which the smooth block of its Gram matrix is diagonal.
    """
    gram, target, pull, yy, rows = problem.gram, problem.target, problem.pull, problem.yy, problem.rows
    ns = len(pull)
    values, explained = np.empty(ns), np.empty(ns)
    most = 0.0
    for k in range(ns):
        most = max(most, gram[k, k])
    quadratic = yy
    for k in range(ns):
        values[k] = gram[k, k]
        centred = target[k] - values[k] * pull[k]
        quadratic -= pull[k] * (target[k] + centred)
        if values[k] > NULL_DIRECTION * most:
            explained[k] = centred**2 / values[k]
        else:
            values[k] = explained[k] = 0.0
    outside, free, rest = quadratic, rows, quadratic
    for k in range(ns):
        rest -= explained[k]
        if values[k] >= yy / rows:
            outside -= explained[k]
            free -= 1
    rest = max(rest, 0.0)
    apart = max(outside, 0.0) / free if free >= 1 else 0.0
    high = np.log(max(quadratic, yy) / rows + SMALLEST)
    low = high - np.log(1 / RELATIVE_FLOOR)
    best, best_cost = high, np.inf
    for _ in range(GRID_PASSES):
        width = (high - low) / GRID_STEPS
        for i in range(GRID_STEPS + 1):
            x = low + width * i
            s2 = np.exp(x)
            cost = (rows - ns) * x + rest / s2 + 4 * s2
            for k in range(ns):
                cost += np.log(s2 + values[k]) + explained[k] / (s2 + values[k])
            if cost < best_cost:
                best, best_cost = x, cost
        low, high = best - width, best + width
    return min(max(float(np.exp(best)), apart), yy / rows)


@compiled
def solve(problem: Problem, diagonal: bool, fixed: float, theta: Floats, workspace: Workspace) -> tuple[float, int]:
    """Find the parameters, and sigma, that maximise the posterior.

    Args:
        problem: of one series.
        diagonal: whether the Gram matrix' smooth block is diagonal, and the prior's precision 1.
        fixed: s2 if it is given, else 0.
        theta: the result, smooth parameters and then hinges, shape (ns + nd,).
        workspace: room; its signs are a result too.

    Returns:
        s2, and how it was found: MAXIMUM, MARGINAL, FLOOR or UNDEFINED.
    """
    ns = len(problem.precision)
    if not np.isfinite(problem.yy):
        return np.nan, UNDEFINED
    if diagonal or well_conditioned(problem.gram, ns, workspace.room):
        s2, status = _maximise(problem, diagonal, fixed, theta, workspace)
        if status == MAXIMUM:
            return s2, status
        if diagonal:
            s2, status = _marginal_or_floor(problem)
            _maximise(problem, True, s2, theta, workspace)
            return s2, status
    rotated, m = rotate(problem)
    s2, status = _maximise(rotated, True, fixed, theta, workspace)
    if status != MAXIMUM:
        s2, status = _marginal_or_floor(rotated)
        _maximise(rotated, True, s2, theta, workspace)
    phi = theta[:ns].copy()
    for k in range(ns):
        theta[k] = 0.0
        for j in range(ns):
            theta[k] += m[k, j] * phi[j]
    return s2, status


@compiled
def _marginal_or_floor(problem: Problem) -> tuple[float, int]:
    s2 = marginal_variance(problem)
    floor = RELATIVE_FLOOR * problem.yy / problem.rows + SMALLEST
    return (s2, MARGINAL) if s2 > FLOORS_ABOVE_FLOOR * floor else (floor, FLOOR)


@compiled
def _maximise(problem: Problem, diagonal: bool, fixed: float, theta: Floats, workspace: Workspace) -> tuple[float, int]:
    """Find the stationary point of largest sigma; FLOOR if sigma collapses. Arguments as for solve."""
    gram, target, rows = problem.gram, problem.target, problem.rows
    work, room, signs = workspace.work, workspace.room, workspace.signs
    ns = len(problem.precision)
    nd = len(target) - ns
    p = ns + nd
    r, d = work[p + 1, :nd], work[p + 2, :nd]
    least = np.empty(nd)
    for i in range(nd):
        least[i] = DEPENDENT_HINGE * gram[ns + i, ns + i]
    lasso = Lasso(gram[ns:, ns:], work[:ns, ns:], r, least)
    d[:] = 0.0
    signs[:] = 0
    # Secant steps converge in a few rounds, but might jump over the fixed point below which sigma collapses.
    plenty = rows > PLENTY_OF_ROWS * p
    floor = (RELATIVE_FLOOR if plenty else COLLAPSED) * problem.yy / rows + SMALLEST
    s2 = fixed if fixed > 0 else max(sigma_squared(problem.yy, rows), floor)
    last_x, last_f = 0.0, 0.0
    for step in range(MAX_STEPS):
        if not eliminate(problem, s2, diagonal, work):
            return np.nan, UNDEFINED
        penalty = s2 / problem.tau
        if step > 0 or fixed > 0:  # the first round only lowers the starting bound of sigma
            minimise_lasso(lasso, penalty, d, signs, work[ns:p, ns:], room[:, :nd])
        smooth_given_hinges(d, ns, diagonal, work, theta)
        if fixed > 0:
            return s2, MAXIMUM
        rss = _residual_sum_of_squares(problem, diagonal, s2, penalty, d, theta)
        found = sigma_squared(max(rss, 0.0), rows)
        if found <= floor:
            return floor, FLOOR
        x, f = np.log(s2), np.log(found / s2)
        if step > 0 and abs(f) < TOLERANCE:
            return found, MAXIMUM
        x_next = x + f
        if step > 1 and (plenty or abs(f) < CLOSE):
            slope = (f - last_f) / (x - last_x)
            if -3 < slope < -0.02:
                x_next = x - f / slope
        last_x, last_f = x, f
        s2 = np.exp(x_next)
    return s2, MAXIMUM


@inlined
def _residual_sum_of_squares(
    problem: Problem, diagonal: bool, s2: float, penalty: float, d: Floats, theta: Floats
) -> float:
    """Return |y - Z theta|^2 at the minimum for a given s2, where the gradient of the whole is 0."""
    target, pull, precision, lever = problem.target, problem.pull, problem.precision, problem.lever
    ns = len(precision)
    rss, levered = problem.yy, 0.0
    if not diagonal:
        for k in range(ns):
            levered += lever[k] * theta[k]
    for k in range(ns):
        prior = precision[k] * theta[k] - pull[k]
        if not diagonal:
            prior += lever[k] * levered
        rss -= theta[k] * (target[k] + s2 * prior)
    for i in range(len(d)):
        rss -= d[i] * target[ns + i] + penalty * abs(d[i])
    return rss
