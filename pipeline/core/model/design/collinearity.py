"""Regressors whose effects a history cannot tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.model.histories import Histories

# Belsley, Kuh & Welsch (1980): from 30 on, effects are too uncertain to be told apart.
MAX_CONDITION_NUMBER = 30.0
LEAST_SHARE = 0.1  # of a dependence, for a regressor to be named as part of it


def collinear_regressors(histories: Histories, names: Sequence[str]) -> dict[int, tuple[float, list[str]]]:
    """Return, for series whose regressors nearly depend on each other, how much so and which ones.

    Args:
        histories: of n series.
        names: regressors; those that never change in a series are left out.

    Returns:
        By series the condition number of its standardised regressors (the ratio of their largest to their smallest
        singular value; infinite for indicators that add up to 1), and the regressors in the closest dependence.
    """
    found: dict[int, tuple[float, list[str]]] = {}
    if len(names) < 2:
        return found
    for i in range(len(histories)):
        rows = slice(int(histories.offsets[i]), int(histories.offsets[i + 1]))
        columns = np.column_stack([histories.extras[name][rows] for name in names])
        varying = np.flatnonzero(np.ptp(columns, axis=0) > 0)
        if len(varying) < 2:
            continue
        centred = columns[:, varying] - columns[:, varying].mean(axis=0)
        scaled = centred / np.sqrt((centred**2).sum(axis=0))
        squares, ways = np.linalg.eigh(scaled.T @ scaled)
        least = max(float(squares[0]), 0.0)
        number = float(np.sqrt(squares[-1] / least)) if least > 1e-14 * squares[-1] else np.inf
        if number > MAX_CONDITION_NUMBER:
            part = np.flatnonzero(ways[:, 0] ** 2 >= LEAST_SHARE)
            found[i] = (number, [names[varying[k]] for k in part])
    return found
