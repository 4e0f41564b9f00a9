"""Gram matrix of smooth columns and hinges, the hinges from suffix sums: O(T ns^2), whatever the number of hinges."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled


@compiled
def smooth_gram(z: Floats, gram: Floats) -> None:
    """Write z'z into the lower triangle of gram's first ns rows and columns.

    Args:
        z: smooth columns, shape (T, ns).
        gram: shape (at least ns, at least ns).
    """
    rows, ns = z.shape
    for i in range(ns):
        for j in range(i + 1):
            gram[i, j] = 0.0
    whole = rows - rows % 4
    for row in range(0, whole, 4):
        for i in range(ns):
            a, b, c, d = z[row, i], z[row + 1, i], z[row + 2, i], z[row + 3, i]
            for j in range(i + 1):
                gram[i, j] += a * z[row, j] + b * z[row + 1, j] + c * z[row + 2, j] + d * z[row + 3, j]
    for row in range(whole, rows):
        for i in range(ns):
            a = z[row, i]
            for j in range(i + 1):
                gram[i, j] += a * z[row, j]


@compiled
def hinge_gram(z: Floats, weight: Floats, t: Floats, changepoints: Floats, gram: Floats) -> None:
    """Write the hinges' rows of the Gram matrix below the smooth block.

    Hinge j is weight (t - s_j)+. With u = 1 - t, (t - s_j) = (1 - s_j) - u, so that its products with others are
    made of sums over the rows after s_j of 1, u and u^2 times weights; near the end nothing cancels.

    Args:
        z: smooth columns, shape (T, ns).
        weight: shape (T,).
        t: ascending, in [0, 1], shape (T,).
        changepoints: s, ascending, shape (nd,).
        gram: shape (ns + nd, ns + nd); the rows from ns on are written, in the lower triangle.
    """
    rows, ns = z.shape
    nd = len(changepoints)
    zero, one = np.zeros(ns), np.zeros(ns)
    w0 = w1 = w2 = 0.0
    row = rows - 1
    for j in range(nd - 1, -1, -1):
        s = changepoints[j]
        while row >= 0 and t[row] > s:
            u, w = 1 - t[row], weight[row]
            for k in range(ns):
                product = w * z[row, k]
                zero[k] += product
                one[k] += u * product
            w0 += w * w
            w1 += w * w * u
            w2 += w * w * u * u
            row -= 1
        c = 1 - s
        for k in range(ns):
            gram[ns + j, k] = c * zero[k] - one[k]
        for i in range(j + 1):
            other = 1 - changepoints[i]
            gram[ns + j, ns + i] = c * other * w0 - (c + other) * w1 + w2


@compiled
def products(z: Floats, weight: Floats, t: Floats, changepoints: Floats, y: Floats, target: Floats) -> float:
    """Write Z'y into target, and return y'y.

    Args:
        z: smooth columns, shape (T, ns).
        weight: of the hinges, shape (T,).
        t: ascending, shape (T,).
        changepoints: s, ascending, shape (nd,).
        y: shape (T,).
        target: shape (ns + nd,).
    """
    rows, ns = z.shape
    target[:] = 0.0
    yy = 0.0
    whole = rows - rows % 4
    for row in range(0, whole, 4):
        a, b, c, d = y[row], y[row + 1], y[row + 2], y[row + 3]
        yy += a * a + b * b + c * c + d * d
        for k in range(ns):
            target[k] += a * z[row, k] + b * z[row + 1, k] + c * z[row + 2, k] + d * z[row + 3, k]
    for row in range(whole, rows):
        a = y[row]
        yy += a * a
        for k in range(ns):
            target[k] += a * z[row, k]
    y0 = y1 = 0.0
    row = rows - 1
    for j in range(len(changepoints) - 1, -1, -1):
        s = changepoints[j]
        while row >= 0 and t[row] > s:
            value = weight[row] * y[row]
            y0 += value
            y1 += (1 - t[row]) * value
            row -= 1
        target[ns + j] = (1 - s) * y0 - y1
    return yy
