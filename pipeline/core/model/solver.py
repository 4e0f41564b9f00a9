"""The maximum of the posterior for a trend of hinges and a smooth block, from a Gram matrix.

Columns are a smooth block (slope, intercept, seasonalities, ...), each with a normal prior, and hinges (t - s_j)+,
with Laplace priors. With sigma fixed, the negative log posterior times sigma squared is a ridge and a lasso:

    1/2 |y - Z theta|^2 + s2 sum_k precision_k (theta_k - mean_k)^2 / 2 + (s2 / tau) |delta|_1,    s2 = sigma^2

which is convex. The smooth block is eliminated (a Schur complement); what is left, a lasso in the hinges, is
solved by an active set (feature-sign search: Lee, Battle, Raina & Ng 2007). Then sigma has a closed form given
the residuals: with T rows and RSS = |y - Z theta|^2, T log(sigma) + RSS / (2 s2) + 2 s2 is least at

    s2 = 2 RSS / (T + sqrt(T^2 + 16 RSS)).

The two are repeated to their common fixed point, from above: where there are as many columns as rows the posterior
grows without end as sigma goes to 0, and the stationary point wanted is that of largest sigma.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.model.compiled import compiled
from pipeline.core.model.eigen import eigen, multiply

MAXIMUM, MARGINAL, STUCK, FLOOR, UNDEFINED = 0, 1, 2, 3, 4
"""How sigma was found: the posterior's maximum (of largest sigma); there is none, and the smooth block alone says
what sigma is; the search ended where the posterior still rises; the columns fit the series exactly, and sigma is the
floor; the arithmetic broke down. Each is worse than the one before."""
STAN = -1  # all parameters are Stan's, whose search came further

COLLAPSED = 1e-6  # of the variance; if columns are not few beside rows, sigma is then on its way to 0
RELATIVE_FLOOR = 1e-14  # of the variance: below it a residual computed from the Gram has no digits left
TOLERANCE = 1e-8  # of log(s2)
CLOSE = 1e-2  # |log(g(s2) / s2)| below which a secant step cannot leave the fixed point's neighbourhood
MAX_STEPS = 500


@compiled
def sigma_squared(rss: float, rows: float) -> float:
    """Return the variance that maximises the posterior, given the residual sum of squares."""
    return 2 * rss / (rows + math.sqrt(rows * rows + 16 * rss))


@compiled
def minimise_lasso(
    g: Floats, w: Floats, r: Floats, penalty: float, least: Floats, d: Floats, signs: Ints, s: Floats, work: Floats
) -> None:
    """Minimise 1/2 d'Sd - r'd + penalty |d|_1, where S = G - W'W, by an active set.

    Args:
        g: G, its lower triangle, shape (n, n).
        w: W, shape (ns, n).
        r: shape (n,).
        penalty: weight of the absolute values.
        least: pivots of Cholesky's factorisation at or below these are those of dependent columns, shape (n,).
        d: where to begin, and the result, shape (n,).
        signs: signs of d, 0 for a column that is not active, shape (n,).
        s: room for S, shape (n, n); its diagonal is given, of its rows only those of columns that become active are
            worked out.
        work: room for n + 4 rows of n numbers.
    """
    n = len(r)
    factor, x, slope, banned, half = work[:n], work[n], work[n + 1], work[n + 2], work[n + 3]
    banned[:] = 0.0
    active = np.empty(n, np.int64)
    m = 0
    for i in range(n):
        if signs[i] != 0:
            _schur_row(g, w, i, s)
            active[m] = i
            m += 1
    factored = 0  # rows of the factor that hold; half is L^-1 (r - penalty signs), as far as these
    added = -1
    for _ in range(40 * n + 40):
        while factored < m:
            i, a = active[factored], factored
            for c in range(a):
                value = s[i, active[c]]
                for e in range(c):
                    value -= factor[a, e] * factor[c, e]
                factor[a, c] = value / factor[c, c]
            value = s[i, i]
            for e in range(a):
                value -= factor[a, e] * factor[a, e]
            if value <= least[i]:  # dependent: the others can do all that it could
                signs[i], d[i], banned[i] = 0, 0.0, 1.0
                for c in range(a, m - 1):
                    active[c] = active[c + 1]
                m -= 1
                continue
            factor[a, a] = np.sqrt(value)
            value = r[i] - penalty * signs[i]
            for e in range(a):
                value -= factor[a, e] * half[e]
            half[a] = value / factor[a, a]
            factored += 1
        for a in range(m - 1, -1, -1):
            x[a] = half[a]
            for e in range(a + 1, m):
                x[a] -= factor[e, a] * x[e]
            x[a] /= factor[a, a]
        # go to the minimum for these signs, or as far as the first change of one
        step, crossing = 1.0, -1
        for a in range(m):
            i = active[a]
            if x[a] * signs[i] <= 0:
                share = d[i] / (d[i] - x[a]) if d[i] != 0 else 0.0
                if crossing < 0 or share < step:
                    step, crossing = share, a
        for a in range(m):
            i = active[a]
            d[i] += step * (x[a] - d[i])
        if crossing >= 0:
            i = active[crossing]
            signs[i], d[i] = 0, 0.0
            if i == added:  # rounding alone made it a candidate
                banned[i] = 1.0
            for c in range(crossing, m - 1):
                active[c] = active[c + 1]
            m -= 1
            factored = crossing
            continue
        # add the column that gains most
        for i in range(n):
            slope[i] = r[i]
        for a in range(m):
            j = active[a]
            for i in range(n):
                slope[i] -= d[j] * s[j, i]
        added, best = -1, penalty * (1 + 1e-12)
        for i in range(n):
            if signs[i] == 0 and banned[i] == 0.0 and s[i, i] > least[i] and abs(slope[i]) > best:
                best, added = abs(slope[i]), i
        if added < 0:
            return
        _schur_row(g, w, added, s)
        signs[added] = 1 if slope[added] > 0 else -1
        active[m] = added
        m += 1


@compiled
def _schur_row(g: Floats, w: Floats, i: int, s: Floats) -> None:
    """Write row i of S = G - W'W; of G the lower triangle is read."""
    ns, n = w.shape
    row = s[i]
    for j in range(i + 1):
        row[j] = g[i, j]
    for j in range(i + 1, n):
        row[j] = g[j, i]
    whole = ns - ns % 4
    for k in range(0, whole, 4):  # four at a time: fewer passes over the row
        f0, f1, f2, f3 = w[k, i], w[k + 1, i], w[k + 2, i], w[k + 3, i]
        for j in range(n):
            row[j] -= f0 * w[k, j] + f1 * w[k + 1, j] + f2 * w[k + 2, j] + f3 * w[k + 3, j]
    for k in range(whole, ns):
        f0 = w[k, i]
        for j in range(n):
            row[j] -= f0 * w[k, j]


@compiled
def eliminate(
    gram: Floats,
    target: Floats,
    pull: Floats,
    precision: Floats,
    lever: Floats,
    s2: float,
    diagonal: bool,
    work: Floats,
) -> bool:
    """Eliminate the smooth block at a given s2; return whether the arithmetic held.

    With A = G_ss + s2 (diag(precision) + lever lever') = LL', writes W = L^-1 G_sd, v = L^-1 (b_s + s2 pull), the
    diagonal of the Schur complement S = G_dd - W'W, and r = b_d - W'v.

    Args:
        gram: Z'Z, shape (ns + nd, ns + nd), its lower triangle.
        target: Z'y, shape (ns + nd,).
        pull: precision times prior mean, shape (ns,).
        precision: shape (ns,).
        lever: a further prior on one combination of smooth parameters, shape (ns,); not read if diagonal.
        s2: variance of the noise.
        diagonal: whether gram's smooth block is diagonal.
        work: shape (ns + nd + 2, ns + nd): rows 0 to ns hold L and W beside it; then room for
            S, with its diagonal; then v, and r.
    """
    ns = len(precision)
    nd = len(target) - ns
    v, r = work[ns + nd], work[ns + nd + 1]
    for k in range(ns):
        for i in range(nd):
            work[k, ns + i] = gram[ns + i, k]
        v[k] = target[k] + s2 * pull[k]
        if not diagonal:
            for j in range(k + 1):
                value = gram[k, j] + s2 * lever[k] * lever[j]
                if j == k:
                    value += s2 * precision[k]
                for e in range(j):
                    value -= work[k, e] * work[j, e]
                if j < k:
                    work[k, j] = value / work[j, j]
                else:
                    # the prior keeps it positive, but not always above rounding
                    work[k, k] = np.sqrt(max(value, 1e-15 * gram[k, k] + 1e-300))
            for e in range(k):
                f = work[k, e]
                v[k] -= f * v[e]
                for i in range(nd):
                    work[k, ns + i] -= f * work[e, ns + i]
        else:
            work[k, k] = np.sqrt(gram[k, k] + s2 * precision[k])
        f = 1 / work[k, k]
        v[k] *= f
        for i in range(nd):
            work[k, ns + i] *= f
    for i in range(nd):
        at = ns + i
        r[i], diagonal_of_s = target[at], gram[at, at]
        for k in range(ns):
            r[i] -= work[k, at] * v[k]
            diagonal_of_s -= work[k, at] ** 2
        work[at, at] = diagonal_of_s
    return bool(np.isfinite(v[0]))


@compiled
def smooth_given_hinges(d: Floats, ns: int, diagonal: bool, work: Floats, theta: Floats) -> None:
    """Write the smooth parameters L^-T (v - W d) into theta[:ns], and d behind them."""
    nd = len(d)
    v = work[ns + nd]
    for k in range(ns - 1, -1, -1):
        value = v[k]
        for i in range(nd):
            if d[i] != 0:
                value -= work[k, ns + i] * d[i]
        if not diagonal:
            for e in range(k + 1, ns):
                value -= work[e, k] * theta[e]
        theta[k] = value / work[k, k]
    for i in range(nd):
        theta[ns + i] = d[i]


@compiled
def well_conditioned(gram: Floats, ns: int, room: Floats) -> bool:
    """Return whether no smooth column is nearly dependent on others, by the pivots of Cholesky's factorisation."""
    for k in range(ns):
        for j in range(k + 1):
            value = gram[k, j]
            for e in range(j):
                value -= room[k, e] * room[j, e]
            if j < k:
                room[k, j] = value / room[j, j]
            elif value > 1e-9 * gram[k, k]:
                room[k, k] = np.sqrt(value)
            else:
                return False
    return True


@compiled
def rotate(
    gram: Floats, target: Floats, pull: Floats, precision: Floats, lever: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the problem in coordinates phi, theta = M phi, in which Gram matrix and prior are diagonal.

    With the prior precision P = diag(precision) + lever lever' = LL' and L^-1 G_ss L^-T = Q diag(values) Q', M is
    L^-T Q, and the prior precision of phi is 1.

    Args:
        gram, target, pull, precision, lever: as for solve.

    Returns:
        gram, target and pull of phi, and M.
    """
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
        if values[k] > 1e-14 * most:
            rotated[k, k] = values[k]
        else:  # nothing in the data goes this way
            goal[k] = 0.0
            for i in range(p - ns):
                rotated[ns + i, k] = 0.0
    return rotated, goal, means, m


@compiled
def marginal_variance(gram: Floats, target: Floats, pull: Floats, yy: float, rows: float) -> float:
    """Return a variance for a series whose posterior has no maximum: what the smooth block alone says of the noise.

    The greater of two. The first is that of largest marginal likelihood, times sigma's prior.

    With values the diagonal of its Gram matrix in rotated coordinates, and phi ~ Normal(pull, 1) integrated out, minus
    twice its logarithm is
    (T - ns) log s2 + sum log(s2 + values) + |y - Z pull|^2 / s2 - sum (Z'(y - Z pull))^2 / (s2 (s2 + values)) + 4 s2.
    The second is the mean square outside of the directions to which the prior gives the series' own variance or more:
    wide priors let even slight directions, such as the drift of quarters against the year, account for all noise.

    Args:
        gram: Gram matrix in rotated coordinates, of which the smooth block's diagonal is read.
        target: Z'y, shape (at least ns,).
        pull: prior means, shape (ns,).
        yy: y'y.
        rows: T.
    """
    ns = len(pull)
    values, centred = np.empty(ns), np.empty(ns)
    quadratic = yy
    for k in range(ns):
        values[k] = gram[k, k]
        centred[k] = target[k] - values[k] * pull[k]
        quadratic -= pull[k] * (target[k] + centred[k])
    outside, free = quadratic, rows
    for k in range(ns):
        if values[k] >= yy / rows:
            outside -= centred[k] ** 2 / values[k]
            free -= 1
    apart = max(outside, 0.0) / free if free >= 1 else 0.0
    high = np.log(max(quadratic, yy) / rows + 1e-300)
    low = high - np.log(1 / RELATIVE_FLOOR)
    steps = 128
    best, best_cost = high, np.inf
    for _ in range(3):
        width = (high - low) / steps
        for i in range(steps + 1):
            x = low + width * i
            s2 = np.exp(x)
            cost = (rows - ns) * x + quadratic / s2 + 4 * s2
            for k in range(ns):
                cost += np.log(s2 + values[k]) - centred[k] ** 2 / (s2 * (s2 + values[k]))
            if cost < best_cost:
                best, best_cost = x, cost
        low, high = best - width, best + width
    return min(max(float(np.exp(best)), apart), yy / rows)


@compiled
def solve(
    gram: Floats, target: Floats, pull: Floats, precision: Floats, lever: Floats, yy: float, rows: float, tau: float,
    diagonal: bool, fixed: float, theta: Floats, signs: Ints, work: Floats, room: Floats,
) -> tuple[float, int]:  # fmt: skip
    """Find the parameters, and sigma, that maximise the posterior.

    Args:
        gram: Z'Z, its lower triangle, shape (ns + nd, ns + nd).
        target: Z'y, shape (ns + nd,).
        pull: precision times prior mean of the smooth parameters, shape (ns,).
        precision: of their priors, shape (ns,).
        lever: the prior's precision is diag(precision) + lever lever', shape (ns,); not read if diagonal.
        yy: y'y.
        rows: T.
        tau: scale of the hinges' prior.
        diagonal: whether gram's smooth block is diagonal, and precision 1.
        fixed: s2 if it is given, else 0.
        theta: the result, smooth parameters and then hinges, shape (ns + nd,).
        signs: room for nd integers; on return the signs of the hinges.
        work, room: of shape (ns + nd + 4, ns + nd) each.

    Returns:
        s2, and how it was found: MAXIMUM, MARGINAL, FLOOR or UNDEFINED.
    """
    ns = len(precision)
    if not np.isfinite(yy):
        return np.nan, UNDEFINED
    if diagonal or well_conditioned(gram, ns, room):
        s2, status = _maximise(
            gram, target, pull, precision, lever, yy, rows, tau, diagonal, fixed, theta, signs, work, room
        )
        if status == MAXIMUM:
            return s2, status
        if diagonal:
            s2, status = _marginal_or_floor(gram, target, pull, yy, rows)
            _maximise(gram, target, pull, precision, lever, yy, rows, tau, True, s2, theta, signs, work, room)
            return s2, status
    rotated, goal, means, m = rotate(gram, target, pull, precision, lever)
    ones = np.ones(ns)
    s2, status = _maximise(rotated, goal, means, ones, lever, yy, rows, tau, True, fixed, theta, signs, work, room)
    if status != MAXIMUM:
        s2, status = _marginal_or_floor(rotated, goal, means, yy, rows)
        _maximise(rotated, goal, means, ones, lever, yy, rows, tau, True, s2, theta, signs, work, room)
    phi = theta[:ns].copy()
    for k in range(ns):
        theta[k] = 0.0
        for j in range(ns):
            theta[k] += m[k, j] * phi[j]
    return s2, status


@compiled
def _marginal_or_floor(gram: Floats, target: Floats, pull: Floats, yy: float, rows: float) -> tuple[float, int]:
    s2 = marginal_variance(gram, target, pull, yy, rows)
    floor = RELATIVE_FLOOR * yy / rows + 1e-300
    return (s2, MARGINAL) if s2 > 100 * floor else (floor, FLOOR)


@compiled
def _maximise(
    gram: Floats, target: Floats, pull: Floats, precision: Floats, lever: Floats, yy: float, rows: float, tau: float,
    diagonal: bool, fixed: float, theta: Floats, signs: Ints, work: Floats, room: Floats,
) -> tuple[float, int]:  # fmt: skip
    """Find the stationary point of largest sigma; FLOOR if sigma collapses. Arguments as for solve."""
    ns = len(precision)
    nd = len(target) - ns
    p = ns + nd
    g, w, s, r, d = gram[ns:, ns:], work[:ns, ns:], work[ns:p, ns:], work[p + 1, :nd], work[p + 2, :nd]
    least = np.empty(nd)
    for i in range(nd):
        least[i] = 1e-13 * gram[ns + i, ns + i]
    d[:] = 0.0
    signs[:] = 0
    # Secant steps converge in a few rounds, but might jump over the fixed point below which sigma collapses.
    plenty = rows > 4 * p
    floor = (RELATIVE_FLOOR if plenty else COLLAPSED) * yy / rows + 1e-300
    s2 = fixed if fixed > 0 else max(sigma_squared(yy, rows), floor)
    last_x, last_f = 0.0, 0.0
    for step in range(MAX_STEPS):
        if not eliminate(gram, target, pull, precision, lever, s2, diagonal, work):
            return np.nan, UNDEFINED
        penalty = s2 / tau
        if step > 0 or fixed > 0:  # the first round only lowers the bound of sigma from which to begin
            minimise_lasso(g, w, r, penalty, least, d, signs, s, room[:, :nd])
        smooth_given_hinges(d, ns, diagonal, work, theta)
        if fixed > 0:
            return s2, MAXIMUM
        rss, levered = yy, 0.0
        if not diagonal:
            for k in range(ns):
                levered += lever[k] * theta[k]
        for k in range(ns):
            prior = precision[k] * theta[k] - pull[k]
            if not diagonal:
                prior += lever[k] * levered
            rss -= theta[k] * (target[k] + s2 * prior)
        for i in range(nd):
            rss -= d[i] * target[ns + i] + penalty * abs(d[i])
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
