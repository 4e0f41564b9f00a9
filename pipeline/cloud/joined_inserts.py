"""Rows that several threads insert into one table at the same time go in one request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

ROWS_A_REQUEST = 500  # of insertAll, as BigQuery's documentation advises
REQUEST_BYTES = 4 << 20  # of all rows of a request, which may have 10 MB
Records = Sequence[dict[str, Any]]
Send = Callable[[Records, Sequence[str]], dict[int, str]]
"""Inserts records with ids, and returns the reasons for refused ones by position."""


@dataclass(eq=False)
class _Insert:
    """Rows of one caller, and what became of them."""

    records: Records
    ids: Sequence[str]
    size: int
    refused: dict[int, str] = field(default_factory=dict)
    error: Exception | None = None
    done: bool = False


class JoinedInserts:
    """Joins the inserts into one table: while a request is on its way, those that come wait, and then go together.

    A single insert goes at once. If a joined request fails, each of its inserts is tried on its own, so that none
    fails because of another's rows.
    """

    def __init__(self) -> None:
        self._waiting: list[_Insert] = []
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def insert(self, records: Records, ids: Sequence[str], size: int, send: Send) -> dict[int, str]:
        """Insert rows, perhaps together with others'; return the reasons for refused ones by position.

        Args:
            records: the rows.
            ids: of each row.
            size: bytes of the rows, which fit into one request.
            send: sends one request.

        Raises:
            Exception: what `send` raises.
        """
        own = _Insert(records, ids, size)
        with self._lock:
            self._waiting.append(own)
        with self._turn:
            if not own.done:
                self._send(self._taken(own), send)
        if own.error is not None:
            raise own.error
        return own.refused

    def _taken(self, own: _Insert) -> list[_Insert]:
        """Return one's own insert and as many others as fit, which do not wait any more."""
        with self._lock:
            taken, rows, size = [own], len(own.records), own.size
            for other in self._waiting:
                fits = rows + len(other.records) <= ROWS_A_REQUEST and size + other.size <= REQUEST_BYTES
                if other is not own and fits:
                    taken.append(other)
                    rows, size = rows + len(other.records), size + other.size
            self._waiting = [other for other in self._waiting if other not in taken]
            return taken

    def _send(self, taken: list[_Insert], send: Send) -> None:
        try:
            refused = send([r for one in taken for r in one.records], [i for one in taken for i in one.ids])
        except Exception as error:  # noqa: BLE001 - each caller gets its own
            if len(taken) == 1:
                taken[0].error = error
            else:
                for one in taken:
                    self._send_alone(one, send)
        else:
            start = 0
            for one in taken:
                end = start + len(one.records)
                one.refused = {at - start: why for at, why in refused.items() if start <= at < end}
                start = end
        for one in taken:
            one.done = True

    def _send_alone(self, one: _Insert, send: Send) -> None:
        try:
            one.refused = send(one.records, one.ids)
        except Exception as error:  # noqa: BLE001 - raised where the rows come from
            one.error = error


@cache
def inserts_into(table: str) -> JoinedInserts:
    """Return what joins this process's inserts into a table, PROJECT.DATASET.TABLE."""
    return JoinedInserts()
