"""Eigenvectors of small symmetric matrices within compiled code, which cannot call a linear algebra library."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled

SWEEPS = 60


@compiled
def eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues, and eigenvectors as columns, by cyclic Jacobi rotations (Golub & Van Loan, section 8.5).

    Args:
        matrix: symmetric, shape (n, n).
    """
    a = matrix.copy()
    n = len(a)
    vectors = np.eye(n)
    total = 0.0
    for i in range(n):
        for j in range(n):
            total += a[i, j] * a[i, j]
    before = np.inf
    for _ in range(SWEEPS):
        off = 0.0
        for i in range(n):
            for j in range(i):
                off += a[i, j] * a[i, j]
        if off <= 1e-32 * total or off >= before:  # what is left is rounding, which may never fall to the bound
            break
        before = off
        for p in range(n - 1):
            for q in range(p + 1, n):
                if a[p, q] == 0.0:
                    continue
                tau = (a[q, q] - a[p, p]) / (2 * a[p, q])
                t = 1 / (abs(tau) + np.sqrt(1 + tau * tau))
                if tau < 0:
                    t = -t
                c = 1 / np.sqrt(1 + t * t)
                s = t * c
                for k in range(n):
                    x, y = a[p, k], a[q, k]
                    a[p, k], a[q, k] = c * x - s * y, s * x + c * y
                for k in range(n):
                    x, y = a[k, p], a[k, q]
                    a[k, p], a[k, q] = c * x - s * y, s * x + c * y
                for k in range(n):
                    x, y = vectors[k, p], vectors[k, q]
                    vectors[k, p], vectors[k, q] = c * x - s * y, s * x + c * y
    values = np.empty(n)
    for k in range(n):
        values[k] = a[k, k]
    return values, vectors


@compiled
def multiply(a: Floats, b: Floats) -> Floats:
    """Return the product of two matrices, summed in a fixed order."""
    result = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            f = a[i, k]
            for j in range(b.shape[1]):
                result[i, j] += f * b[k, j]
    return result
