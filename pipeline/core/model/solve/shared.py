"""Additive series on the same dates: one design and one Gram matrix for all of them.

The smooth block is rotated once, theta = M phi with M = diag(precision)^-1/2 Q, such that its Gram matrix plus
s2 times its prior precision is diagonal for every s2 (Q are the eigenvectors of the block, scaled by the prior).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.compiled import compiled
from pipeline.core.model.solve.eigen import eigen, multiply
from pipeline.core.model.solve.gram import hinge_gram, products, smooth_gram
from pipeline.core.model.solve.problem import Problem, Results, Workspace
from pipeline.core.model.solve.solver import solve


class SharedDesign(NamedTuple):
    """What all series on one set of dates have in common.

    Attributes:
        rotation: M, from the rotated smooth parameters to the smooth parameters, shape (ns, ns).
        z: rotated smooth columns, shape (T, ns).
        t: scaled time, shape (T,).
        changepoints: shape (nd,).
        gram: of rotated smooth columns and hinges, its lower triangle, shape (ns + nd, ns + nd).
        pull: what centring a series by 1 does to the rotated prior means, shape (ns,).
        intercept: which smooth column is the intercept's.
    """

    rotation: Floats
    z: Floats
    t: Floats
    changepoints: Floats
    gram: Floats
    pull: Floats
    intercept: int


def shared_design(columns: Floats, precision: Floats, t: Floats, changepoints: Floats, intercept: int) -> SharedDesign:
    """Return the design for smooth columns of shape (T, ns), of which one is the intercept's."""
    ns, nd = columns.shape[1], len(changepoints)
    scale = 1 / np.sqrt(precision)
    scaled = np.ascontiguousarray(columns * scale)
    gram = np.zeros((ns + nd, ns + nd))
    smooth_gram(scaled, gram)
    block = gram[:ns, :ns]
    values, vectors = eigen(block + np.tril(block, -1).T)
    rotation = np.ascontiguousarray(scale[:, None] * vectors)
    z = multiply(columns, rotation)
    hinge_gram(z, np.ones(len(t)), t, changepoints, gram)
    gram[:ns, :ns] = np.diag(np.maximum(values, 0.0))
    pull = -vectors[intercept] / scale[intercept]
    return SharedDesign(rotation, z, t, changepoints, gram, pull, intercept)


@compiled
def fit_shared(y: Floats, scales: Floats, floors: Floats, design: SharedDesign, tau: float, results: Results) -> None:
    """Fit series on the dates of a SharedDesign.

    Args:
        y: unscaled values, shape (n, T).
        scales, floors: a value is floor + scale times its scaled self, shape (n,).
        design: of their dates.
        tau: scale of the hinges' prior.
        results: where the parameters are written.
    """
    z, t, changepoints, theta = design.z, design.t, design.changepoints, results.theta
    n, rows = y.shape
    ns, nd = z.shape[1], len(changepoints)
    p = ns + nd
    workspace = Workspace(np.zeros((p + 4, p)), np.zeros((p + 4, p)), np.empty(nd, np.int64))
    target, own_pull, phi = np.empty(p), np.empty(ns), np.empty(p)
    ones, precision, centred = np.ones(rows), np.ones(ns), np.empty(rows)
    for i in range(n):
        mean = 0.0
        for row in range(rows):
            centred[row] = (y[i, row] - floors[i]) / scales[i]
            mean += centred[row]
        mean /= rows
        for row in range(rows):
            centred[row] -= mean
        yy = products(z, ones, t, changepoints, centred, target)
        for k in range(ns):
            own_pull[k] = mean * design.pull[k]
        problem = Problem(design.gram, target, own_pull, precision, precision, yy, rows, tau)
        results.s2[i], results.status[i] = solve(problem, True, 0.0, phi, workspace)
        for j in range(p):
            theta[i, j] = phi[j] if j >= ns else 0.0
        for j in range(ns):
            for k in range(ns):
                theta[i, j] += design.rotation[j, k] * phi[k]
        theta[i, design.intercept] += mean
