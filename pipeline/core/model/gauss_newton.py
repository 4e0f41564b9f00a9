"""Multiplicative terms and logistic growth: Gauss and Newton's method around the solver of the additive model.

With the predictor f(theta) = trend (1 + X_m b) + X_a b, each round solves the additive problem for its linearisation
at the current parameters, y - f + J theta ~ J theta', and goes that way as far as the objective falls. The columns
of J are hinges times a weight, and smooth columns, so that the same Gram and the same lasso serve. Where that way can
be gone for a short bit only, the next rounds are damped as by Levenberg and Marquardt, by a larger diagonal.

Logistic growth is trend = cap / (1 + exp(-z)) with z = k (t - m) + sum_j delta_j (t - s_j)+: Prophet's offsets gamma
make its piecewise k_i (t - m_i) continuous, and this is that continuous function. Its derivative by z is
trend (1 - trend / cap). Here the offset is c = -k m, in which z is linear; the prior of m = -c / k, a curved valley
with a ridge at k = 0, is linearised as another observation. There may be a maximum on each side of that ridge, and one
with many bends and a small sigma beside one with few and a large sigma: both sides are climbed from a large sigma, the
better one from a small one, too, and the best is taken.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.model.compiled import compiled
from pipeline.core.model.gram import hinge_gram, products, smooth_gram
from pipeline.core.model.solver import (
    COLLAPSED,
    FLOOR,
    MARGINAL,
    MAXIMUM,
    RELATIVE_FLOOR,
    STUCK,
    UNDEFINED,
    marginal_variance,
    rotate,
    sigma_squared,
    solve,
)

LINEAR, LOGISTIC, FLAT = 0, 1, 2
# Where weekly columns on five days span the constant, trend and season share a scale, along which it is a long way to
# the maximum; few rows pay for many rounds.
MAX_ROUNDS, MOST_ROUNDS = 60, 1000
ROUNDS_TIMES_ROWS = 20_000_000
SETTLED_ROUNDS = 10  # after which a variance of largest marginal likelihood is kept as it is
SMALLEST_STEP = 2.0**-30
ENOUGH = 1e-10  # a round that lowers the objective by less is the last
SHORT_STEP, LEAST_DAMPING = 0.5, 1e-4  # of the way to a proposal; of a diagonal element of the Gram matrix
TIGHT = 0.01  # of the first variance, for a search that begins with a small sigma
STATIONARY = 1e-4  # by which the objective may still fall, by its slope towards the next round's proposal
NEARLY_CONSTANT = 0.5  # root mean square error of a constant written with the multiplicative columns, to be of use


@compiled
def trend_of(
    growth: int, theta: Floats, ns: int, t: Floats, changepoints: Floats, cap: Floats, hinges: Floats, trend: Floats
) -> None:
    """Write the trend, and the sum of the hinges, both of shape (T,).

    Args:
        growth: LINEAR, LOGISTIC or FLAT.
        theta: parameters: k and m (LOGISTIC: c; FLAT: m alone), other smooth ones, deltas.
        ns: number of smooth parameters.
        t: ascending, shape (T,).
        changepoints: ascending, shape (nd,).
        cap: scaled capacities, shape (T,); not read unless LOGISTIC.
        hinges: sum_j delta_j (t - s_j)+.
        trend: in scaled units.
    """
    nd = len(changepoints)
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


@compiled
def penalties(growth: int, theta: Floats, precision: Floats, tau: float) -> float:
    """Return the negative log prior of the parameters, without constants."""
    ns = len(precision)
    total = 0.0
    if growth == LOGISTIC:
        total += 0.5 * (precision[0] * theta[0] ** 2 + precision[1] * (theta[1] / theta[0]) ** 2)
    for k in range(2 if growth == LOGISTIC else 0, ns):
        total += 0.5 * precision[k] * theta[k] * theta[k]
    for j in range(ns, len(theta)):
        total += abs(theta[j]) / tau
    return total


@compiled
def predict(
    growth: int, theta: Floats, z: Floats, t: Floats, changepoints: Floats, cap: Floats, multiplicative: Bools,
    hinges: Floats, trend: Floats, factor: Floats, predictor: Floats,
) -> None:  # fmt: skip
    """Write the predictor trend * factor + additive terms, and its parts, each of shape (T,).

    Args:
        growth: LINEAR, LOGISTIC or FLAT.
        theta: parameters, shape (ns + nd,).
        z: smooth columns, shape (T, ns), of which the first two (FLAT: the first) belong to the trend.
        t: ascending, shape (T,).
        changepoints: ascending, shape (nd,).
        cap: scaled capacities, shape (T,).
        multiplicative: of each smooth column, shape (ns,).
        hinges, trend: as in trend_of.
        factor: 1 + X_m b.
        predictor: f.
    """
    rows, ns = z.shape
    trend_of(growth, theta, ns, t, changepoints, cap, hinges, trend)
    for row in range(rows):
        times, plus = 1.0, 0.0
        for k in range(1 if growth == FLAT else 2, ns):
            if multiplicative[k]:
                times += z[row, k] * theta[k]
            else:
                plus += z[row, k] * theta[k]
        factor[row] = times
        predictor[row] = trend[row] * times + plus


@compiled
def start(growth: int, t: Floats, y: Floats, cap: Floats, other_side: bool, theta: Floats) -> None:
    """Write where to begin: a constant trend, or a logistic curve.

    The curve goes through the ends, each the mean of a twentieth of the rows; on the other side of k = 0 it goes
    through their middle with slope 1.
    """
    theta[:] = 0.0
    rows = len(y)
    if growth != LOGISTIC:
        theta[1 if growth == LINEAR else 0] = np.mean(y)
        return
    some = max(1, rows // 20)
    first = min(max(float(np.mean(y[:some] / cap[:some])), 0.01), 0.99)
    last = min(max(float(np.mean(y[rows - some :] / cap[rows - some :])), 0.01), 0.99)
    a, b = np.log(first / (1 - first)), np.log(last / (1 - last))
    if abs(b - a) < 0.05:
        b = a + 0.05
    theta[0], theta[1] = b - a, a
    if other_side:
        theta[0] = -1.0 if b > a else 1.0
        theta[1] = (a + b) / 2 - theta[0] / 2


@compiled
def gauss_newton(
    growth: int, z: Floats, t: Floats, y: Floats, changepoints: Floats, cap: Floats,
    multiplicative: Bools, precision: Floats, tau: float,
    theta: Floats, signs: Ints, gram: Floats, work: Floats, room: Floats,
) -> tuple[float, int]:  # fmt: skip
    """Find the parameters, and sigma, that maximise the posterior near where the search begins.

    Args:
        growth: LINEAR, LOGISTIC or FLAT.
        z: smooth columns, shape (T, ns).
        t: ascending, shape (T,).
        y: scaled, shape (T,).
        changepoints: shape (nd,).
        cap: scaled capacities, shape (T,).
        multiplicative: of each smooth column, shape (ns,).
        precision: shape (ns,).
        tau: scale of the hinges' prior.
        theta: the result, with Prophet's m in it, shape (ns + nd,).
        signs: room for nd integers.
        gram: room of shape (ns + nd, ns + nd).
        work, room: as for solver.solve.

    Returns:
        s2, and how it was found.
    """
    s2, status, objective = np.nan, UNDEFINED, np.inf
    climbed = np.empty_like(theta)
    best = 0
    for way in range(3 if growth == LOGISTIC else 1):  # a variable: of two constants numba makes two kernels
        side = way if way < 2 else best
        s2_found, status_found, objective_found = _climb(
            growth, z, t, y, changepoints, cap, multiplicative, precision, tau, side == 1, way == 2, climbed, signs,
            gram, work, room)  # fmt: skip
        # a search that ended below the top may still be above another top
        rank, rank_found = (0 if status == STUCK else status), (0 if status_found == STUCK else status_found)
        if way == 0 or rank_found < rank or (rank_found == rank and objective_found < objective):
            theta[:] = climbed
            s2, status, objective, best = s2_found, status_found, objective_found, side
    if growth == LOGISTIC:
        theta[1] = -theta[1] / theta[0]
    return s2, status


@compiled
def _climb(
    growth: int, z: Floats, t: Floats, y: Floats, changepoints: Floats, cap: Floats,
    multiplicative: Bools, precision: Floats, tau: float, other_side: bool, tight: bool,
    theta: Floats, signs: Ints, gram: Floats, work: Floats, room: Floats,
) -> tuple[float, int, float]:  # fmt: skip
    """Find the maximum that the search leads to; also return the objective.

    With `tight` it begins with a small sigma, to which bends of the trend are cheap, and so ends at another one than
    from a large sigma if there are several. Other arguments as in gauss_newton.
    """
    rows, ns = z.shape
    p = len(theta)
    first = 1 if growth == FLAT else 2
    jacobian, target, pull, lever = np.empty((rows, ns)), np.empty(p), np.zeros(ns), np.zeros(ns)
    hinges, trend, factor, f = np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows)
    weight, goal = np.empty(rows), np.empty(rows)
    proposed, tried, own = np.empty(p), np.empty(p), precision.copy()
    if growth == LOGISTIC:
        own[1] = 0.0
    unit = np.zeros(ns)
    scalable = growth != LOGISTIC and _constant_from(z, multiplicative, unit) < NEARLY_CONSTANT
    spread = float(np.sum((y - np.mean(y)) ** 2))
    floor = RELATIVE_FLOOR * spread / rows + 1e-300
    collapsed = COLLAPSED * spread / rows
    # With sigma free in each round fewer are needed, where the posterior has its maximum well above the floor.
    free = rows > 4 * p and not tight
    for status in (MAXIMUM, MARGINAL):
        slope, damping = np.inf, 0.0
        start(growth, t, y, cap, other_side, theta)
        predict(growth, theta, z, t, changepoints, cap, multiplicative, hinges, trend, factor, f)
        rss = float(np.sum((y - f) ** 2))
        s2 = max(sigma_squared(rss, rows) * (TIGHT if tight else 1.0), floor)
        for round_number in range(max(MAX_ROUNDS, min(MOST_ROUNDS, ROUNDS_TIMES_ROWS // rows))):
            if scalable:
                rss = _rescale(
                    growth, theta, tried, unit, z, t, y, changepoints, cap, multiplicative, precision, tau, s2, rss,
                    hinges, trend, factor, f)  # fmt: skip
            for row in range(rows):
                w = factor[row]
                if growth == LOGISTIC:
                    w *= trend[row] * (1 - trend[row] / cap[row])
                weight[row] = w
                goal[row] = y[row] - f[row] + w * hinges[row]
                for k in range(first):
                    jacobian[row, k] = w * z[row, k]
                for k in range(first, ns):
                    jacobian[row, k] = z[row, k] * trend[row] if multiplicative[k] else z[row, k]
                for k in range(ns):
                    goal[row] += jacobian[row, k] * theta[k]
            if growth == LOGISTIC:  # with k0, c0 the current ones: c / k ~ c0 / k0 + c / k0 - k c0 / k0^2
                root = np.sqrt(precision[1])
                lever[0], lever[1] = -root * theta[1] / theta[0] ** 2, root / theta[0]
                for k in range(2):
                    pull[k] = -lever[k] * root * theta[1] / theta[0]
            smooth_gram(jacobian, gram)
            hinge_gram(jacobian, weight, t, changepoints, gram)
            yy = products(jacobian, weight, t, changepoints, goal, target)
            if rss < 1e-10 * yy:
                free = False  # too small beside the rest for sigma to be had from the Gram
            free_now = free and status == MAXIMUM
            given = 0.0 if free_now and damping == 0 else s2
            if damping > 0:
                yy += _damp(gram, target, theta, damping)
            _, how = solve(gram, target, pull, own, lever, yy, rows, tau, False, given, proposed, signs, work, room)
            if free_now and damping == 0 and how != MAXIMUM and how != UNDEFINED:
                free = free_now = False
                _, how = solve(gram, target, pull, own, lever, yy, rows, tau, False, s2, proposed, signs, work, room)
            if damping > 0:
                yy += _damp(gram, target, theta, -damping / (1 + damping))
            if how == UNDEFINED:
                return np.nan, UNDEFINED, np.inf
            slope = _slope(growth, theta, proposed, jacobian, weight, goal, y, f, t, changepoints, s2, precision, tau)
            before = penalties(growth, theta, precision, tau) + _misfit(rss, s2, rows, free_now)
            step, gain, tried_rss = 1.0, 0.0, rss
            while step > SMALLEST_STEP:
                for i in range(p):
                    tried[i] = theta[i] + step * (proposed[i] - theta[i])
                predict(growth, tried, z, t, changepoints, cap, multiplicative, hinges, trend, factor, f)
                tried_rss = 0.0
                for row in range(rows):
                    tried_rss += (y[row] - f[row]) ** 2
                tried_s2 = max(sigma_squared(tried_rss, rows), floor) if free_now else s2
                after = penalties(growth, tried, precision, tau) + _misfit(tried_rss, tried_s2, rows, free_now)
                gain = before - after
                if gain > 0:
                    break
                step *= 0.5
            if gain > 0:
                theta[:] = tried
                rss = tried_rss
            else:
                predict(growth, theta, z, t, changepoints, cap, multiplicative, hinges, trend, factor, f)
            found = s2
            if status == MAXIMUM:
                found = sigma_squared(rss, rows)
            elif round_number < SETTLED_ROUNDS:
                rotated, own_goal, means, _ = rotate(gram, target, pull, own, lever)
                found = marginal_variance(rotated, own_goal, means, yy, rows)
            if found <= (collapsed if status == MAXIMUM and rows <= 4 * p else floor):
                found = 0.0
                break
            change = abs(np.log(found / s2))
            s2 = found
            if gain <= ENOUGH and damping > 0:
                damping = 0.0  # the last round is one without
            elif gain <= ENOUGH and (free_now or change < 1e-9):
                break
            elif step < SHORT_STEP:
                damping = max(4 * damping, LEAST_DAMPING)
            elif step == 1.0:
                damping = 0.25 * damping if damping > LEAST_DAMPING else 0.0
        if s2 > floor and found > floor:
            reached = status if slope <= STATIONARY else STUCK
            return s2, reached, penalties(growth, theta, precision, tau) + _misfit(rss, s2, rows, True)
    return floor, FLOOR, np.inf


@compiled
def _constant_from(z: Floats, multiplicative: Bools, unit: Floats) -> float:
    """Write the combination of the multiplicative columns that is nearest to 1, shape (ns,); the shortest if several.

    Found by conjugate gradients on the normal equations. Returns its root mean square error.
    """
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
        if now <= 1e-20 * first or now == 0:
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
def _rescale(
    growth: int, theta: Floats, tried: Floats, unit: Floats, z: Floats, t: Floats, y: Floats, changepoints: Floats,
    cap: Floats, multiplicative: Bools, precision: Floats, tau: float, s2: float, rss: float,
    hinges: Floats, trend: Floats, factor: Floats, f: Floats,
) -> float:  # fmt: skip
    """Divide the trend by c and multiply 1 + X_m b by it, for the c that the priors like best; return the new RSS.

    Where multiplicative columns span the constant (weekly ones on five days), the predictor stays the same all along
    that curve, and straight steps across it are short. With u the combination that is 1, b becomes c b + (c - 1) u.
    """
    rows, ns = z.shape
    first = 1 if growth == FLAT else 2
    trend_squares = lasso = squares = mixed = 0.0
    for k in range(first):
        trend_squares += precision[k] * theta[k] ** 2
    for j in range(ns, len(theta)):
        lasso += abs(theta[j]) / tau
    for k in range(first, ns):
        if multiplicative[k]:
            whole = theta[k] + unit[k]
            squares += precision[k] * whole**2
            mixed += precision[k] * whole * unit[k]
    log_c = 0.0
    for _ in range(20):  # Newton's method on the priors as a function of log(c), by steps of at most 1
        c = np.exp(log_c)
        slope = -trend_squares / c**2 - lasso / c + squares * c**2 - mixed * c
        bend = 2 * trend_squares / c**2 + lasso / c + 2 * squares * c**2 - mixed * c
        step = -slope / bend if bend > 0 else -np.sign(slope)
        step = min(max(step, -1.0), 1.0)
        log_c += step
        if abs(step) < 1e-9:
            break
    before = penalties(growth, theta, precision, tau) + rss / (2 * s2)
    while abs(log_c) > 1e-9:
        c = np.exp(log_c)
        for i in range(len(theta)):
            if i < first or i >= ns:
                tried[i] = theta[i] / c
            elif multiplicative[i]:
                tried[i] = c * theta[i] + (c - 1) * unit[i]
            else:
                tried[i] = theta[i]
        predict(growth, tried, z, t, changepoints, cap, multiplicative, hinges, trend, factor, f)
        tried_rss = 0.0
        for row in range(rows):
            tried_rss += (y[row] - f[row]) ** 2
        if penalties(growth, tried, precision, tau) + tried_rss / (2 * s2) < before:
            theta[:] = tried
            return tried_rss
        log_c *= 0.25
    predict(growth, theta, z, t, changepoints, cap, multiplicative, hinges, trend, factor, f)
    return rss


@compiled
def _damp(gram: Floats, target: Floats, theta: Floats, damping: float) -> float:
    """Have each parameter observed where it is now, as often as `damping` of its Gram says; return what yy gains.

    A damping of -d / (1 + d) takes back one of d.
    """
    gained = 0.0
    for i in range(len(theta)):
        extra = damping * gram[i, i]
        gram[i, i] += extra
        target[i] += extra * theta[i]
        gained += extra * theta[i] ** 2
    return gained


@compiled
def _slope(
    growth: int, theta: Floats, proposed: Floats, jacobian: Floats, weight: Floats, goal: Floats, y: Floats, f: Floats,
    t: Floats, changepoints: Floats, s2: float, precision: Floats, tau: float,
) -> float:  # fmt: skip
    """Return by how much the objective falls from theta towards the proposal, per unit of the way, sigma being fixed.

    The proposal is where the linearised problem, which is convex, has its minimum: it is 0 at a stationary point, and
    nowhere else. For sigma at its own optimum it is the slope with sigma free, too.
    """
    rows, ns = jacobian.shape
    fall = 0.0
    j, bend, offset = 0, 0.0, 0.0
    for row in range(rows):
        while j < len(changepoints) and changepoints[j] < t[row]:
            bend += proposed[ns + j]
            offset -= proposed[ns + j] * changepoints[j]
            j += 1
        left = goal[row] - weight[row] * (bend * t[row] + offset)
        for k in range(ns):
            left -= jacobian[row, k] * proposed[k]
        residual = y[row] - f[row]
        fall += residual * (residual - left) / s2
    for k in range(ns):
        step = proposed[k] - theta[k]
        if growth == LOGISTIC and k < 2:
            ratio = precision[1] * theta[1] / theta[0] ** 2
            fall -= step * (precision[0] * theta[0] - ratio * theta[1] / theta[0]) if k == 0 else step * ratio
        else:
            fall -= precision[k] * theta[k] * step
    for k in range(ns, len(theta)):
        step = proposed[k] - theta[k]
        fall -= (abs(step) if theta[k] == 0 else np.sign(theta[k]) * step) / tau
    return fall


@compiled
def _misfit(rss: float, s2: float, rows: int, with_sigma: bool) -> float:
    """Return the negative log likelihood and prior of sigma; without what sigma alone decides if it is fixed."""
    misfit = rss / (2 * s2)
    return misfit + rows * 0.5 * np.log(s2) + 2 * s2 if with_sigma else misfit
