"""Work that may run alongside other work, and work that must run alone in its process to have enough memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Room:
    """A lock that many may share or one may hold alone. Whoever waits to be alone goes before later arrivals."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Work alongside others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work once all others are done, and keep new ones waiting."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._alone and not self._inside)
            finally:
                self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


def with_memory(work: Callable[[], T]) -> T:
    """Do work alongside others; alone, if there is not enough memory for it."""
    try:
        with HEAVY_WORK.shared():
            return work()
    except MemoryError:
        with HEAVY_WORK.alone():
            return work()


HEAVY_WORK = Room()  # reading and fitting, which may run out of memory
