"""Deduplicate: each request once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.coders import BooleanCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.timestamp import Duration

from pipeline.core.elements import Request
from pipeline.metrics import NAMESPACE

REMEMBERED = Duration(seconds=7 * 24 * 3600)
"""For how long a key is remembered: as long as Pub/Sub keeps a message by default."""


@dataclass
class Deduplicate(beam.PTransform):
    """Drops requests whose key was seen before.

    Input and output: Request.

    Attributes:
        batch: whether the run ends: then keys are grouped, else each is remembered for a while.
    """

    batch: bool = True

    def expand(self, requests: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        keyed = requests | "KeyByRequest" >> beam.Map(lambda request: (request.key, request)).with_output_types(
            tuple[str, Request]
        )
        if not self.batch:
            return keyed | "DropRememberedRequests" >> beam.ParDo(_DropRemembered()).with_output_types(Request)
        return (
            keyed
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


class _DropRemembered(beam.DoFn):
    """Remembers keys. The timer is of event time: one of processing time would rule out most runners."""

    SEEN = ReadModifyWriteStateSpec("seen", BooleanCoder())
    FORGET = TimerSpec("forget", TimeDomain.WATERMARK)

    def __init__(self) -> None:
        self._duplicates = Metrics.counter(NAMESPACE, "duplicates")

    def process(
        self,
        element: tuple[str, Request],
        timestamp: Any = beam.DoFn.TimestampParam,
        seen: Any = beam.DoFn.StateParam(SEEN),  # noqa: B008 - Beam's way
        forget: Any = beam.DoFn.TimerParam(FORGET),  # noqa: B008
    ) -> Iterator[Request]:
        if seen.read():
            self._duplicates.inc()
            return
        seen.write(True)
        forget.set(timestamp + REMEMBERED)
        yield element[1]

    @on_timer(FORGET)
    def forget(self, seen: Any = beam.DoFn.StateParam(SEEN)) -> Iterable[Request]:  # noqa: B008
        seen.clear()
        return ()
