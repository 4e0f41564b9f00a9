"""From where in a history forecasts are made again, to see how each member would have done."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Ints
from pipeline.core.compiled import compiled
from pipeline.core.members.pace import FINER, Pace


class Windows(NamedTuple):
    """How cutoffs are spaced.

    Attributes:
        number: at most so many.
        per_horizon: so many of them begin within a horizon.
        neighbours: windows this near or nearer overlap.
    """

    number: int
    per_horizon: int
    neighbours: int


SPARSE, DENSE = Windows(5, 1, 0), Windows(6, 2, 1)
MIN_SHARE = 0.45  # of the history that a cutoff must leave


@compiled
def windows_of(pace: Pace) -> Windows:
    """Return how cutoffs of a series are spaced: further apart where there are many values."""
    return SPARSE if pace.kind == FINER else DENSE


@compiled
def cutoffs(n: int, horizon: int, pace: Pace) -> Ints:
    """Return how many values a forecast may know: all of them first, then at each cutoff, newest first; shape (w,).

    The newest cutoff leaves half a horizon of values where several begin within one.
    """
    windows = windows_of(pace)
    step = -(-horizon // windows.per_horizon)  # rounded up: windows beyond the neighbours must not overlap
    least = max(2 * pace.season + 1, 8 if pace.season > 1 else 7, int(n * MIN_SHARE))
    found = np.empty(windows.number + 1, np.int64)
    found[0] = n
    count, end = 1, n - step
    while count <= windows.number and end >= least:
        found[count] = end
        count += 1
        end -= step
    return found[:count]
