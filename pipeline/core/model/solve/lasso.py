"""A lasso by an active set (feature-sign search: Lee, Battle, Raina & Ng 2007)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.compiled import compiled, inlined

MAX_ROUNDS_PER_COLUMN = 40  # many more than are ever needed: signs cycle only because of rounding
GAIN_ABOVE_PENALTY = 1 + 1e-12  # a slope that exceeds the penalty by rounding alone adds no column


class Lasso(NamedTuple):
    """Minimise 1/2 d'Sd - r'd + penalty |d|_1, where S = G - W'W.

    Attributes:
        g: G, its lower triangle, shape (n, n).
        w: W, shape (ns, n).
        r: shape (n,).
        least: pivots of Cholesky's factorisation at or below these are those of dependent columns, shape (n,).
    """

    g: Floats
    w: Floats
    r: Floats
    least: Floats


class ActiveSet(NamedTuple):
    """The state of the search.

    Attributes:
        d: the parameters, shape (n,).
        signs: of d, 0 for a column that is not active, shape (n,).
        active: numbers of the active columns, in the order in which they came, of which the first m count; shape (n,).
        banned: 1 for columns that are not to become active, shape (n,).
        s: S, with its diagonal, and rows of columns that became active; shape (n, n).
        factor: Cholesky's factor of S on the active columns, shape (n, n).
        half: L^-1 (r - penalty signs), as far as the factor holds; shape (n,).
    """

    d: Floats
    signs: Ints
    active: Ints
    banned: Floats
    s: Floats
    factor: Floats
    half: Floats


@compiled
def minimise_lasso(lasso: Lasso, penalty: float, d: Floats, signs: Ints, s: Floats, work: Floats) -> None:
    """Solve a lasso.

    Args:
        lasso: the problem.
        penalty: weight of the absolute values.
        d: where to begin, and the result, shape (n,).
        signs: signs of d, 0 for a column that is not active, shape (n,).
        s: room for S, shape (n, n); its diagonal is given, of its rows only those of columns that become active are
            worked out.
        work: room for n + 4 rows of n numbers.
    """
    n = len(lasso.r)
    x, slope = work[n], work[n + 1]
    state = ActiveSet(d, signs, np.empty(n, np.int64), work[n + 2], s, work[:n], work[n + 3])
    state.banned[:] = 0.0
    m = 0
    for i in range(n):
        if signs[i] != 0:
            _schur_row(lasso.g, lasso.w, i, s)
            state.active[m] = i
            m += 1
    factored = 0  # rows of the factor that hold
    added = -1
    for _ in range(MAX_ROUNDS_PER_COLUMN * n + MAX_ROUNDS_PER_COLUMN):
        m = _factorise(lasso, penalty, state, factored, m)
        factored = m
        _minimum_for_signs(state, m, x)
        crossing = _go_towards(state, m, x)
        if crossing >= 0:
            i = state.active[crossing]
            if i == added:  # rounding alone made it a candidate
                state.banned[i] = 1.0
            signs[i] = 0
            d[i] = 0.0
            m = _without(state.active, crossing, m)
            factored = crossing
            continue
        added = _best_addition(lasso, penalty, state, m, slope)
        if added < 0:
            return
        _schur_row(lasso.g, lasso.w, added, s)
        signs[added] = 1 if slope[added] > 0 else -1
        state.active[m] = added
        m += 1


@inlined
def _factorise(lasso: Lasso, penalty: float, state: ActiveSet, factored: int, m: int) -> int:
    """Compute the factor's missing rows; return how many columns are active afterwards.

    A column that depends linearly on those before it becomes inactive: it adds nothing to them.
    """
    active, s, factor, half = state.active, state.s, state.factor, state.half
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
        if value <= lasso.least[i]:
            state.signs[i] = 0
            state.d[i], state.banned[i] = 0.0, 1.0
            m = _without(active, a, m)
            continue
        factor[a, a] = np.sqrt(value)
        value = lasso.r[i] - penalty * state.signs[i]
        for e in range(a):
            value -= factor[a, e] * half[e]
        half[a] = value / factor[a, a]
        factored += 1
    return m


@inlined
def _without(active: Ints, position: int, m: int) -> int:
    """Take one of the first m columns out of the active ones; return how many are left."""
    for c in range(position, m - 1):
        active[c] = active[c + 1]
    return m - 1


@inlined
def _minimum_for_signs(state: ActiveSet, m: int, x: Floats) -> None:
    """Write the minimum for the m active columns, if the signs do not change."""
    factor, half = state.factor, state.half
    for a in range(m - 1, -1, -1):
        x[a] = half[a]
        for e in range(a + 1, m):
            x[a] -= factor[e, a] * x[e]
        x[a] /= factor[a, a]


@inlined
def _go_towards(state: ActiveSet, m: int, x: Floats) -> int:
    """Go to the minimum for these signs, or as far as the first change of one; return which changes, or -1."""
    d, signs, active = state.d, state.signs, state.active
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
    return crossing


@inlined
def _best_addition(lasso: Lasso, penalty: float, state: ActiveSet, m: int, slope: Floats) -> int:
    """Return the column that gains most by becoming active, or -1 if none gains; also write all slopes."""
    d, s, active = state.d, state.s, state.active
    n = len(lasso.r)
    for i in range(n):
        slope[i] = lasso.r[i]
    for a in range(m):
        j = active[a]
        for i in range(n):
            slope[i] -= d[j] * s[j, i]
    added, best = -1, penalty * GAIN_ABOVE_PENALTY
    for i in range(n):
        candidate = state.signs[i] == 0 and state.banned[i] == 0.0 and s[i, i] > lasso.least[i]
        if candidate and abs(slope[i]) > best:
            best, added = abs(slope[i]), i
    return added


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
