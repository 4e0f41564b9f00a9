"""Requests between buckets that are done in this process, one message at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.cloud.incoming import request_or_letter
from pipeline.cloud.output import BucketOutput
from pipeline.cloud.receipts import is_final
from pipeline.cloud.topics import publish_receipt
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import DoneError, IgnoredError, RecordError
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.process_request import finish, process, unreadable
from pipeline.core.requests.messages import Message, Rules
from pipeline.kafka_topic import Topic


@dataclass(frozen=True)
class InProcess:
    """Does what the pipeline does with a message, with the same outputs and the same ledger.

    Attributes:
        output: where the forecasts go.
        rules: what may be read, and how it is forecast.
        limits: the operator's limits.
        topic: to which each receipt is published, at least once; "" for none.
    """

    output: BucketOutput
    rules: Rules
    limits: Limits
    topic: Topic = ""

    def asked(self, message: Message) -> Request | DeadLetter | None:
        """Return the request for a message, or its dead letter; None if it is of no concern."""
        try:
            return request_or_letter(message, self.rules)
        except IgnoredError:
            return None

    def refuse(self, letter: DeadLetter) -> RunOutcome | None:
        """Keep the dead letter of a message; return None if it is kept already."""
        if self.output.has_stray_dead_letter(letter):
            return None
        self.output.write_stray_dead_letter(letter)
        return RunOutcome((), (letter,))

    def forecast(self, request: Request, seconds: float | None = None) -> RunOutcome | None:
        """Do a request; return None if it is done already.

        Args:
            request: the request.
            seconds: after which it is given up as TOO_SLOW, between two of its blocks.
        """
        if self._stands(request):
            return None
        until = None if seconds is None else time.monotonic() + seconds
        try:
            receipt, letters = process(request, self.limits, self.output, until, noted=True)
        except DoneError:
            return None
        return self._told(RunOutcome((receipt,), tuple(letters)))

    def give_up(self, request: Request, error: RecordError) -> RunOutcome | None:
        """Refuse a request without reading its file; return None if it is done already."""
        if self._stands(request):
            return None
        receipt, letters = finish(unreadable(request, error), self.output, noted=True)
        return self._told(RunOutcome((receipt,), tuple(letters)))

    def _stands(self, request: Request) -> bool:
        """Return whether a request is done already, and do what the process that did it may have died before."""
        receipt = self.output.standing_receipt(request)
        if receipt is None:
            return False
        if is_final(receipt):  # otherwise it may be being done again
            self.output.remove_leftovers(request)
        if self.topic:
            publish_receipt(self.topic, receipt)
        return True

    def _told(self, outcome: RunOutcome) -> RunOutcome:
        for receipt in outcome.receipts if self.topic else ():
            publish_receipt(self.topic, receipt)
        return outcome
