"""The trace of a request in its log lines, and how long each took."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

_TRACE: ContextVar[str] = ContextVar("trace", default="")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class WithTrace(logging.Filter):
    """Adds the trace of the request that is worked on to a log record, where Cloud Logging looks for it.

    Args:
        project: that has the traces; "" if it is not known.
    """

    def __init__(self, project: str) -> None:
        super().__init__()
        self._place = f"projects/{project}/traces/" if project else ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the trace; let every record pass."""
        if _TRACE.get():
            setattr(record, "logging.googleapis.com/trace", self._place + _TRACE.get())
        return True


class Traced:
    """Remembers the trace that a request states (W3C's traceparent).

    Args:
        app: answers the request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        stated = next((value for name, value in scope.get("headers", ()) if name == b"traceparent"), b"")
        found = _TRACEPARENT.fullmatch(stated)
        _TRACE.set(found[1].decode() if found else "")
        await self._app(scope, receive, send)
