"""An engine that some series poison, in whatever process it runs: for tests of what one bad input may cost.

Put `startup/` on PYTHONPATH and name in DROPCAST_POISON what a series called `poison` does to the native engine.
"""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent
RAISES = {"raise": "KeyError", "exit": "", "sys_exit": "SystemExit", "memory": "MemoryError"}


def poisoned(kind: str, once: Path | None = None) -> dict[str, str]:
    """Return an environment in which a series called `poison` is poison.

    Args:
        kind: what it does: raise, sys_exit, exit (end the process at once), memory (allocate without end); or "by
            name": series called poison-raise and so on do that.
        once: a file that is made the first time; from then on it does nothing.
    """
    path = os.pathsep.join(part for part in (str(HERE / "startup"), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path, "DROPCAST_POISON": kind, "DROPCAST_POISON_ONCE": str(once or "")}
