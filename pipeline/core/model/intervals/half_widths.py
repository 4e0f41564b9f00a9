"""Prediction intervals: exact quantiles of what Prophet simulates for linear growth, without simulating it.

In each future step, with probability p = S dt, Prophet's slope changes by a Laplace(0, lambda) draw; a change at step i
moves the trend at step h by (h - i + 1/2) dt; observations add Normal(0, sigma). In units of sigma, with
r = lambda dt / sigma, the deviation at step h is thus a sum of independent terms with the characteristic function

    phi_h(u) = exp(-u^2 / 2) prod_{j=1..h} (1 - p + p / (1 + (r (j - 1/2) u)^2))

and P(|deviation| <= x) = 2/pi int_0^inf phi_h(u) sin(u x) / u du (Gil-Pelaez 1951). The integral is a midpoint sum,
whose error is a tail of the distribution; where the slope changes dwarf sigma, the Gaussian of all but the outcome
without any change is widened to keep the sum short, by less than a fiftieth of the deviation.

The half width of an interval depends on p, r and h alone. It is computed at the nodes of a fixed lattice in (log p,
log r), once per process, and interpolated there by cubics: what a series gets depends on nothing but the series. Where
slope changes are so large that the half width jumps with p (from among the paths without a change to the others),
it is computed for that very series.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.compiled import compiled

P_SPACING, R_SPACING = 0.125, 0.125  # of the lattice, in logarithms
# The lattice holds to 0.2 % up to these; beyond, series are computed one by one.
MOST_RATIO = 0.35
MOST_REACH = 10.0  # of a slope change at the first step by the last one, in units of sigma
MOST_FREQUENCIES = 4_096  # terms of the sum
ALL_STEPS = 48  # every step up to here is computed, then a geometric series of them
MOST_SLOPE = 1e8  # a ratio above which sigma is negligible compared with slope changes
KEPT_BYTES = 64 << 20


def computed_steps(horizon: int) -> Ints:
    """Return the steps at which half widths are computed; those between are interpolated in log(step)."""
    steps = list(range(1, min(horizon, ALL_STEPS) + 1))
    while steps[-1] < horizon:
        steps.append(min(int(steps[-1] * 1.12), horizon))
    return np.array(steps, dtype=np.int64)


@compiled
def half_widths(p: float, r: float, steps: Ints, levels: Floats) -> Floats:
    """Return half widths of intervals, in units of sigma.

    Args:
        p: probability of a slope change at a step, in (0, 1].
        r: scale of slope changes times the step, over sigma.
        steps: ascending, beginning 1, 2, ...; shape (n,).
        levels: probabilities of the intervals, ascending, shape (m,).

    Returns:
        Shape (m, n).
    """
    n, m = len(steps), len(levels)
    result = np.empty((m, n))
    begin = 0
    while begin < n:
        # steps of similar size share a grid of frequencies
        end = begin
        while end < n and steps[end] <= 8 * steps[begin]:
            end += 1
        h = float(steps[end - 1])
        deviation = np.sqrt(1 + r * r * p * h * (4 * h * h - 1) / 6)  # of the last step: 2 r^2 p sum (j - 1/2)^2
        reach = 12 * deviation + 25 * r * h + 10
        spacing = 2 * np.pi / reach
        count = int(6.5 / spacing) + 1
        widened = 1.0
        if count > MOST_FREQUENCIES:
            widened = count / MOST_FREQUENCIES
            count = MOST_FREQUENCIES
        logs, terms = np.zeros(count), np.empty(count)
        done = 0
        x = np.zeros(m)
        if begin > 0:
            x[:] = result[:, begin - 1]
        for at in range(end):
            span = steps[at] - done
            for k in range(count):
                u = (k + 0.5) * spacing
                if span == 1:
                    c = r * (done + 0.5) * u
                    logs[k] += np.log1p(-p * (c * c / (1 + c * c)))
                else:  # the sum over steps is a midpoint sum of a smooth function: Gauss's rule of two points
                    for side in (-0.5773502691896257, 0.5773502691896257):
                        c = r * (done + span * (1 + side) / 2) * u
                        logs[k] += 0.5 * span * np.log1p(-p * (c * c / (1 + c * c)))
            done = steps[at]
            if at < begin:
                continue
            none = (1 - p) ** done
            for k in range(count):
                u = (k + 0.5) * spacing
                terms[k] = (np.exp(logs[k]) - none) * np.exp(-0.5 * (widened * u) ** 2)
            for level in range(m):
                x[level] = _quantile(levels[level], x[level], none, terms, spacing)
                result[level, at] = x[level]
        begin = end
    return result


@compiled
def _quantile(level: float, guess: float, none: float, terms: Floats, spacing: float) -> float:
    """Return x with P(|deviation| <= x) = level, by Newton's method within a bracket.

    Args:
        level: probability.
        guess: where to begin.
        none: probability that no slope changes, when the deviation is Normal(0, 1).
        terms: characteristic function of the rest at (k + 1/2) spacing.
        spacing: of the frequencies.
    """
    low, high = 0.0, np.pi / spacing
    x = guess if guess > 0 else 1.0
    for _ in range(100):
        below, density = 0.0, 0.0
        angle = spacing * x
        sine, cosine = np.sin(angle / 2), np.cos(angle / 2)
        turn_sine, turn_cosine = np.sin(angle), np.cos(angle)
        for k in range(len(terms)):
            below += terms[k] * sine / (k + 0.5)
            density += terms[k] * cosine
            sine, cosine = sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine
        below = below * 2 / np.pi + none * math.erf(x / np.sqrt(2.0))
        density = density * spacing * 2 / np.pi + none * np.sqrt(2 / np.pi) * np.exp(-0.5 * x * x)
        excess = below - level
        if excess > 0:
            high = x
        else:
            low = x
        step = -excess / density if density > 0 else 0.0
        following = x + step
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= 1e-10 * (1 + x):
            return following
        x = following
    return x


class HalfWidths:
    """Half widths of intervals for one horizon and one set of levels; keeps the nodes it has computed.

    Args:
        horizon: H.
        levels: probabilities of the intervals, ascending, shape (m,).
    """

    def __init__(self, horizon: int, levels: tuple[float, ...]) -> None:
        self._levels = np.array(levels)
        self._steps = computed_steps(horizon)
        self._horizon = horizon
        self._nodes: dict[tuple[int, int], Floats] = {}
        self._least = 1e-3 / horizon**1.5  # below this ratio slope changes are negligible compared with sigma

    def of(self, p: Floats, r: Floats) -> Floats:
        """Return half widths in units of sigma.

        Args:
            p: probability of a slope change at a step, shape (n,).
            r: scale of slope changes times the step, over sigma, shape (n, H).

        Returns:
            Shape (m, n, H).
        """
        result = np.empty((len(self._levels), *r.shape))
        p = np.clip(p, 1e-9, 1.0)
        most = r.max(axis=1)
        jumpy = (most > MOST_RATIO) | (most * self._horizon > MOST_REACH)
        if not jumpy.all():
            result[:, ~jumpy] = self._from_lattice(p[~jumpy], r[~jumpy])
        for i in np.flatnonzero(jumpy).tolist():
            result[:, i] = self._of_one(float(p[i]), r[i])
        return result

    def _from_lattice(self, p: Floats, r: Floats) -> Floats:
        at_p = np.log(p) / P_SPACING
        at_r = np.log(np.maximum(r, self._least)) / R_SPACING
        first_p = np.minimum(np.floor(at_p).astype(np.int64) - 1, -3)  # p = 1 is the last node
        first_r = np.floor(at_r).astype(np.int64) - 1
        low_p, low_r = int(first_p.min()), int(first_r.min())
        shape = (int(first_p.max()) + 4 - low_p, int(first_r.max()) + 4 - low_r)
        needed = np.zeros(shape, dtype=np.bool_)
        near = np.arange(4)
        distinct = first_r[:, :1] if (first_r == first_r[:, :1]).all() else first_r
        needed[(first_p - low_p)[:, None, None, None] + near[:, None], (distinct - low_r)[:, :, None, None] + near] = (
            True
        )
        table = np.zeros((*shape, len(self._levels), self._horizon))
        for i, j in zip(*(part.tolist() for part in np.nonzero(needed)), strict=True):
            table[i, j] = self._node(low_p + i, low_r + j)
        result = np.empty((len(self._levels), *r.shape))
        _interpolate(table, first_p - low_p, at_p - first_p, first_r - low_r, at_r - first_r, result)
        return result

    def _of_one(self, p: float, r: Floats) -> Floats:
        """Return the half widths of one series, shape (m, H): at its own p, and at its own r if that is constant."""
        r = np.clip(r, self._least, MOST_SLOPE)
        if r.min() == r.max():
            return np.exp(self._at_all_steps(p, float(r[0])))
        at = np.log(r) / R_SPACING
        first = np.floor(at).astype(np.int64) - 1
        low = int(first.min())
        nodes = np.zeros((int(first.max()) + 4 - low, len(self._levels), self._horizon))
        for j in np.unique(first[:, None] + np.arange(4)).tolist():
            nodes[j - low] = self._at_all_steps(p, np.exp(j * R_SPACING))
        result = np.empty((len(self._levels), 1, self._horizon))
        _interpolate(
            np.repeat(nodes[None], 4, axis=0), np.zeros(1, np.int64), np.zeros(1), (first - low)[None],
            (at - first)[None], result)  # fmt: skip
        return result[:, 0]

    def _node(self, i: int, j: int) -> Floats:
        """Return the logarithms of the half widths at a node of the lattice, shape (m, H)."""
        if (i, j) not in self._nodes:
            if len(self._nodes) * len(self._levels) * self._horizon * 8 > KEPT_BYTES:
                self._nodes.clear()
            self._nodes[i, j] = self._at_all_steps(np.exp(i * P_SPACING), np.exp(j * R_SPACING))
        return self._nodes[i, j]

    def _at_all_steps(self, p: float, r: float) -> Floats:
        computed = np.log(half_widths(p, r, self._steps, self._levels))
        if len(self._steps) == self._horizon:
            return computed
        return np.stack([_between_steps(self._steps, row, self._horizon) for row in computed])


@lru_cache(maxsize=8)
def half_widths_for(horizon: int, levels: tuple[float, ...]) -> HalfWidths:
    """Return the process's half widths for a horizon and levels."""
    return HalfWidths(horizon, levels)


def _between_steps(steps: Ints, values: Floats, horizon: int) -> Floats:
    """Interpolate between computed steps by cubics in log(step)."""
    x = np.log(steps)
    wanted = np.arange(1, horizon + 1)
    first = np.clip(np.searchsorted(steps, wanted, side="right") - 2, 0, len(steps) - 4)
    result = np.zeros(horizon)
    for a in range(4):
        weight = np.ones(horizon)
        for b in range(4):
            if a != b:
                weight *= (np.log(wanted) - x[first + b]) / (x[first + a] - x[first + b])
        result += weight * values[first + a]
    return result


@compiled
def _weights(x: float, result: Floats) -> None:
    """Write the weights of the cubic through the nodes 0, 1, 2 and 3 at x."""
    result[0] = -(x - 1) * (x - 2) * (x - 3) / 6
    result[1] = x * (x - 2) * (x - 3) / 2
    result[2] = -x * (x - 1) * (x - 3) / 2
    result[3] = x * (x - 1) * (x - 2) / 6


@compiled
def _interpolate(table: Floats, first_p: Ints, at_p: Floats, first_r: Ints, at_r: Floats, result: Floats) -> None:
    levels, n, horizon = result.shape
    wp, wr = np.empty(4), np.empty(4)
    for i in range(n):
        _weights(at_p[i], wp)
        for h in range(horizon):
            _weights(at_r[i, h], wr)
            for level in range(levels):
                value = 0.0
                for a in range(4):
                    for b in range(4):
                        value += wp[a] * wr[b] * table[first_p[i] + a, first_r[i, h] + b, level, h]
                result[level, i, h] = np.exp(value)
