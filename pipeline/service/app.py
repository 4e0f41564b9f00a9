"""The service's routes."""

from __future__ import annotations

import logging
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest

from pipeline import __version__
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.service.forecasts import ARROW, CSV, JSON, forecast_file, media_type_of, spec_asked
from pipeline.service.push import NoPushError, message_of_push

if TYPE_CHECKING:
    from pipeline.service.pushes import Pushes  # needs the extra `gcp`

FORECAST = {
    "parameters": [
        {"name": "horizon", "in": "query", "schema": {"type": "integer"}, "example": 14,
         "description": "As any option of a forecast (docs/options.md), without its dashes."},
        {"name": "level", "in": "query", "schema": {"type": "string"}, "example": "80,95"},
        {"name": "model", "in": "query", "schema": {"type": "string", "enum": ["prophet", "auto"]}},
    ],
    "requestBody": {"required": True, "content": {
        CSV: {"example": "store,date,sales\nnorth,2026-01-01,12.5\nnorth,2026-01-02,13\n"},
        "application/vnd.apache.parquet": {},
    }},
}  # fmt: skip
MAX_BODY = 16 << 20  # bytes of a push: Pub/Sub's messages have 10 MB at most, and base64 adds a third
PROBLEM = "application/problem+json"  # RFC 9457
TRACE: ContextVar[str] = ContextVar("trace", default="")
BUSY = HTTPStatus.TOO_MANY_REQUESTS
IN_MEMORY = 1 << 20  # bytes of a body; more is on disk
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


@dataclass(frozen=True)
class OnRequest:
    """How forecasts are made on request.

    Attributes:
        spec: the operator's options.
        limits: of a file.
        at_once: how many are made at a time.
        most_bytes: of a body.
        seconds: that one may take.
    """

    spec: ForecastSpec
    limits: Limits
    at_once: int = 4
    most_bytes: int = 100_000_000
    seconds: float = 60.0


def make_app(on_request: OnRequest, pushes: Pushes | None) -> FastAPI:
    """Return the service.

    Args:
        on_request: how forecasts are made on request.
        pushes: answers what is pushed to it; None if there is no output for that.
    """
    registry = pushes.registry if pushes is not None else CollectorRegistry()
    asked = Counter("dropcast_forecasts", "Forecasts on request by status", ["status"], registry=registry)
    places = threading.BoundedSemaphore(on_request.at_once)
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
        if pushes is None:
            return problem(404, "BAD_MESSAGE", "The service was started without --output, so nothing is pushed to it.")
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
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/forecast", summary="Forecast the series of a file", openapi_extra=FORECAST, responses={
        200: {"description": "The forecast; dropcast-series-failed says how many series have none.",
              "content": {CSV: {}, JSON: {}, ARROW: {}}},
        406: {"description": "None of the accepted media types can be had."},
        413: {"description": "The body is too large."},
        422: {"description": "The options or the file are refused, with a code and what to do next."},
        429: {"description": "As many forecasts as may be are made: send it again later."},
    })  # fmt: skip
    async def forecast(request: Request) -> Response:
        answer = await _forecast(request, on_request, places)
        asked.labels(str(answer.status_code)).inc()
        return answer

    return app


async def _forecast(request: Request, on_request: OnRequest, places: threading.BoundedSemaphore) -> Response:
    media_type = media_type_of(request.headers.get("accept", ""))
    if media_type is None:
        return problem(406, "BAD_MESSAGE", f"An answer is {CSV}, {JSON} or {ARROW}.")
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as body:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > on_request.most_bytes:
                return problem(413, "TOO_MANY_BYTES", f"The body has more than {on_request.most_bytes:,} bytes.")
            body.write(part)
        body.seek(0)
        if not places.acquire(blocking=False):  # only now, so that slow senders take no place
            answer = problem(BUSY, "BUSY", "As many forecasts as may be are made.")
            answer.headers["Retry-After"] = "1"
            return answer
        try:
            spec = spec_asked(dict(request.query_params), on_request.spec)
            limits, seconds = on_request.limits, on_request.seconds
            found = await run_in_threadpool(forecast_file, body, spec, limits, media_type, seconds)
        except RecordError as error:
            return problem(422, error.code, error.message, hint=error.hint, line=error.line, column=error.column)
        finally:
            places.release()
    headers = {"dropcast-series": str(found.series), "dropcast-series-failed": str(len(found.faults))}
    return StreamingResponse(iter(found.parts), media_type=media_type, headers=headers)


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """Return a refusal as problem details, with what else is known."""
    content = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    content |= {name: value for name, value in more.items() if value is not None}
    return JSONResponse(content, status, media_type=PROBLEM)
