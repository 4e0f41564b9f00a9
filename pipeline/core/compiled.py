"""How the numeric kernels are compiled: by numba, once per machine; later processes read the result from a folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.core.config
from numba.core.caching import CacheImpl, UserProvidedCacheLocator

_config: Any = numba.core.config
F = TypeVar("F", bound=Callable[..., Any])


def _cache_folder() -> str:
    """Return where compiled code is kept: a folder for each state of all kernels' source.

    numba by itself looks at a function's own file only, and would keep what was inlined from another that has changed.
    """
    here = Path(__file__).parent
    sources = (path.read_bytes() for path in sorted(here.rglob("*.py")))
    source = b"".join(text for text in sources if b"@compiled" in text or b"@inlined" in text)
    root = Path(_config.CACHE_DIR) if _config.CACHE_DIR else here / "__pycache__"
    return str(root / f"kernels-{hashlib.sha256(source).hexdigest()[:16]}")


class Kept(UserProvidedCacheLocator):
    """Finds compiled code in the folder even if it cannot be written: an image's, used by somebody else than root."""

    def ensure_cache_path(self) -> None:
        """Make the folder.

        Raises:
            OSError: if it is not there and cannot be made.
        """
        try:
            super().ensure_cache_path()  # type: ignore[no-untyped-call]
        except OSError:
            if not Path(self.get_cache_path()).is_dir():  # type: ignore[no-untyped-call]
                raise


_config.CACHE_DIR = _cache_folder()
_config.CACHE_LOCATOR_CLASSES = f"{__name__}.{Kept.__name__}," + ",".join(
    f"{locator.__module__}.{locator.__name__}" for locator in CacheImpl._locator_classes
)


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers when it is first called, and keep the result for later processes.

    IEEE arithmetic in source order (no fastmath): the same input gives the same bits, on any number of threads.
    Division by zero gives infinity or NaN, as in NumPy.
    """
    return _compiled(function)


def inlined(function: F) -> F:
    """Compile a step of another function; LLVM inlines it there, so that calling it costs nothing."""
    return _compiled(function, forceinline=True)


def _compiled(function: F, **more: bool) -> F:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, **more}
    try:
        found: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder at all: compile in each process
        return cast(F, numba.njit(**options)(function))
    found._cache.save_overload = _if_possible(found._cache.save_overload)
    return cast(F, found)


def _if_possible(save: Callable[..., None]) -> Callable[..., None]:
    """Return a function that keeps compiled code if the folder can be written, and otherwise does nothing."""

    def kept(*arguments: Any) -> None:
        with contextlib.suppress(OSError):
            save(*arguments)

    return kept
