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

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled, inlined
from pipeline.core.model.solve.gram import hinge_gram, products, smooth_gram
from pipeline.core.model.solve.growth import FLAT, LINEAR, LOGISTIC
from pipeline.core.model.solve.predictor import (
    Design,
    Nonlinear,
    Predictor,
    misfit,
    penalties,
    predict,
    residual_sum_of_squares,
)
from pipeline.core.model.solve.problem import Problem, Workspace
from pipeline.core.model.solve.rescale import constant_from, rescale
from pipeline.core.model.solve.solver import (
    COLLAPSED,
    FLOOR,
    MARGINAL,
    MAXIMUM,
    PLENTY_OF_ROWS,
    RELATIVE_FLOOR,
    SMALLEST,
    STUCK,
    UNDEFINED,
    marginal_variance,
    rotate,
    sigma_squared,
    solve,
)

# Where weekly columns on five days span the constant, trend and season share a scale, along which it is a long way to
# the maximum; few rows pay for many rounds.
MIN_ROUNDS, MAX_ROUNDS = 60, 1000  # bounds of the number of rounds that a search may take
ROUNDS_TIMES_ROWS = 20_000_000
SETTLED_ROUNDS = 10  # after which a variance of largest marginal likelihood is kept as it is
SMALLEST_STEP = 2.0**-30
LEAST_GAIN = 1e-10  # a round that lowers the objective by less is the last
SAME_VARIANCE = 1e-9  # a negligible change of log(s2)
SHORT_STEP, LEAST_DAMPING = 0.5, 1e-4  # of the way to a proposal; of a diagonal element of the Gram matrix
MORE_DAMPING, LESS_DAMPING = 4.0, 0.25  # after a short step, and after a whole one
TIGHT = 0.01  # of the first variance, for a search that begins with a small sigma
STATIONARY = 1e-4  # by which the objective may still fall, by its slope towards the next round's proposal
NEARLY_CONSTANT = 0.5  # root mean square error of a constant written with the multiplicative columns, to be of use
NO_DIGITS_LEFT = 1e-10  # of the squares of what is fitted: residuals are too small to compute from the Gram matrix
END_SHARE = 20  # a curve's ends are the means of one row in so many
CURVE_ENDS = 0.01, 0.99  # of the cap, between which a curve begins
LEAST_RISE = 0.05  # of a curve's first k, which must not be 0


class Linearised(NamedTuple):
    """The additive problem for the linearisation of a predictor at some parameters.

    Attributes:
        jacobian: smooth columns, shape (T, ns).
        weight: by which each row's hinges count, shape (T,).
        goal: the values to fit, shape (T,).
        target: products of goal with all columns, shape (ns + nd,).
        pull, lever, precision: of the smooth parameters' priors, shape (ns,).
    """

    jacobian: Floats
    weight: Floats
    goal: Floats
    target: Floats
    pull: Floats
    lever: Floats
    precision: Floats


class Step(NamedTuple):
    """How far a search went in a round.

    Attributes:
        share: of the way to the proposal.
        gain: by how much the objective fell; not above 0 if nothing was gained.
        rss: |y - f|^2 where it ended.
    """

    share: float
    gain: float
    rss: float


@compiled
def gauss_newton(series: Nonlinear, theta: Floats, gram: Floats, workspace: Workspace) -> tuple[float, int]:
    """Find the parameters, and sigma, that maximise the posterior near where the search begins.

    Args:
        series: the series to fit.
        theta: the result, with Prophet's m in it, shape (ns + nd,).
        gram: room of shape (ns + nd, ns + nd).
        workspace: room.

    Returns:
        s2, and how it was found.
    """
    logistic = series.design.growth == LOGISTIC
    s2, status, objective = np.nan, UNDEFINED, np.inf
    climbed = np.empty_like(theta)
    best = 0
    for way in range(3 if logistic else 1):  # a variable: for two constants, numba would compile two kernels
        side = way if way < 2 else best
        s2_found, status_found, objective_found = _climb(series, side == 1, way == 2, climbed, gram, workspace)
        # a search that ended below the top may still be above another top
        rank, rank_found = (0 if status == STUCK else status), (0 if status_found == STUCK else status_found)
        if way == 0 or rank_found < rank or (rank_found == rank and objective_found < objective):
            theta[:] = climbed
            s2, status, objective, best = s2_found, status_found, objective_found, side
    if logistic:
        theta[1] = -theta[1] / theta[0]
    return s2, status


@compiled
def _climb(
    series: Nonlinear, other_side: bool, tight: bool, theta: Floats, gram: Floats, workspace: Workspace
) -> tuple[float, int, float]:
    """Find the maximum that the search leads to; also return the objective.

    With `tight` it begins with a small sigma, to which bends of the trend are cheap, and so ends at another one than
    from a large sigma if there are several. Other arguments as in gauss_newton.
    """
    design, y = series.design, series.y
    rows, ns = design.z.shape
    p = len(theta)
    predictor = Predictor(np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows))
    linearised = Linearised(
        np.empty((rows, ns)), np.empty(rows), np.empty(rows), np.empty(p), np.zeros(ns), np.zeros(ns),
        series.precision.copy())  # fmt: skip
    if design.growth == LOGISTIC:
        linearised.precision[1] = 0.0  # its prior is linearised as another observation
    proposed, tried, unit = np.empty(p), np.empty(p), np.zeros(ns)
    scalable = design.growth != LOGISTIC and constant_from(design, unit) < NEARLY_CONSTANT
    spread = float(np.sum((y - np.mean(y)) ** 2))
    floor = RELATIVE_FLOOR * spread / rows + SMALLEST
    collapsed = COLLAPSED * spread / rows
    plenty = rows > PLENTY_OF_ROWS * p
    # With sigma free in each round fewer are needed, where the posterior has its maximum well above the floor.
    free = plenty and not tight
    for status in (MAXIMUM, MARGINAL):
        slope, damping = np.inf, 0.0
        _begin(design, y, other_side, theta)
        predict(design, theta, predictor)
        rss = residual_sum_of_squares(y, predictor.f)
        s2 = max(sigma_squared(rss, rows) * (TIGHT if tight else 1.0), floor)
        for round_number in range(max(MIN_ROUNDS, min(MAX_ROUNDS, ROUNDS_TIMES_ROWS // rows))):
            if scalable:
                rss = rescale(series, theta, tried, unit, s2, rss, predictor)
            _linearise(series, theta, predictor, linearised)
            smooth_gram(linearised.jacobian, gram)
            hinge_gram(linearised.jacobian, linearised.weight, design.t, design.changepoints, gram)
            yy = products(
                linearised.jacobian, linearised.weight, design.t, design.changepoints, linearised.goal,
                linearised.target)  # fmt: skip
            if rss < NO_DIGITS_LEFT * yy:
                free = False
            free_now = free and status == MAXIMUM
            how, still_free, yy = _propose(
                series, linearised, gram, yy, theta, s2, damping, free_now, proposed, workspace
            )
            if how == UNDEFINED:
                return np.nan, UNDEFINED, np.inf
            if free_now and not still_free:
                free = free_now = False
            slope = _slope(series, linearised, theta, proposed, predictor.f, s2)
            step = _go(series, theta, proposed, s2, rss, floor, free_now, tried, predictor)
            rss = step.rss
            found = s2
            if status == MAXIMUM:
                found = sigma_squared(rss, rows)
            elif round_number < SETTLED_ROUNDS:
                rotated, _ = rotate(_problem(series, linearised, gram, yy))
                found = marginal_variance(rotated)
            if found <= (collapsed if status == MAXIMUM and not plenty else floor):
                found = 0.0
                break
            change = abs(np.log(found / s2))
            s2 = found
            if step.gain <= LEAST_GAIN and damping > 0:
                damping = 0.0  # the last round has no damping
            elif step.gain <= LEAST_GAIN and (free_now or change < SAME_VARIANCE):
                break
            elif step.share < SHORT_STEP:
                damping = max(MORE_DAMPING * damping, LEAST_DAMPING)
            elif step.share == 1.0:
                damping = LESS_DAMPING * damping if damping > LEAST_DAMPING else 0.0
        if s2 > floor and found > floor:
            reached = status if slope <= STATIONARY else STUCK
            return s2, reached, penalties(series, theta) + misfit(rss, s2, rows, True)
    return floor, FLOOR, np.inf


@inlined
def _begin(design: Design, y: Floats, other_side: bool, theta: Floats) -> None:
    """Write where to begin: a constant trend, or a logistic curve.

    The curve goes through the ends, each the mean of some rows; on the other side of k = 0 it goes through their
    middle with slope 1.
    """
    cap = design.cap
    theta[:] = 0.0
    rows = len(y)
    if design.growth != LOGISTIC:
        theta[1 if design.growth == LINEAR else 0] = np.mean(y)
        return
    some = max(1, rows // END_SHARE)
    low, high = CURVE_ENDS
    first = min(max(float(np.mean(y[:some] / cap[:some])), low), high)
    last = min(max(float(np.mean(y[rows - some :] / cap[rows - some :])), low), high)
    a, b = np.log(first / (1 - first)), np.log(last / (1 - last))
    if abs(b - a) < LEAST_RISE:
        b = a + LEAST_RISE
    theta[0], theta[1] = b - a, a
    if other_side:
        theta[0] = -1.0 if b > a else 1.0
        theta[1] = (a + b) / 2 - theta[0] / 2


@inlined
def _linearise(series: Nonlinear, theta: Floats, predictor: Predictor, linearised: Linearised) -> None:
    """Write the linearisation at the parameters whose predictor is given."""
    design, y = series.design, series.y
    growth, z, multiplicative = design.growth, design.z, design.multiplicative
    rows, ns = z.shape
    first = 1 if growth == FLAT else 2
    trend, jacobian, goal = predictor.trend, linearised.jacobian, linearised.goal
    for row in range(rows):
        w = predictor.factor[row]
        if growth == LOGISTIC:
            w *= trend[row] * (1 - trend[row] / design.cap[row])
        linearised.weight[row] = w
        goal[row] = y[row] - predictor.f[row] + w * predictor.hinges[row]
        for k in range(first):
            jacobian[row, k] = w * z[row, k]
        for k in range(first, ns):
            jacobian[row, k] = z[row, k] * trend[row] if multiplicative[k] else z[row, k]
        for k in range(ns):
            goal[row] += jacobian[row, k] * theta[k]
    if growth == LOGISTIC:  # with k0, c0 the current ones: c / k ~ c0 / k0 + c / k0 - k c0 / k0^2
        root = np.sqrt(series.precision[1])
        linearised.lever[0], linearised.lever[1] = -root * theta[1] / theta[0] ** 2, root / theta[0]
        for k in range(2):
            linearised.pull[k] = -linearised.lever[k] * root * theta[1] / theta[0]


@inlined
def _problem(series: Nonlinear, linearised: Linearised, gram: Floats, yy: float) -> Problem:
    return Problem(
        gram, linearised.target, linearised.pull, linearised.precision, linearised.lever, yy, len(series.y), series.tau
    )


@inlined
def _propose(
    series: Nonlinear, linearised: Linearised, gram: Floats, yy: float, theta: Floats, s2: float, damping: float,
    free: bool, proposed: Floats, workspace: Workspace,
) -> tuple[int, bool, float]:  # fmt: skip
    """Write the maximum of the linearised problem.

    Returns:
        How it was found, whether sigma could be left free, and yy as rounding has left it.
    """
    if damping > 0:
        yy += _damp(gram, linearised.target, theta, damping)
    given = 0.0 if free and damping == 0 else s2
    _, how = solve(_problem(series, linearised, gram, yy), False, given, proposed, workspace)
    if free and damping == 0 and how != MAXIMUM and how != UNDEFINED:
        free = False
        _, how = solve(_problem(series, linearised, gram, yy), False, s2, proposed, workspace)
    if damping > 0:
        yy += _damp(gram, linearised.target, theta, -damping / (1 + damping))
    return how, free, yy


@inlined
def _go(
    series: Nonlinear, theta: Floats, proposed: Floats, s2: float, rss: float, floor: float, free: bool,
    tried: Floats, predictor: Predictor,
) -> Step:  # fmt: skip
    """Go towards a proposal as far as the objective falls, halving the way; write parameters and predictor."""
    rows = len(series.y)
    before = penalties(series, theta) + misfit(rss, s2, rows, free)
    share, gain = 1.0, 0.0
    while share > SMALLEST_STEP:
        for i in range(len(theta)):
            tried[i] = theta[i] + share * (proposed[i] - theta[i])
        predict(series.design, tried, predictor)
        tried_rss = residual_sum_of_squares(series.y, predictor.f)
        tried_s2 = max(sigma_squared(tried_rss, rows), floor) if free else s2
        gain = before - (penalties(series, tried) + misfit(tried_rss, tried_s2, rows, free))
        if gain > 0:
            theta[:] = tried
            return Step(share, gain, tried_rss)
        share *= 0.5
    predict(series.design, theta, predictor)
    return Step(share, gain, rss)


@inlined
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


@inlined
def _slope(series: Nonlinear, linearised: Linearised, theta: Floats, proposed: Floats, f: Floats, s2: float) -> float:
    """Return by how much the objective falls from theta towards the proposal, per unit of the way, sigma being fixed.

    The proposal is where the linearised problem, which is convex, has its minimum: it is 0 at a stationary point, and
    nowhere else. For sigma at its own optimum it is the slope with sigma free, too.
    """
    design, y, precision = series.design, series.y, series.precision
    t, changepoints, jacobian = design.t, design.changepoints, linearised.jacobian
    rows, ns = jacobian.shape
    fall = 0.0
    j, bend, offset = 0, 0.0, 0.0
    for row in range(rows):
        while j < len(changepoints) and changepoints[j] < t[row]:
            bend += proposed[ns + j]
            offset -= proposed[ns + j] * changepoints[j]
            j += 1
        left = linearised.goal[row] - linearised.weight[row] * (bend * t[row] + offset)
        for k in range(ns):
            left -= jacobian[row, k] * proposed[k]
        residual = y[row] - f[row]
        fall += residual * (residual - left) / s2
    for k in range(ns):
        step = proposed[k] - theta[k]
        if design.growth == LOGISTIC and k < 2:
            ratio = precision[1] * theta[1] / theta[0] ** 2
            fall -= step * (precision[0] * theta[0] - ratio * theta[1] / theta[0]) if k == 0 else step * ratio
        else:
            fall -= precision[k] * theta[k] * step
    for k in range(ns, len(theta)):
        step = proposed[k] - theta[k]
        fall -= (abs(step) if theta[k] == 0 else np.sign(theta[k]) * step) / series.tau
    return fall
