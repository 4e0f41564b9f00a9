"""Penalised least squares for many penalties at once: the normal equations are made tridiagonal first."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled


@compiled
def tridiagonalise(matrix: Floats, vector: Floats) -> tuple[Floats, Floats]:
    """Make Q'AQ tridiagonal by Householder reflections (Golub & Van Loan, section 8.3), and Q'v of a vector.

    Args:
        matrix: A, symmetric, shape (p, p); overwritten.
        vector: v, shape (p,); overwritten by Q'v.

    Returns:
        The diagonal, shape (p,), and what is beside it, shape (p - 1,).
    """
    p = len(vector)
    diagonal, beside = np.empty(p), np.zeros(max(p - 1, 0))
    v, w = np.empty(p), np.empty(p)
    for k in range(p - 1):
        diagonal[k] = matrix[k, k]
        squares = 0.0
        for i in range(k + 1, p):
            v[i] = matrix[i, k]
            squares += v[i] * v[i]
        length = np.sqrt(squares)
        if squares - v[k + 1] ** 2 <= 0.0:  # there is nothing to reflect
            beside[k] = v[k + 1]
            continue
        beside[k] = -length if v[k + 1] > 0 else length
        v[k + 1] -= beside[k]
        norm = 0.0
        for i in range(k + 1, p):
            norm += v[i] * v[i]
        product, along = 0.0, 0.0
        for i in range(k + 1, p):
            w[i] = 0.0
            for j in range(k + 1, p):
                w[i] += matrix[i, j] * v[j]
            w[i] *= 2 / norm
            product += w[i] * v[i]
            along += v[i] * vector[i]
        for i in range(k + 1, p):
            w[i] -= product / norm * v[i]
            vector[i] -= 2 * along / norm * v[i]
        for i in range(k + 1, p):
            for j in range(k + 1, p):
                matrix[i, j] -= v[i] * w[j] + w[i] * v[j]
    diagonal[p - 1] = matrix[p - 1, p - 1]
    return diagonal, beside


@compiled
def penalised(diagonal: Floats, beside: Floats, vector: Floats, penalty: float) -> tuple[float, float]:
    """Return what a penalised solution explains of the sum of squares, and the trace of the inverse.

    With B = T + penalty and x = B^-1 c: c'x + penalty x'x, and the trace of B^-1.

    Args:
        diagonal, beside: of T, which is positive semidefinite, shapes (p,) and (p - 1,).
        vector: c, shape (p,).
        penalty: above 0.
    """
    p = len(diagonal)
    down, up, x = np.empty(p), np.empty(p), np.empty(p)
    for i in range(p):
        down[i] = diagonal[i] + penalty
        x[i] = vector[i]
        if i:
            down[i] -= beside[i - 1] ** 2 / down[i - 1]
            x[i] -= beside[i - 1] / down[i - 1] * x[i - 1]
    explained = trace = 0.0
    for i in range(p - 1, -1, -1):
        x[i] /= down[i]
        up[i] = diagonal[i] + penalty
        if i < p - 1:
            up[i] -= beside[i] ** 2 / up[i + 1]
            x[i] -= beside[i] / down[i] * x[i + 1]
        explained += x[i] * (vector[i] + penalty * x[i])
        trace += 1 / (down[i] + up[i] - diagonal[i] - penalty)
    return explained, trace
