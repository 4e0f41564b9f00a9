"""What becomes of a pushed message, and the status with which Pub/Sub is answered."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline.cloud.in_process import InProcess
from pipeline.cloud.message_work import MessageWork
from pipeline.core.requests.messages import Message

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
        limits = self.limits
        self._places = threading.BoundedSemaphore(limits.at_once)
        self._messages = MessageWork(self.work, limits.most_bytes, limits.seconds, limits.leave_large)
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
                became = self._messages.do(message)
            return self._counted(became, AGAIN if became == "running" else DONE)
        except Exception:  # noqa: BLE001 - whatever a server's client raises: the message comes again
            _log.exception("message %s failed and is to be sent again", message.message_id)
            return self._counted("failed", AGAIN)
        finally:
            self._places.release()

    def _counted(self, outcome: str, status: HTTPStatus) -> HTTPStatus:
        self._answers.labels(outcome).inc()
        return status
