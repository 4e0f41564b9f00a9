"""Bounds on how much is in flight at a time: requests, and the bytes of their bodies."""

from __future__ import annotations

import json
import threading

from starlette.types import ASGIApp, Receive, Scope, Send

ALWAYS = ("/healthz", "/readyz", "/metrics")  # who looks whether the service is well is always answered
_REFUSED = json.dumps({
    "type": "about:blank", "title": "BUSY", "status": 503, "code": "BUSY", "detail": "Too many requests are open.",
}).encode()  # fmt: skip


class Crowded:
    """Refuses requests beyond a number that are open at a time.

    Args:
        app: answers the others.
        most: the number.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most, self._open = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._open >= self._most:
            headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"10"),
                       (b"content-length", str(len(_REFUSED)).encode())]  # fmt: skip
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSED})
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1


class Budget:
    """Bytes of bodies, or of answers, that may be held at a time, by all requests together.

    Args:
        bytes_: how many.
    """

    def __init__(self, bytes_: int) -> None:
        self._all = self._left = bytes_
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take bytes; return whether there were so many, or nobody has any: even then something is to be possible."""
        with self._lock:
            if size > self._left and self._left < self._all:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left += size
