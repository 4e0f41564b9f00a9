"""Gram matrix of the features of a series' dates, mostly from sums over stretches of the calendar.

Series with dates of their own still share the calendar. The sums of x x' over each of its stretches are worked out
once for all series that cover it, and a series only adds its rows in stretches that it covers in part. A stretch begins
where its number on the calendar says, wherever the table begins: the numbers do not depend on other series.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.compiled import compiled, inlined

STRETCH = 32  # rows


class Stretches(NamedTuple):
    """Sums over stretches of a table of features.

    Attributes:
        phase: rows from the beginning of the first stretch to that of the table; negative if its rows are not those of
            a regular calendar, so that there are no stretches.
        known: whether a stretch's sums are worked out yet, shape (stretches,).
        sums: of x x', its lower triangle row by row, shape (stretches, K (K + 1) / 2).
    """

    phase: int
    known: Bools
    sums: Floats


@compiled
def no_sums(rows: int, width: int, phase: int) -> Stretches:
    """Return room for the sums over a table of some rows and columns."""
    stretches = (rows + phase) // STRETCH + 1 if phase >= 0 else 0
    return Stretches(phase, np.zeros(stretches, np.bool_), np.empty((stretches, width * (width + 1) // 2)))


@compiled
def feature_gram(table: Floats, rows: Ints, stretches: Stretches, gram: Floats) -> None:
    """Write the sum of x x' over some rows of a table.

    Args:
        table: features of dates, shape (dates, K).
        rows: ascending, of the table, shape (T,).
        stretches: sums over the table, to which those that are needed are added.
        gram: the result's lower triangle, row by row, shape (K (K + 1) / 2,).
    """
    phase, n = stretches.phase, len(rows)
    gram[:] = 0.0
    i = 0
    while i < n:
        row = rows[i]
        place = (row + phase) % STRETCH
        if phase >= 0 and place == 0 and i + STRETCH <= n and rows[i + STRETCH - 1] == row + STRETCH - 1:
            number = (row + phase) // STRETCH
            sums = stretches.sums[number]
            if not stretches.known[number]:
                stretches.known[number] = True
                sums[:] = 0.0
                for first in range(row, row + STRETCH, 4):
                    _add_four(table[first], table[first + 1], table[first + 2], table[first + 3], sums)
            for k in range(len(gram)):
                gram[k] += sums[k]
            i += STRETCH
        elif i + 4 <= n and place <= STRETCH - 4:
            _add_four(table[row], table[rows[i + 1]], table[rows[i + 2]], table[rows[i + 3]], gram)
            i += 4
        else:
            _add_one(table[row], gram)
            i += 1


@inlined
def _add_four(a: Floats, b: Floats, c: Floats, d: Floats, gram: Floats) -> None:
    at = 0
    for j in range(len(a)):
        aj, bj, cj, dj = a[j], b[j], c[j], d[j]
        for k in range(j + 1):
            gram[at + k] += aj * a[k] + bj * b[k] + cj * c[k] + dj * d[k]
        at += j + 1


@inlined
def _add_one(a: Floats, gram: Floats) -> None:
    at = 0
    for j in range(len(a)):
        for k in range(j + 1):
            gram[at + k] += a[j] * a[k]
        at += j + 1


@compiled
def trend_gram(
    table: Floats, rows: Ints, t: Floats, y: Floats, changepoints: Floats, first: int, sums: Floats, gram: Floats,
    target: Floats,
) -> float:  # fmt: skip
    """Write what is left of the Gram matrix Z'Z beside the features' own block, and Z'y; return y'y.

    The products of a hinge (t - s_j)+ are made of sums over the rows after s_j, as in `hinge_gram`; those of the slope
    and the intercept of sums over all rows. So one pass over the rows, from the last, gives all of them.

    Args:
        table: features of dates, shape (dates, K).
        rows: ascending, of the table, shape (T,).
        t: ascending, in [0, 1], shape (T,).
        y: shape (T,).
        changepoints: s, ascending, shape (nd,).
        first: the trend's smooth columns: 2 for a slope and an intercept, 1 for an intercept.
        sums: room of shape (3, K).
        gram: its lower triangle is written, shape (first + K + nd, first + K + nd).
        target: Z'y, shape (first + K + nd,).
    """
    n, width = len(rows), table.shape[1]
    ns, nd = first + width, len(changepoints)
    zero, one, with_y = sums[0], sums[1], sums[2]
    sums[:] = 0.0
    w0 = w1 = w2 = y0 = y1 = yy = t1 = t2 = 0.0
    end = n
    for j in range(nd - 1, -2, -1):
        begin = end
        while begin > 0 and (j < 0 or t[begin - 1] > changepoints[j]):
            begin -= 1
            value, u = y[begin], 1 - t[begin]
            w0 += 1.0
            w1 += u
            w2 += u * u
            y0 += value
            y1 += u * value
            yy += value * value
            t1 += t[begin]
            t2 += t[begin] * t[begin]
        row = begin
        while row + 4 <= end:
            za, zb, zc, zd = table[rows[row]], table[rows[row + 1]], table[rows[row + 2]], table[rows[row + 3]]
            ua, ub, uc, ud = 1 - t[row], 1 - t[row + 1], 1 - t[row + 2], 1 - t[row + 3]
            ya, yb, yc, yd = y[row], y[row + 1], y[row + 2], y[row + 3]
            for k in range(width):
                zero[k] += za[k] + zb[k] + zc[k] + zd[k]
                one[k] += ua * za[k] + ub * zb[k] + uc * zc[k] + ud * zd[k]
                with_y[k] += ya * za[k] + yb * zb[k] + yc * zc[k] + yd * zd[k]
            row += 4
        while row < end:
            z, u, value = table[rows[row]], 1 - t[row], y[row]
            for k in range(width):
                zero[k] += z[k]
                one[k] += u * z[k]
                with_y[k] += value * z[k]
            row += 1
        end = begin
        if j >= 0:
            at, c = ns + j, 1 - changepoints[j]
            gram[at, 0] = c * (w0 - w1) - (w1 - w2)
            gram[at, 1] = c * w0 - w1
            for k in range(width):
                gram[at, first + k] = c * zero[k] - one[k]
            for i in range(j + 1):
                other = 1 - changepoints[i]
                gram[at, ns + i] = c * other * w0 - (c + other) * w1 + w2
            target[at] = c * y0 - y1
    intercept = first - 1
    gram[intercept, intercept] = n
    target[intercept] = y0
    for k in range(width):
        gram[first + k, intercept] = zero[k]
        target[first + k] = with_y[k]
    if first == 2:
        gram[0, 0], gram[1, 0], target[0] = t2, t1, y0 - y1
        for k in range(width):
            gram[first + k, 0] = zero[k] - one[k]
    return yy
