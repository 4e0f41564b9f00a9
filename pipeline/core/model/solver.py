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
import numpy.typing as npt

from pipeline.core.model.compiled import compiled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAXIMUM, MARGINAL, FLOOR, UNDEFINED = 0, 1, 2, 3
"""How sigma came to be: the posterior's maximum (of largest sigma); there is none, and sigma is that of largest
marginal likelihood; the columns fit the series exactly, and sigma is the floor; the arithmetic broke down."""

RELATIVE_FLOOR = 1e-14  # of the variance: below it a residual computed from the Gram has no digits left
TOLERANCE = 1e-10  # of log(s2)
CLOSE = 1e-2  # |log(g(s2) / s2)| below which a secant step cannot leave the fixed point's neighbourhood
MAX_STEPS = 500


@compiled
def sigma_squared(rss: float, rows: float) -> float:
    """Return the variance that maximises the posterior, given the residual sum of squares."""
    return 2 * rss / (rows + math.sqrt(rows * rows + 16 * rss))


@compiled
def minimise_lasso(s: Floats, r: Floats, penalty: float, least: Floats, d: Floats, signs: Ints, work: Floats) -> None:
    """Minimise 1/2 d'Sd - r'd + penalty |d|_1 by an active set.

    Args:
        s: S, symmetric positive semidefinite, shape (n, n).
        r: shape (n,).
        penalty: weight of the absolute values.
        least: pivots of Cholesky's factorisation at or below these are those of dependent columns, shape (n,).
        d: where to begin, and the result, shape (n,).
        signs: signs of d, 0 for a column that is not active, shape (n,).
        work: room for n + 3 rows of n numbers.
    """
    n = len(r)
    factor, x, slope, banned = work[:n], work[n], work[n + 1], work[n + 2]
    banned[:] = 0.0
    active = np.empty(n, np.int64)
    added = -1
    for _ in range(40 * n + 40):
        m = 0
        for i in range(n):
            if signs[i] != 0:
                active[m] = i
                m += 1
        dependent = -1
        for a in range(m):
            i = active[a]
            for c in range(a + 1):
                value = s[i, active[c]]
                for e in range(c):
                    value -= factor[a, e] * factor[c, e]
                if c < a:
                    factor[a, c] = value / factor[c, c]
                elif value > least[i]:
                    factor[a, a] = np.sqrt(value)
                else:
                    dependent = i
            if dependent >= 0:
                break
            x[a] = r[i] - penalty * signs[i]
            for e in range(a):
                x[a] -= factor[a, e] * x[e]
            x[a] /= factor[a, a]
        if dependent >= 0:  # the others can do all that it could
            signs[dependent] = 0
            d[dependent] = 0.0
            banned[dependent] = 1.0
            continue
        for a in range(m - 1, -1, -1):
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
                    step, crossing = share, i
        for a in range(m):
            i = active[a]
            d[i] += step * (x[a] - d[i])
        if crossing >= 0:
            signs[crossing] = 0
            d[crossing] = 0.0
            if crossing == added:  # rounding alone made it a candidate
                banned[crossing] = 1.0
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
        signs[added] = 1 if slope[added] > 0 else -1


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
    Schur complement S = G_dd - W'W, and r = b_d - W'v.

    Args:
        gram: Z'Z, shape (ns + nd, ns + nd), its lower triangle.
        target: Z'y, shape (ns + nd,).
        pull: precision times prior mean, shape (ns,).
        precision: shape (ns,).
        lever: a further prior on one combination of smooth parameters, shape (ns,); not read if diagonal.
        s2: variance of the noise.
        diagonal: whether gram's smooth block is diagonal.
        work: shape (ns + nd + 2, ns + nd): rows 0 to ns hold L, W beside it and v; then S, and r.
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
        r[i] = target[ns + i]
        for j in range(nd):
            work[ns + i, ns + j] = gram[ns + i, ns + j] if j <= i else gram[ns + j, ns + i]
    for k in range(ns):
        for i in range(nd):
            f = work[k, ns + i]
            r[i] -= f * v[k]
            for j in range(nd):
                work[ns + i, ns + j] -= f * work[k, ns + j]
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
def degrees_of_freedom(gram: Floats, precision: Floats, s2: float, ns: int, signs: Ints, room: Floats) -> float:
    """Return the trace of the hat matrix: the smooth block under its prior, and the active hinges.

    Args:
        gram: Z'Z, its lower triangle, shape (p, p).
        precision: shape (ns,).
        s2: variance of the noise.
        ns: number of smooth columns.
        signs: of the hinges, 0 for one that is not active.
        room: shape (p, p).
    """
    p = ns + len(signs)
    chosen = np.empty(p, np.int64)
    m = 0
    for i in range(p):
        if i < ns or signs[i - ns] != 0:
            chosen[m] = i
            m += 1
    # trace of A^-1 G = m - s2 sum_k precision_k (A^-1)_kk, with A = G + s2 diag(precision)
    for a in range(m):
        i = chosen[a]
        for c in range(a + 1):
            value = gram[i, chosen[c]]
            if a == c:
                value += s2 * precision[i] if i < ns else 0.0
            for e in range(c):
                value -= room[a, e] * room[c, e]
            room[a, c] = value / room[c, c] if c < a else np.sqrt(max(value, 1e-15 * gram[i, i] + 1e-300))
    lost = 0.0
    column = np.empty(m)
    for k in range(ns):
        inverse = 0.0  # (A^-1)_kk = |L^-1 e_k|^2
        for a in range(k, m):
            value = 1.0 if a == k else 0.0
            for e in range(k, a):
                value -= room[a, e] * column[e]
            column[a] = value / room[a, a]
            inverse += column[a] * column[a]
        lost += precision[k] * inverse
    return m - s2 * lost


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
        diagonal: whether gram's smooth block is diagonal.
        fixed: s2 if it is given, else 0.
        theta: the result, smooth parameters and then hinges, shape (ns + nd,).
        signs: room for nd integers; on return the signs of the hinges.
        work, room: of shape (ns + nd + 3, ns + nd) each.

    Returns:
        s2, and how it came to be: MAXIMUM, MARGINAL, FLOOR or UNDEFINED.
    """
    ns = len(precision)
    nd = len(target) - ns
    p = ns + nd
    s, r, d = work[ns:p, ns:], work[p + 1, :nd], work[p + 2, :nd]
    least = np.empty(nd)
    for i in range(nd):
        least[i] = 1e-13 * gram[ns + i, ns + i]
    if not np.isfinite(yy):
        return np.nan, UNDEFINED
    floor = RELATIVE_FLOOR * yy / rows + 1e-300
    # Secant steps converge in a few rounds, but might jump over the fixed point below which sigma collapses.
    plenty = rows > 4 * p
    for status in (MAXIMUM, MARGINAL):
        d[:] = 0.0
        signs[:] = 0
        s2 = fixed if fixed > 0 else max(sigma_squared(yy, rows), floor)
        last_x, last_f = 0.0, 0.0
        for step in range(MAX_STEPS):
            if not eliminate(gram, target, pull, precision, lever, s2, diagonal, work):
                return np.nan, UNDEFINED
            penalty = s2 / tau
            if step > 0 or fixed > 0:  # the first round only lowers the bound of sigma from which to begin
                minimise_lasso(s, r, penalty, least, d, signs, room[:, :nd])
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
            if status == MAXIMUM:
                found = sigma_squared(max(rss, 0.0), rows)
            else:
                found = max(rss, 0.0) / max(rows - degrees_of_freedom(gram, precision, s2, ns, signs, room), 1e-9)
            if found <= floor:
                break
            x, f = np.log(s2), np.log(found / s2)
            if step > 0 and abs(f) < TOLERANCE:
                return found, status
            x_next = x + f
            if status == MAXIMUM and step > 1 and (plenty or abs(f) < CLOSE):
                slope = (f - last_f) / (x - last_x)
                if -3 < slope < -0.02:
                    x_next = x - f / slope
            last_x, last_f = x, f
            s2 = np.exp(x_next)
        else:
            return s2, status
    return floor, FLOOR
