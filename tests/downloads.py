"""What tests need and pip does not bring is made once, in folders that git ignores.

A folder is named after a hash of what it is made of: when that changes it is made anew. Any number of processes may
ask for it at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Unavailable(Exception):  # noqa: N818  (it is no fault of the program's)
    """Something cannot be had on this machine; the message says why."""


def required(variable: str) -> bool:
    """Return whether the absence of what tests need is an error, rather than a reason to skip them."""
    return bool(os.environ.get("CI") or os.environ.get(variable))


def or_skip(get: Callable[[], T], needed: bool) -> T:
    """Return what a test needs, or skip the test if it cannot be had.

    Args:
        get: gets it, or raises Unavailable.
        needed: whether its absence is an error instead.
    """
    import pytest  # late: who only installs things need not have it

    try:
        return get()
    except Unavailable as reason:
        if needed:
            raise
        pytest.skip(str(reason))


def hash_of(*contents: bytes) -> str:
    """Return a short name for these contents."""
    total = hashlib.sha256()
    for content in contents:
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:12]


def made(cache: Path, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of this name and key; let it be made if it isn't there or wasn't finished."""
    folder = cache / f"{name}-{key}"
    finished = folder / "finished"
    if finished.exists():
        return folder
    with _lock(cache / f"{name}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            finished.touch()
    return folder


def run(command: list[str], complaint: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command; if it fails, say what was wanted and what it said."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{complaint}:\n{(done.stdout + done.stderr)[-2000:]}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
