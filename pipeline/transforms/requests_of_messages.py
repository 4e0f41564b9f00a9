"""From messages to requests, for transforms that read messages or list objects."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import IgnoredError
from pipeline.core.requests.messages import Message, Rules
from pipeline.metrics import NAMESPACE, count_failure

BAD = "bad"


def told_apart(read: Request | DeadLetter) -> Request | beam.pvalue.TaggedOutput:
    """Count an element, and return it for its output: dead letters go to `bad`."""
    if isinstance(read, DeadLetter):
        count_failure(read.code)
        return beam.pvalue.TaggedOutput(BAD, read)
    Metrics.counter(NAMESPACE, "requests").inc()
    return read


def requests_of(message: Message, rules: Rules) -> Iterator[Request | beam.pvalue.TaggedOutput]:
    """Yield the request for a message, or its dead letter; nothing if it is irrelevant."""
    from pipeline.cloud.incoming import request_or_letter  # needs the extra `gcp`

    try:
        yield told_apart(request_or_letter(message, rules))
    except IgnoredError as ignored:
        Metrics.counter(NAMESPACE, f"ignored_{ignored}").inc()
