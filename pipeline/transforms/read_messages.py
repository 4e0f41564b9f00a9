"""ReadMessages: messages of a subscription or a topic to requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.requests.messages import Message, Rules
from pipeline.metrics import NAMESPACE
from pipeline.runs import BucketRun
from pipeline.transforms.pull_messages import PullMessages
from pipeline.transforms.requests_of_messages import BAD, requests_of


@dataclass
class ReadMessages(beam.PTransform):
    """Turns notifications of Cloud Storage, and manifests, into requests.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        run: the run.
    """

    run: BucketRun

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        outputs = (
            begin
            | "PullMessages" >> self._source()
            | "ParseMessages"
            >> beam.ParDo(_Parse(self.run.rules))
            .with_output_types(Request, bad=DeadLetter)
            .with_outputs(BAD, main="requests")
        )
        return {"requests": outputs["requests"], "bad": outputs[BAD]}

    def _source(self) -> beam.PTransform:
        if self.run.pulls:
            return PullMessages(self.run)
        from apache_beam.io import ReadFromPubSub

        return ReadFromPubSub(subscription=self.run.subscription, with_attributes=True)


class _Parse(beam.DoFn):
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._messages = Metrics.counter(NAMESPACE, "messages")

    def process(self, element: Any) -> Iterator[Request | beam.pvalue.TaggedOutput]:
        self._messages.inc()
        yield from requests_of(element if isinstance(element, Message) else _message_of(element), self._rules)


def _message_of(element: Any) -> Message:
    """Return what Beam's own source gives as a message."""
    published = element.publish_time or datetime.fromtimestamp(0, UTC)
    return Message(
        element.data or b"",
        element.attributes or {},
        element.message_id or "",
        published.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    )
