"""How the numeric kernels are compiled: by numba, once a machine, kept beside the source or in NUMBA_CACHE_DIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers when it is first called, and keep the result for later processes.

    IEEE arithmetic in source order (no fastmath): the same input gives the same bits, on any number of threads.
    Division by zero gives infinity or NaN, as in NumPy.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)(function))
