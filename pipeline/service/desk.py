"""Forecasts and checks on request: a bounded number at a time, each for a bounded time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import Receive, Scope, Send

from pipeline.core.errors import NobodyWaitsError, RecordError
from pipeline.core.findings import problem_of
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.service.access import Keys
from pipeline.service.answers import OFFERED, Answer, media_type_of
from pipeline.service.bodies import CSV, HTML, Content, content_of
from pipeline.service.crowds import Budget
from pipeline.service.forecasts import FORMS, check_content, draw_content, forecast_content, form_asked, spec_asked
from pipeline.service.problems import NO_STORE, busy, not_taken, problem, refusal
from pipeline.service.received import GONE, Body, BodyError, receive
from pipeline.service.waiting import Waiting

UNREADABLE = ("BAD_JSON", "BAD_ARROW", "TOO_MANY_BYTES")  # of what is sent, apart from what a file may be
RUNNING = "dropcast_requests_running"
SENT_AT_ONCE = 1 << 16  # bytes of a large answer
NAME, LONGEST_NAME = "name", 200  # what a drawn forecast is called
SMALL_BODY, LONGEST_TURN = 1 << 18, 0.05  # bytes; seconds that one waits for the one before
SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OnRequest:
    """How forecasts are made on request.

    Attributes:
        spec: the operator's options.
        limits: of a file.
        at_once: how many are made at a time.
        most_bytes: of a body.
        seconds: that one may take, and as many again for its body to arrive.
        keys: that callers must have one of; None if anybody may ask.
    """

    spec: ForecastSpec
    limits: Limits
    at_once: int = 4
    most_bytes: int = 100_000_000
    seconds: float = 60.0
    keys: Keys | None = None


Work = Callable[[Request, Body, Waiting], Response]


class Desk:
    """Answers what is asked on request, a bounded number at a time, each for a bounded time.

    Args:
        on_request: the bounds.
        registry: of the metrics.
    """

    def __init__(self, on_request: OnRequest, registry: CollectorRegistry) -> None:
        self._own, self._registry = on_request, registry
        self._places = threading.BoundedSemaphore(on_request.at_once)
        self._running = Gauge(RUNNING, "Requests that are worked on", registry=registry)
        self._one_by_one = threading.Lock()
        self._budget, self._answers = Budget(own_bytes(on_request)), Budget(own_bytes(on_request))
        self._threads = ThreadPoolExecutor(on_request.at_once, thread_name_prefix="forecast")
        self._counted = Counter(
            "dropcast_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "dropcast_request_seconds", "Seconds for a request, from its whole body on", ["route"], registry=registry,
            buckets=SECONDS,
        )  # fmt: skip

    @property
    def is_busy(self) -> bool:
        """Whether something is worked on."""
        return bool(self._registry.get_sample_value(RUNNING))

    async def answer(self, request: Request, work: Work) -> Response:
        """Return the answer to a request."""
        status = 500
        try:
            answer = await self._answer(request, work)
            status = answer.status_code
            return answer
        finally:
            self._counted.labels(request.url.path, str(status)).inc()

    async def _answer(self, request: Request, work: Work) -> Response:
        if self._own.keys is not None and not self._own.keys.allow(request.headers):
            answer = problem(401, "UNAUTHORIZED", "A key is needed.", hint="Send it as Authorization: Bearer KEY.")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        try:
            body = await receive(request, self._own.most_bytes, self._own.seconds, self._budget)
        except BodyError as error:
            return not_taken(error)
        except RecordError as error:
            return refusal(error)
        if not self._places.acquire(blocking=False):  # only now, so that slow senders take no place
            body.data.close()
            self._budget.give_back(body.taken)
            return busy("As many forecasts as may be are made.")
        waiting = Waiting(self._own.seconds)
        working = asyncio.get_running_loop().run_in_executor(
            self._threads, copy_context().run, self._work, request, body, waiting, work
        )
        return await _unless_gone(request, working, waiting)

    def _work(self, request: Request, body: Body, waiting: Waiting, work: Work) -> Response:
        try:
            seconds = self._seconds.labels(request.url.path)
            with body.data, self._running.track_inprogress(), self._turn(body), seconds.time():
                return work(request, body, waiting)
        except RecordError as error:
            return refusal(error)
        except NobodyWaitsError:
            return Response(status_code=GONE)
        except Exception:  # noqa: BLE001 - our own fault: it costs this answer only
            _log.exception("a request failed")
            return problem(500, "INTERNAL_ERROR", "Dropcast failed with an internal error; its log has the traceback.")
        finally:
            self._budget.give_back(body.taken)
            self._places.release()

    @contextmanager
    def _turn(self, body: Body) -> Iterator[None]:
        """Let small bodies be worked on one after the other: at the same time each takes twice the processor's time.

        Most of their work holds Python's lock, which threads then keep passing on. What takes longer holds nobody up.
        """
        mine = body.size <= SMALL_BODY and self._one_by_one.acquire(timeout=LONGEST_TURN)
        try:
            yield
        finally:
            if mine:
                self._one_by_one.release()

    def forecast(self, request: Request, body: Body, waiting: Waiting) -> Response:
        """Return the forecast of a body."""
        own, asked = self._own, _parameters(request)
        media_type = media_type_of(",".join(request.headers.getlist("accept")))
        if media_type is None:
            return problem(406, "BAD_MESSAGE", f"An answer is one of {', '.join(OFFERED)}.")
        name, form = asked.pop(NAME, "your data")[:LONGEST_NAME], _form_of(asked)
        content, spec = self._content(body, asked)
        wanted = form_asked(form, media_type, content.as_columns)
        if media_type == HTML:
            return self._sent(draw_content(content, name, spec, own.limits, waiting))
        return self._sent(forecast_content(content, spec, own.limits, wanted, waiting))

    def _sent(self, answer: Answer) -> Response:
        """Return an answer as a response; one that is large is sent in pieces, and has its place until it is read."""
        headers = {"dropcast-series": str(answer.series), "dropcast-series-failed": str(len(answer.faults)),
                   "content-length": str(answer.size), **NO_STORE}  # fmt: skip
        kind = f"{answer.media_type}; charset={answer.charset}" if answer.charset else answer.media_type
        headers["content-type"] = kind
        if answer.size <= SENT_AT_ONCE:
            with answer.body:
                return Response(answer.body.read(), headers=headers)
        if not self._answers.take(answer.size):
            answer.body.close()
            return busy("Answers that are not read yet take all the room.")
        return LargeAnswer(answer.body, headers, self._own.seconds, partial(self._answers.give_back, answer.size))

    def check(self, request: Request, body: Body, waiting: Waiting) -> Response:
        """Return what would be done with a body."""
        asked = {name: value for name, value in _parameters(request).items() if name != NAME}
        form_asked(_form_of(asked), CSV, as_columns=False)
        try:
            content, spec = self._content(body, asked)
        except RecordError as error:
            if error.code not in UNREADABLE:
                raise
            return JSONResponse({"problems": 1, "first_problems": [problem_of("", error)]}, headers=NO_STORE)
        return JSONResponse(check_content(content, spec, self._own.limits, waiting), headers=NO_STORE)

    def _content(self, body: Body, asked: dict[str, str]) -> tuple[Content, ForecastSpec]:
        content = content_of(body.media_type, body.data, body.size, self._own.most_bytes)
        stated = {**body.options, **content.options, **asked}
        return content, spec_asked(stated, self._own.spec, self._own.limits)


def own_bytes(on_request: OnRequest) -> int:
    """Return how many bytes of bodies may be held: one for each place, and as many on their way."""
    return 2 * on_request.at_once * on_request.most_bytes


async def _unless_gone(request: Request, working: asyncio.Future[Response], waiting: Waiting) -> Response:
    """Return what is worked on; if the client hangs up before, say so to the work, which ends at its next look."""
    # after the whole body there comes only the end of the connection
    gone: asyncio.Future[Any] = asyncio.ensure_future(request.receive())
    try:
        both: set[asyncio.Future[Any]] = {working, gone}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            waiting.gone.set()
        return await working
    finally:
        gone.cancel()


def _parameters(request: Request) -> dict[str, str]:
    """Return the parameters of a request.

    Raises:
        RecordError: BAD_MANIFEST if one is stated twice.
    """
    stated = request.query_params.multi_items()
    asked = dict(stated)
    if len(asked) < len(stated):
        raise RecordError("BAD_MANIFEST", "A parameter is stated twice.", "Write level=80,95 for several values.")
    return asked


def _form_of(asked: dict[str, str]) -> dict[str, str]:
    """Return the parameters about the form of an answer, and take them from the others."""
    return {name: asked.pop(name) for name in FORMS if name in asked}


class LargeAnswer(StreamingResponse):
    """Sends a file in pieces, and closes it however that ends.

    Args:
        body: the file, at its beginning.
        headers: of the answer.
        seconds: in which it is to be read.
        done: called at the end.
    """

    def __init__(self, body: IO[bytes], headers: dict[str, str], seconds: float, done: Callable[[], None]) -> None:
        super().__init__(iter(lambda: body.read(SENT_AT_ONCE), b""), headers=headers)
        self._file, self._seconds, self._done = body, seconds, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        try:
            with self._file:
                async with asyncio.timeout(self._seconds):
                    await super().__call__(scope, receive, send)
        except TimeoutError:  # the server then breaks the connection off
            _log.warning("an answer was not read within %g seconds", self._seconds)
        finally:
            self._done()
