"""ListObjects: the objects in a bucket to requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError
from pipeline.core.requests.messages import TABLE, Message, Rules, message_letter, message_of
from pipeline.transforms.requests_of_messages import BAD, requests_of, told_apart


@dataclass
class ListObjects(beam.PTransform):
    """Lists the objects and tables that patterns mean and turns each into a request, as a notification of it would.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        patterns: gs://bucket/prefix*, or whole names; or bigquery:PROJECT.DATASET.TABLE.
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

    def process(self, pattern: str) -> Iterator[Request | beam.pvalue.TaggedOutput]:
        from pipeline.cloud.sources import matching  # needs the extra `gcp`

        try:
            for version in matching(pattern):
                yield from requests_of(message_of(version), self._rules)
        except RecordError as error:  # of a table
            yield told_apart(message_letter(Message(b"", {TABLE: pattern}, "", ""), error))
