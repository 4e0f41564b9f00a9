"""Arguments of kernels, grouped."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.core.arrays import Bools, Floats, Ints


class Problem(NamedTuple):
    """The additive problem of one series, y ~ Z theta, by its Gram matrix.

    Attributes:
        gram: Z'Z, its lower triangle, shape (ns + nd, ns + nd).
        target: Z'y, shape (ns + nd,).
        pull: precision times prior mean of the smooth parameters, shape (ns,).
        precision: of their priors, shape (ns,).
        lever: the prior's precision is diag(precision) + lever lever', shape (ns,); not read of a diagonal problem.
        yy: y'y.
        rows: T.
        tau: scale of the hinges' prior.
    """

    gram: Floats
    target: Floats
    pull: Floats
    precision: Floats
    lever: Floats
    yy: float
    rows: int
    tau: float


class Workspace(NamedTuple):
    """Working memory of a search, reused for one series after another.

    Attributes:
        work, room: of shape (ns + nd + 4, ns + nd) each.
        signs: of shape (nd,); after a search the signs of the hinges.
    """

    work: Floats
    room: Floats
    signs: Ints


class Results(NamedTuple):
    """Where the parameters of n series are written.

    Attributes:
        theta: smooth parameters and hinges, shape (n, ns + nd).
        s2: variance of the noise, shape (n,).
        status: how s2 was found, see solver.py; shape (n,).
    """

    theta: Floats
    s2: Floats
    status: Ints


class RaggedRows(NamedTuple):
    """The rows of n series, one series after another.

    Attributes:
        offsets: series i has rows offsets[i] to offsets[i + 1], shape (n + 1,).
        t: scaled time, ascending within a series, shape (N,).
        changepoints: of each series, in its scaled time, shape (n, nd); nd = 0 for flat growth.
        table_row: row of the feature table for each date, shape (N,).
        own: each series' own columns (regressors), shape (N, R).
        gates: whether each condition holds, as 0 or 1, shape (N, C).
        cap: scaled capacities, shape (N,); not read unless growth is logistic.
    """

    offsets: Ints
    t: Floats
    changepoints: Floats
    table_row: Ints
    own: Floats
    gates: Floats
    cap: Floats


class SmoothColumns(NamedTuple):
    """The smooth columns that all series of a block have.

    Attributes:
        growth: LINEAR, LOGISTIC or FLAT.
        table: features of dates, shape (dates, K).
        gate_of: for each column of the table its condition, or -1, shape (K,).
        multiplicative: whether each smooth column multiplies the trend, shape (ns,); those of the trend do not.
    """

    growth: int
    table: Floats
    gate_of: Ints
    multiplicative: Bools
