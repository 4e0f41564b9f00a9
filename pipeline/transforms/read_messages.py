"""ReadMessages: a subscription's messages to requests."""

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
from pipeline.transforms.requests_of_messages import BAD, requests_of


@dataclass
class ReadMessages(beam.PTransform):
    """Turns notifications of Cloud Storage, and manifests, into requests.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        subscription: projects/PROJECT/subscriptions/NAME.
        rules: what may be read and written.
    """

    subscription: str
    rules: Rules

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        from apache_beam.io import ReadFromPubSub

        outputs = (
            begin
            | "PullMessages" >> ReadFromPubSub(subscription=self.subscription, with_attributes=True)
            | "ParseMessages"
            >> beam.ParDo(_Parse(self.rules))
            .with_output_types(Request, bad=DeadLetter)
            .with_outputs(BAD, main="requests")
        )
        return {"requests": outputs["requests"], "bad": outputs[BAD]}


class _Parse(beam.DoFn):
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._messages = Metrics.counter(NAMESPACE, "messages")

    def process(self, element: Any) -> Iterator[Request | beam.pvalue.TaggedOutput]:
        self._messages.inc()
        published = element.publish_time or datetime.fromtimestamp(0, UTC)
        message = Message(
            element.data or b"",
            element.attributes or {},
            element.message_id or "",
            published.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        )
        yield from requests_of(message, self._rules)
