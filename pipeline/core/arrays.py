"""Array types by element type, and arrays that grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def with_room(array: Any, least: int, fill: int = 0) -> Any:
    """Return an array of at least some length that begins with another one; it grows to twice its length or more.

    Args:
        array: shape (n,).
        least: length that is needed.
        fill: what is behind it.
    """
    if least <= len(array):
        return array
    grown = np.full(max(least, 2 * len(array)), fill, array.dtype)
    grown[: len(array)] = array
    return grown
