"""What becomes of a pushed message, and the status with which Pub/Sub is answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline.cloud.in_process import InProcess
from pipeline.cloud.objects import size_of
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.requests.messages import Message, stated_size
from pipeline.core.requests.uris import is_uri

DONE, BUSY, AGAIN = HTTPStatus.NO_CONTENT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PushLimits:
    """What one push may cost.

    Attributes:
        at_once: how many are worked on at a time; more are told to come again.
        most_bytes: of a file; larger ones are refused, or left to the pipeline.
        seconds: that a request may take: Pub/Sub waits for ten minutes at most.
        leave_large: whether larger files are left to the pipeline, which serves the same bucket.
    """

    at_once: int = 4
    most_bytes: int = 100_000_000
    seconds: float = 540.0
    leave_large: bool = False


@dataclass
class Pushes:
    """Answers pushes.

    Attributes:
        work: does requests.
        limits: of one push.
        registry: of the metrics.
    """

    work: InProcess
    limits: PushLimits
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._places = threading.BoundedSemaphore(self.limits.at_once)
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._answers = Counter(
            "dropcast_pushes", "Pushed messages by what became of them", ["outcome"], registry=self.registry
        )
        self._running = Gauge("dropcast_pushes_running", "Pushes that are worked on", registry=self.registry)
        self._seconds = Histogram(
            "dropcast_push_seconds", "Seconds for a push that was worked on", registry=self.registry, buckets=SECONDS
        )

    def answer(self, message: Message) -> HTTPStatus:
        """Do what a message asks for; return DONE, or whether it is to be sent again."""
        if not self._places.acquire(blocking=False):
            return self._counted("busy", BUSY)
        try:
            with self._running.track_inprogress(), self._seconds.time():
                return self._answer(message)
        except Exception:  # noqa: BLE001 - whatever a server's client raises: the message comes again
            _log.exception("message %s failed and is to be sent again", message.message_id)
            return self._counted("failed", AGAIN)
        finally:
            self._places.release()

    def _answer(self, message: Message) -> HTTPStatus:
        asked = self.work.asked(message)
        if asked is None:
            return self._counted("ignored", DONE)
        if isinstance(asked, DeadLetter):
            self._told(self.work.refuse(asked))
            return self._counted("refused", DONE)
        with self._alone(asked) as alone:
            if not alone:  # it was delivered again in mid-work
                return self._counted("running", AGAIN)
            return self._forecast(asked, message)

    def _forecast(self, request: Request, message: Message) -> HTTPStatus:
        size = stated_size(
            message, request.source, request.version
        )  # whatever it says, no more than most_bytes is read
        if size is None and is_uri(request.source):
            size = size_of(request.source, request.version)
        if size is not None and size > self.limits.most_bytes:
            if self.limits.leave_large:
                _log.info("left to the pipeline: %s has %d bytes", request.source, size)
                return self._counted("left", DONE)
            outcome = self.work.give_up(request, _too_large(size, self.limits.most_bytes))
        else:
            outcome = self.work.forecast(request, self.limits.seconds)
        self._told(outcome)
        return self._counted(outcome.receipts[0].status if outcome else "duplicate", DONE)

    @contextmanager
    def _alone(self, request: Request) -> Iterator[bool]:
        with self._lock:
            alone = request.key not in self._keys
            self._keys.add(request.key)
        try:
            yield alone
        finally:
            if alone:
                with self._lock:
                    self._keys.discard(request.key)

    def _counted(self, outcome: str, status: HTTPStatus) -> HTTPStatus:
        self._answers.labels(outcome).inc()
        return status

    def _told(self, outcome: RunOutcome | None) -> None:
        for receipt in outcome.receipts if outcome else ():
            _log.info("%s %s", receipt.status, receipt.source, extra={
                "request_key": receipt.request_key, "status": receipt.status, "code": receipt.code,
                "series": receipt.series, "rows": receipt.rows})  # fmt: skip
        for letter in outcome.letters if outcome and not outcome.receipts else ():
            _log.info("refused a message: %s %s", letter.code, letter.message)


def _too_large(size: int, most: int) -> RecordError:
    return RecordError(
        "TOO_LARGE",
        f"The file has {size:,} bytes; the service takes {most:,} in one push.",
        "Send it to the pipeline, which has no such limit (docs/service.md), or split it.",
    )
