"""The service's routes."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline import __version__
from pipeline.service.push import NoPushError, message_of_push
from pipeline.service.pushes import BUSY, Pushes

MAX_BODY = 16 << 20  # bytes of a push: Pub/Sub's messages have 10 MB at most, and base64 adds a third
PROBLEM = "application/problem+json"  # RFC 9457
TRACE: ContextVar[str] = ContextVar("trace", default="")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


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
        if TRACE.get():
            setattr(record, "logging.googleapis.com/trace", self._place + TRACE.get())
        return True


def make_app(pushes: Pushes) -> FastAPI:
    """Return the service.

    Args:
        pushes: answers what is pushed to it.
    """
    ready = {"ready": False}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ready["ready"] = True
        yield
        ready["ready"] = False

    app = FastAPI(
        title="Dropcast", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Forecasts what a bucket's notifications and manifests ask for.",
    )  # fmt: skip

    @app.middleware("http")
    async def trace(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        stated = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
        TRACE.set(stated[1] if stated else "")
        return await go_on(request)

    @app.post("/", status_code=204, summary="Take a message that Pub/Sub or Eventarc pushes", responses={
        204: {"description": "Done, or recorded as a dead letter: the message is not to come again."},
        400: {"description": "Not a push request."},
        413: {"description": "A body that no message has."},
        429: {"description": "As many messages as may be are worked on: send it again later."},
        503: {"description": "A server failed: send it again."},
    })  # fmt: skip
    async def push(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return problem(413, "TOO_LARGE", f"The body has more than {MAX_BODY:,} bytes.")
        try:
            message = message_of_push(request.headers, bytes(body))
        except NoPushError as error:
            return problem(400, "BAD_MESSAGE", f"This is no push request: {error}.")
        status = await run_in_threadpool(pushes.answer, message)
        return Response(status_code=status, headers={"Retry-After": "10"} if status == BUSY else None)

    @app.get("/healthz", summary="Whether the process is alive")
    def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", summary="Whether it takes requests")
    def readyz() -> PlainTextResponse:
        return PlainTextResponse("ready\n" if ready["ready"] else "not ready\n", 200 if ready["ready"] else 503)

    @app.get("/metrics", summary="Metrics for Prometheus")
    def metrics() -> Response:
        return Response(generate_latest(pushes.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def problem(status: int, code: str, detail: str) -> JSONResponse:
    """Return a refusal as problem details."""
    content = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    return JSONResponse(content, status, media_type=PROBLEM)
