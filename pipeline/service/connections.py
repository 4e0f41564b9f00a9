"""Connections on which requests do not take for ever to begin, nor answers to be read."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_HEAD_BYTES = 1 << 16  # of a request's head, or of what follows its body
UNREAD_SECONDS = 60.0  # that a part of an answer may wait to be read
HEADER_SECONDS = 20.0  # for the head of a request, from its first byte or from the opening of the connection on


class BoundedConnection(H11Protocol):  # type: ignore[misc]
    """Closes a connection that does not send the whole head of a request in time, or sends too long a one.

    uvicorn itself closes connections that idle between two requests, but not one that never begins, or that sends its
    head a byte at a time; a thousand of these would keep everybody else out.

    It stands on h11, which is slower than httptools by a third of a millisecond, but bounds the head, and does not lose
    the body of a request that offers an upgrade, as those of Java's own client do.
    """

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = h11.Connection(h11.SERVER, MOST_HEAD_BYTES)

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first after a request begin the next."""
        if self._deadline is None and self.conn.their_state is h11.IDLE:
            self._wait()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def _should_upgrade(self) -> bool:
        """Return False: the request is answered as if it had not offered to go on in another protocol."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the other side to read."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self._abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _abort(self) -> None:
        """Break the connection off: to close it would wait until all is read."""
        self._unread = None
        if self.transport is not None:
            self.transport.abort()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
