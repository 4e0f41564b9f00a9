"""Series to fit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.dates.calendars import Dates


@dataclass(frozen=True)
class Histories:
    """Series to fit, their rows one after another.

    Attributes:
        offsets: series i has rows offsets[i] to offsets[i + 1], shape (n + 1,).
        ds: microseconds, ascending within a series, shape (N,).
        y: shape (N,).
        extras: numbers of extra columns (regressors, caps, floors, conditions) on ds, each of shape (N,).
    """

    offsets: Ints
    ds: Dates
    y: Floats
    extras: dict[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, members: Ints) -> Histories:
        """Return some of the series."""
        if len(members) == len(self):
            return self
        lengths = np.diff(self.offsets)[members]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.offsets[members] - offsets[:-1], lengths) + np.arange(offsets[-1])
        extras = {name: column[rows] for name, column in self.extras.items()}
        return Histories(offsets, self.ds[rows], self.y[rows], extras)
