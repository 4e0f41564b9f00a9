"""Keeps messages until the ledger has what became of them, and only then acknowledges them."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.intake.source import LEASE, Source, Taken

TURN = 0.5  # seconds between two looks at what is held
FIRST_LOOK, LONGEST_LOOK = 1.0, 15.0  # seconds between two questions to the ledger about one message
AGAIN, LONGEST_AGAIN = 10.0, 600.0  # seconds after which a message that failed comes again: twice as many each time
MOST_TRIES_KNOWN = 10_000  # messages of which it is known how often they failed
CLOSING = 6.0  # seconds for a call that is under way when it is time to end
_log = logging.getLogger(__name__)
Question = Callable[[], bool]
"""Whether the ledger has what became of a message."""


@dataclass
class _Held:
    taken: Taken
    since: float
    look_at: float
    question: Question | None = None
    settled: bool = False


class Keeper:
    """Takes messages from a source, a window of them at a time, and acknowledges those that are settled.

    A thread keeps the leases of the others, for as long as they are held. Another one asks the ledger, if whoever
    works on a message does not say here that it is settled.

    Args:
        source: gives the messages.
        window: how many are held at most.
        max_age: seconds after which one that is still not settled is let go: whatever was working on it may be gone.
    """

    def __init__(self, source: Source, window: int, max_age: float = math.inf) -> None:
        self._source, self._window, self._max_age = source, window, max_age
        self._held: dict[str, _Held] = {}
        self._tries: dict[str, int] = {}
        self._lock, self._wake, self._ended = threading.Lock(), threading.Event(), threading.Event()
        self._freed = threading.Condition(self._lock)
        self._kept_at = time.monotonic()
        self._threads = [
            threading.Thread(target=run, name=f"{what} of {source.name}", daemon=True)
            for what, run in (("leases", self._look_after), ("ledger", self._ask_again_and_again))
        ]
        for thread in self._threads:
            thread.start()

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
        try:
            if pulled:
                self._source.keep(pulled)
        except Exception:  # noqa: BLE001 - the lease that they came with still holds, and the next turn keeps them
            _log.warning("messages of %s were not kept yet", self._source.name, exc_info=True)
            self._kept_at = -math.inf
        return new

    def watch(self, taken: Taken, question: Question) -> None:
        """Ask the ledger from time to time whether a message is settled, until it is."""
        with self._lock:
            if taken.id in self._held:
                self._held[taken.id].question = question

    def settle(self, taken: Taken) -> None:
        """Let a message be acknowledged: the ledger has what became of it."""
        with self._lock:
            if taken.id in self._held:
                self._held[taken.id].settled = True
            self._tries.pop(taken.id, None)
        self._wake.set()

    def give_back(self, taken: Taken, seconds: float | None = None) -> None:
        """Let a message come again: a server failed.

        Args:
            taken: the message.
            seconds: after which; by default the more the more often it has failed.
        """
        with self._lock:
            held = self._held.pop(taken.id, None)
            self._freed.notify_all()
            tries = self._tries.pop(taken.id, 0)
            if seconds is None:
                seconds = min(AGAIN * 2.0 ** min(tries, 10), LONGEST_AGAIN)
                self._tries[taken.id] = tries + 1
                if len(self._tries) > MOST_TRIES_KNOWN:
                    del self._tries[next(iter(self._tries))]
        if held is not None:
            self._source.release([held.taken], seconds)

    def close(self) -> int:
        """Acknowledge what is settled, give back the rest, and end; return how many those are."""
        self._ended.set()
        self._wake.set()
        self._threads[0].join(CLOSING)
        self._try(self._acknowledge)
        with self._lock:
            rest = [held.taken for held in self._held.values()]
            self._held.clear()
        self._try(lambda: self._source.release(rest, 0.0))
        self._try(self._source.close)
        return len(rest)

    def _look_after(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(TURN)
            self._wake.clear()
            self.turn()

    def turn(self) -> None:
        """Acknowledge what is settled by now, let go of what is too old, and keep the rest."""
        for step in (self._acknowledge, self._let_go, self._keep_rest):
            self._try(step)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001 - whatever a server's client raises: the next turn tries it again
            _log.exception("messages of %s could not be looked after", self._source.name)

    def _ask_again_and_again(self) -> None:
        while not self._ended.wait(TURN):
            self.ask_ledger()

    def ask_ledger(self) -> None:
        """Ask the ledger about the messages whose turn it is, the rarer the longer they are held."""
        now = time.monotonic()
        with self._lock:
            due = [(held, held.question) for held in self._held.values() if not held.settled and held.look_at <= now]
        for held, question in due:
            if question is None or self._ended.is_set():
                continue
            try:
                held.settled = question()
            except Exception:  # noqa: BLE001 - a server's fault, which delays the answer about this message only
                _log.warning("the ledger was not asked about message %s", held.taken.id, exc_info=True)
            now = time.monotonic()
            held.look_at = now + min(LONGEST_LOOK, max(FIRST_LOOK, (now - held.since) / 2))

    def _acknowledge(self) -> None:
        with self._lock:
            settled = [(held, held.taken) for held in self._held.values() if held.settled]
        if not settled:
            return
        self._source.acknowledge([taken for _, taken in settled])
        with self._lock:
            for held, taken in settled:
                if held.taken is taken:  # and was not delivered again meanwhile
                    self._held.pop(taken.id, None)
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
