"""WriteForecasts: blocks of forecasts to the table and the CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import SetRuntimeState, SetStateSpec, TimerSpec, on_timer

from pipeline.core.elements import ForecastBlock, Outcome
from pipeline.core.process_request import publish, write_block
from pipeline.metrics import NAMESPACE
from pipeline.places import Destination, open_output
from pipeline.transforms.deduplicate import REMEMBERED

GATHER = "gather"


@dataclass
class WriteForecasts(beam.PTransform):
    """Writes each block, and puts a request's CSV in its place when its last block is written.

    Input: ForecastBlock. Output: Outcome, one for each request.

    Attributes:
        destination: where the forecasts go.
    """

    destination: Destination

    def expand(self, forecasts: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        written = forecasts | "WriteBlocks" >> beam.ParDo(_WriteBlock(self.destination)).with_output_types(
            Outcome, gather=Outcome
        ).with_outputs(GATHER, main="whole")
        gathered = (
            written[GATHER]
            | "KeyByRequest"
            >> beam.Map(lambda part: (part.request.key + part.load, part)).with_output_types(tuple[str, Outcome])
            | "GatherParts"
            >> beam.ParDo(_Gather() if self.destination.batch else _GatherForAWhile()).with_output_types(Outcome)
            | "PublishCsv" >> beam.ParDo(_Publish(self.destination)).with_output_types(Outcome)
        )
        return (written["whole"], gathered) | "WholeRequests" >> beam.Flatten().with_output_types(Outcome)


class _WriteBlock(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._series = Metrics.counter(NAMESPACE, "series")
        self._rows = Metrics.counter(NAMESPACE, "rows")

    def process(self, block: ForecastBlock) -> Iterator[Outcome | beam.pvalue.TaggedOutput]:
        part = write_block(block, open_output(self._destination))
        self._series.inc(len(block.batch))
        self._rows.inc(len(block.batch.column("yhat").flatten()))
        # A request of one part has nothing to wait for.
        yield part if block.parts == 1 else beam.pvalue.TaggedOutput(GATHER, part)


def _last_of(outcome: Outcome, parts: SetRuntimeState) -> Iterator[Outcome]:
    """Note a part that is finished; yield it if all are."""
    parts.add(outcome.part)
    if len(set(parts.read())) == outcome.parts:
        yield outcome


class _Gather(beam.DoFn):
    """Waits for a request's last part. Keeps the set of finished ones: a counter would count a retry twice."""

    PARTS = SetStateSpec("parts", VarIntCoder())

    def process(
        self,
        element: tuple[str, Outcome],
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008 - Beam's way
    ) -> Iterator[Outcome]:
        yield from _last_of(element[1], parts)


class _GatherForAWhile(beam.DoFn):
    """As _Gather, and forgets a request after as long as its key is remembered."""

    PARTS = SetStateSpec("parts", VarIntCoder())
    FORGET = TimerSpec("forget", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[str, Outcome],
        timestamp: Any = beam.DoFn.TimestampParam,
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008 - Beam's way
        forget: Any = beam.DoFn.TimerParam(FORGET),  # noqa: B008
    ) -> Iterator[Outcome]:
        forget.set(timestamp + REMEMBERED)
        yield from _last_of(element[1], parts)

    @on_timer(FORGET)
    def forget(self, parts: SetRuntimeState = beam.DoFn.StateParam(PARTS)) -> Iterable[Outcome]:  # noqa: B008
        parts.clear()
        return ()


class _Publish(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def process(self, outcome: Outcome) -> Iterator[Outcome]:
        yield publish(outcome, open_output(self._destination))
