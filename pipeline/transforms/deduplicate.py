"""Deduplicate: each request once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.elements import Request
from pipeline.metrics import NAMESPACE


@dataclass
class Deduplicate(beam.PTransform):
    """Drops requests whose key was seen before.

    Input and output: Request.
    """

    def expand(self, requests: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        return (
            requests
            | "KeyByRequest" >> beam.Map(lambda request: (request.key, request)).with_output_types(tuple[str, Request])
            | "GatherSameRequests" >> beam.GroupByKey()
            | "DropSeenRequests" >> beam.ParDo(_DropSeen()).with_output_types(Request)
        )


class _DropSeen(beam.DoFn):
    def __init__(self) -> None:
        self._duplicates = Metrics.counter(NAMESPACE, "duplicates")

    def process(self, element: tuple[str, Iterable[Request]]) -> Iterator[Request]:
        first, *others = element[1]
        self._duplicates.inc(len(others))
        yield first
