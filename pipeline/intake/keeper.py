"""Keeps messages until the ledger has what became of them, and only then acknowledges them."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.requests.messages import Message
from pipeline.intake.source import LEASE, Source, Taken

TURN = 0.5  # seconds between two looks at what is held
FIRST_LOOK, LONGEST_LOOK = 1.0, 15.0  # seconds between two questions to the ledger about one message
AGAIN = 10.0  # seconds after which a message that could not be worked on comes again
_log = logging.getLogger(__name__)


@dataclass
class _Held:
    taken: Taken
    since: float
    look_at: float
    settled: bool = False


class Keeper:
    """Takes messages from a source, a window of them at a time, and acknowledges those that are settled.

    A thread keeps the leases of the others, for as long as they are held.

    Args:
        source: gives the messages.
        window: how many are held at most.
        in_ledger: says whether the ledger has what became of a message; None if `settle` says it.
        max_age: seconds after which one that is still not settled is let go: whatever was working on it may be gone.
    """

    def __init__(
        self,
        source: Source,
        window: int,
        in_ledger: Callable[[Message], bool] | None = None,
        max_age: float = math.inf,
    ) -> None:
        self._source, self._window, self._in_ledger, self._max_age = source, window, in_ledger, max_age
        self._held: dict[str, _Held] = {}
        self._lock, self._wake, self._ended = threading.Lock(), threading.Event(), False
        self._freed = threading.Condition(self._lock)
        self._kept_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"leases of {source.name}", daemon=True)
        self._thread.start()

    @property
    def room(self) -> int:
        """How many more may be held."""
        with self._lock:
            return max(0, self._window - len(self._held))

    @property
    def held(self) -> int:
        """How many are held."""
        with self._lock:
            return len(self._held)

    def wait_for_room(self, least: int, seconds: float) -> bool:
        """Wait at most some seconds until there is room for some more; return whether there is."""
        with self._freed:
            return self._freed.wait_for(lambda: self._window - len(self._held) >= least, seconds)

    def pull(self, seconds: float, most: int | None = None) -> list[Taken]:
        """Return messages that are new, at most as many as there is room for.

        Args:
            seconds: to wait for one.
            most: how many, if that is less.
        """
        room = self.room
        pulled = self._source.pull(room if most is None else min(room, most), seconds)
        now = time.monotonic()
        new = []
        with self._lock:
            for taken in pulled:
                known = self._held.get(taken.id)
                if known is not None:  # its lease was lost while it is worked on
                    known.taken = taken
                    continue
                self._held[taken.id] = _Held(taken, now, now + FIRST_LOOK)
                new.append(taken)
        if pulled:
            self._source.keep(pulled)
        return new

    def settle(self, taken: Taken) -> None:
        """Let a message be acknowledged: the ledger has what became of it."""
        with self._lock:
            if taken.id in self._held:
                self._held[taken.id].settled = True
        self._wake.set()

    def give_back(self, taken: Taken, seconds: float = AGAIN) -> None:
        """Let a message come again after some seconds: a server failed."""
        with self._lock:
            held = self._held.pop(taken.id, None)
            self._freed.notify_all()
        if held is not None:
            self._source.release([held.taken], seconds)

    def close(self) -> int:
        """Acknowledge what is settled, give back the rest, and end; return how many those are."""
        self._ended = True
        self._wake.set()
        self._thread.join()
        self.turn()
        with self._lock:
            rest = [held.taken for held in self._held.values()]
            self._held.clear()
        if rest:
            self._source.release(rest, 0.0)
        self._source.close()
        return len(rest)

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(TURN)
            self._wake.clear()
            self.turn()

    def turn(self) -> None:
        """Acknowledge what is settled by now, let go of what is too old, and keep the rest."""
        for step in (self._ask_ledger, self._acknowledge, self._let_go, self._keep_rest):
            try:
                step()
            except Exception:  # noqa: BLE001 - whatever a server's client raises: the next turn tries it again
                _log.exception("messages of %s could not be looked after", self._source.name)

    def _ask_ledger(self) -> None:
        if self._in_ledger is None:
            return
        now = time.monotonic()
        with self._lock:
            due = [held for held in self._held.values() if not held.settled and held.look_at <= now]
        for held in due:
            held.settled = self._in_ledger(held.taken.message)
            now = time.monotonic()
            held.look_at = now + min(LONGEST_LOOK, max(FIRST_LOOK, (now - held.since) / 2))

    def _acknowledge(self) -> None:
        with self._lock:
            settled = [held for held in self._held.values() if held.settled]
        if not settled:
            return
        self._source.acknowledge([held.taken for held in settled])
        with self._lock:
            for held in settled:
                self._held.pop(held.taken.id, None)
            self._freed.notify_all()

    def _let_go(self) -> None:
        now = time.monotonic()
        with self._lock:
            old = [held.taken for held in self._held.values() if now - held.since > self._max_age]
            for taken in old:
                del self._held[taken.id]
        if old:
            _log.warning("%d messages of %s have no result after %g s: they are to come again",
                         len(old), self._source.name, self._max_age)  # fmt: skip
            self._source.release(old, 0.0)

    def _keep_rest(self) -> None:
        now = time.monotonic()
        if now - self._kept_at < LEASE / 3:
            return
        self._kept_at = now
        with self._lock:
            rest = [held.taken for held in self._held.values()]
        if rest:
            self._source.keep(rest)
