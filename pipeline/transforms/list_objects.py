"""ListObjects: what lies in a bucket to requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import IgnoredError, RecordError
from pipeline.core.requests.messages import Message, Rules, message_letter, notification_of
from pipeline.metrics import NAMESPACE, count_failure

BAD = "bad"


@dataclass
class ListObjects(beam.PTransform):
    """Lists the objects that patterns mean and turns each into a request, as a notification of it would.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        patterns: gs://bucket/prefix*, or whole names.
        rules: what may be read and written.
    """

    patterns: tuple[str, ...]
    rules: Rules

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        outputs = (
            begin
            | "Patterns" >> beam.Create(self.patterns, reshuffle=False)
            | "ListBucket"
            >> beam.ParDo(_List(self.rules))
            .with_output_types(Request, bad=DeadLetter)
            .with_outputs(BAD, main="requests")
        )
        return {"requests": outputs["requests"], "bad": outputs[BAD]}


class _List(beam.DoFn):
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._requests = Metrics.counter(NAMESPACE, "requests")

    def process(self, pattern: str) -> Iterator[Request | beam.pvalue.TaggedOutput]:
        from pipeline.cloud.incoming import request_of  # needs the extra `gcp`
        from pipeline.cloud.objects import matching

        for version in matching(pattern):
            message = Message(b"", notification_of(version), "", version.time)
            try:
                request = request_of(message, self._rules)
            except IgnoredError:
                continue
            except RecordError as error:
                count_failure(error.code)
                letter: DeadLetter = message_letter(message, error)
                yield beam.pvalue.TaggedOutput(BAD, letter)
                continue
            self._requests.inc()
            yield request
