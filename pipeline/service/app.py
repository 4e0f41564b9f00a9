"""The service's routes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from pipeline import __version__
from pipeline.service import reference
from pipeline.service.access import PushTokens
from pipeline.service.crowds import Crowded
from pipeline.service.desk import Desk, OnRequest
from pipeline.service.problems import NO_STORE, not_taken, problem
from pipeline.service.push import NoPushError, message_of_push
from pipeline.service.received import BUSY, BodyError, receive
from pipeline.service.tracing import Traced

if TYPE_CHECKING:
    from pipeline.service.pushes import Pushes  # needs the extra `gcp`

MAX_BODY = 16 << 20  # bytes of a push: Pub/Sub's messages have 10 MB at most, and base64 adds a third
PUSH_BODY_SECONDS = 30.0
MOST_REQUESTS = 1000
_NO_CERTIFICATES = "Google's certificates cannot be had"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_log = logging.getLogger(__name__)


def make_app(on_request: OnRequest, pushes: Pushes | None, tokens: PushTokens | None = None) -> FastAPI:
    """Return the service.

    Args:
        on_request: how forecasts are made on request.
        pushes: answers what is pushed to it; None if there is no output for that.
        tokens: verifies who pushes; None if anybody may.
    """
    registry = pushes.registry if pushes is not None else CollectorRegistry()
    ready = {"ready": False}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ready["ready"] = True
        yield
        ready["ready"] = False

    app = FastAPI(
        title="Dropcast", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False,
        description="Forecasts time series: those of a file that is sent, and of what a bucket's notifications and "
        "manifests ask for.",
    )  # fmt: skip
    app.add_middleware(Crowded, most=MOST_REQUESTS)
    app.add_middleware(Traced)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, "BAD_MESSAGE", f"{error.detail}.", headers=error.headers)

    @app.post("/", status_code=204, summary="Take a message that Pub/Sub or Eventarc pushes", responses={
        204: {"description": "Done, or recorded as a dead letter: the message is not to come again."},
        400: {"description": "Not a push request."},
        401: {"description": "Its token is missing or wrong."},
        408: {"description": "The body takes too long to arrive."},
        413: {"description": "A body that no message has."},
        429: {"description": "As many messages as may be are worked on: send it again later."},
        503: {"description": "A server failed: send it again."},
    })  # fmt: skip
    async def push(request: Request) -> Response:
        if "origin" in request.headers:  # a page in somebody's browser, not Pub/Sub
            return problem(403, "BAD_MESSAGE", "A web page cannot push.")
        if pushes is None:
            return problem(404, "BAD_MESSAGE", "The service was started without --output, so nothing is pushed to it.")
        if tokens is not None and (wrong := await run_in_threadpool(_wrong_token, tokens, request.headers)):
            return problem(401 if wrong != _NO_CERTIFICATES else 503, "UNAUTHORIZED", f"The push is refused: {wrong}.")
        try:
            body = await receive(request, MAX_BODY, PUSH_BODY_SECONDS)
            message = message_of_push(request.headers, body.data.read())
        except BodyError as error:
            return not_taken(error)
        except NoPushError as error:
            return problem(400, "BAD_MESSAGE", f"This is no push request: {error}.")
        status = await run_in_threadpool(pushes.answer, message)
        return Response(status_code=status, headers={"Retry-After": "10"} if status == BUSY else None)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Whether the process is alive", response_class=PlainTextResponse)
    def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", summary="Whether it takes requests", response_class=PlainTextResponse,
             responses={503: {"description": "It does not yet, or no more."}})  # fmt: skip
    def readyz() -> PlainTextResponse:
        return PlainTextResponse("ready\n" if ready["ready"] else "not ready\n", 200 if ready["ready"] else 503)

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return _page((files("pipeline.service") / "assets" / "page.html").read_text(encoding="utf-8"))

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return _page(reference.page(app.openapi()))

    desk = app.state.desk = Desk(on_request, registry)
    locked = reference.LOCKED if on_request.keys is not None else {}

    @app.post("/forecast", summary="Forecast each series of a file or table",
              openapi_extra={**reference.FORECAST, **locked},
              responses=reference.ANSWERS)  # fmt: skip
    async def forecast(request: Request) -> Response:
        return await desk.answer(request, desk.forecast)

    @app.post("/check", summary="Show what would be done with a file or table",
              openapi_extra={**reference.CHECK, **locked},
              responses=reference.FINDINGS)  # fmt: skip
    async def check(request: Request) -> Response:
        return await desk.answer(request, desk.check)

    if locked:
        app.openapi().setdefault("components", {})["securitySchemes"] = reference.SECURITY_SCHEMES
    return app


def _wrong_token(tokens: PushTokens, headers: Any) -> str:
    try:
        return tokens.problem(headers)
    except Exception:  # noqa: BLE001 - whatever keeps the certificates from coming: the push comes again
        _log.exception(_NO_CERTIFICATES)
        return _NO_CERTIFICATES


def _page(html: str) -> Response:
    return Response(html, media_type="text/html; charset=utf-8", headers={
        "Content-Security-Policy": _PAGE_POLICY, "Referrer-Policy": "no-referrer", **NO_STORE})  # fmt: skip
