"""Deduplicate: each request once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.coders import BooleanCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.userstate import ReadModifyWriteRuntimeState, ReadModifyWriteStateSpec

from pipeline.elements import Request
from pipeline.metrics import NAMESPACE


@dataclass
class Deduplicate(beam.PTransform):
    """Drops requests whose key was seen before.

    Beam's own Deduplicate sets a timer, which throws a bounded job onto the slowest local runner.

    Input and output: Request.
    """

    def expand(self, requests: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        return (
            requests
            | "KeyByRequest" >> beam.Map(lambda request: (request.key, request)).with_output_types(tuple[str, Request])
            | "DropSeenRequests" >> beam.ParDo(_DropSeen()).with_output_types(Request)
        )


class _DropSeen(beam.DoFn):
    SEEN = ReadModifyWriteStateSpec("seen", BooleanCoder())

    def __init__(self) -> None:
        self._duplicates = Metrics.counter(NAMESPACE, "duplicates")

    def process(
        self,
        element: tuple[str, Request],
        seen: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SEEN),  # noqa: B008 - Beam's way
    ) -> Iterator[Request]:
        if seen.read():
            self._duplicates.inc()
            return
        seen.write(True)
        yield element[1]
