"""The synthetic series for all engines; needs only NumPy, since it also runs in the rivals' environment.

Daily: level 100 with a random walk (sd 0.5 a day), a weekly sine of 10, a yearly sine of 5, noise of sd 5.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FIRST_DAY = 17_532  # 2018-01-01, in days since 1970
START_DAYS = 1095  # over which the starts of ragged series are spread
HORIZON = 28


class Block(NamedTuple):
    """Series, their rows one after another.

    Attributes:
        offsets: series i has rows offsets[i] to offsets[i + 1], shape (n + 1,).
        days: since 1970, shape (N,).
        y: shape (N,).
        cap: 1.3 times the largest value, for logistic growth, shape (n,).
    """

    offsets: npt.NDArray[np.int64]
    days: npt.NDArray[np.int64]
    y: npt.NDArray[np.float64]
    cap: npt.NDArray[np.float64]


def make_block(rows: int, series: int, ragged: bool, seed: int, first_day: int | None = None) -> Block:
    """Return synthetic series.

    Args:
        rows: of a series.
        series: how many.
        ragged: each with its own first day, and with up to 5 % more or fewer rows; else all on the same dates.
        seed: of the random numbers.
        first_day: in days since 2018-01-01; by default the seed, so that each seed has new dates.
    """
    random = np.random.default_rng(seed)
    starts = np.full(series, FIRST_DAY + (seed if first_day is None else first_day))
    lengths = np.full(series, rows)
    if ragged:
        starts += random.choice(max(START_DAYS, series), series, replace=False)
        lengths += random.integers(-(rows // 20), rows // 20, series, endpoint=True)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    days = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    values = [_values(days[a:b], random) for a, b in pairwise(offsets.tolist())]
    y = np.concatenate(values)
    return Block(offsets, days, y, 1.3 * np.array([part.max() for part in values]))


def _values(days: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.float64]:
    level = 100 + np.cumsum(random.normal(0, 0.5, len(days)))
    waves = 10 * np.sin(2 * np.pi * days / 7) + 5 * np.sin(2 * np.pi * days / 365.25)
    values: npt.NDArray[np.float64] = level + waves + random.normal(0, 5, len(days))
    return values
