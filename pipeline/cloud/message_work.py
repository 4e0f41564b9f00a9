"""What becomes of a message that is worked on in this process, each request once at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pipeline.cloud.in_process import InProcess
from pipeline.cloud.objects import size_of
from pipeline.core.elements import DeadLetter, Request, Status
from pipeline.core.errors import RecordError
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.requests.messages import Message, stated_size
from pipeline.core.requests.uris import is_uri

Became = Literal["ignored", "refused", "duplicate", "left", "running"] | Status
"""Of these only what is `running` already, for an earlier delivery of the message, is not settled."""
_log = logging.getLogger(__name__)


class MessageWork:
    """Does what messages ask for.

    Args:
        work: does requests.
        most_bytes: of a file; larger ones are refused, or left to the pipeline; None for the work's own limit.
        seconds: that a request may take; None for any number.
        leave_large: whether larger files are left to the pipeline, which serves the same bucket.
    """

    def __init__(
        self, work: InProcess, most_bytes: int | None = None, seconds: float | None = None, leave_large: bool = False
    ) -> None:
        self._work, self._most_bytes, self._seconds, self._leave_large = work, most_bytes, seconds, leave_large
        self._lock = threading.Lock()
        self._keys: set[str] = set()

    def do(self, message: Message) -> Became:
        """Do what a message asks for, and return what became of it.

        Raises:
            Exception: of whatever kind a server's client raises; the message is to come again.
        """
        asked = self._work.asked(message)
        if asked is None:
            return "ignored"
        if isinstance(asked, DeadLetter):
            _tell(self._work.refuse(asked))
            return "refused"
        with self._alone(asked) as alone:
            return self._forecast(asked, message) if alone else "running"

    def _forecast(self, request: Request, message: Message) -> Became:
        size = self._size(request, message)
        if self._most_bytes is not None and size is not None and size > self._most_bytes:
            if self._leave_large:
                _log.info("left to the pipeline: %s has %d bytes", request.source, size)
                return "left"
            outcome = self._work.give_up(request, _too_large(size, self._most_bytes))
        else:
            outcome = self._work.forecast(request, self._seconds)
        _tell(outcome)
        return outcome.receipts[0].status if outcome else "duplicate"

    def _size(self, request: Request, message: Message) -> int | None:
        if self._most_bytes is None:
            return None
        size = stated_size(message, request.source, request.version)  # no more than the limit is read in any case
        return size_of(request.source, request.version) if size is None and is_uri(request.source) else size

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


def _tell(outcome: RunOutcome | None) -> None:
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
