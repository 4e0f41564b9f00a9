"""WriteForecasts: blocks of forecasts to the table and the CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.combiners import CountCombineFn
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    CombiningValueRuntimeState,
    CombiningValueStateSpec,
    SetRuntimeState,
    SetStateSpec,
    TimerSpec,
    on_timer,
)

from pipeline.core.blocks import ForecastBlock
from pipeline.core.outputs.outcomes import Outcome, WrittenPart, WrittenRequest
from pipeline.core.process_request import publish, write_block
from pipeline.destination import Destination
from pipeline.metrics import NAMESPACE
from pipeline.places import open_output
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
            Outcome, gather=WrittenPart
        ).with_outputs(GATHER, main="whole")
        gathered = (
            written[GATHER]
            | "KeyByRequest"
            >> beam.Map(lambda part: (part.request.key + part.reading, part)).with_output_types(tuple[str, WrittenPart])
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
        written = write_block(block, open_output(self._destination))
        self._series.inc(len(block.batch))
        self._rows.inc(len(block.batch.column("yhat").flatten()))
        # A request of one part has nothing to wait for.
        yield beam.pvalue.TaggedOutput(GATHER, written) if isinstance(written, WrittenPart) else written


def _whole_request(
    part: WrittenPart, written: SetRuntimeState, notes: CombiningValueRuntimeState
) -> Iterator[WrittenRequest]:
    """Note that a part is written; yield the request if all its parts are.

    The set is read only once there are as many notes as parts: reading it for each part would take quadratic time.
    """
    written.add(part.part)
    notes.add(1)
    if notes.read() >= part.parts and part.completes(list(written.read())):
        yield part.whole()


class _Gather(beam.DoFn):
    """Waits for a request's last part. Keeps the set of finished ones: a counter alone would count a retry twice."""

    PARTS = SetStateSpec("parts", VarIntCoder())
    NOTES = CombiningValueStateSpec("notes", VarIntCoder(), CountCombineFn())

    def process(
        self,
        element: tuple[str, WrittenPart],
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008 - Beam's way
        notes: CombiningValueRuntimeState = beam.DoFn.StateParam(NOTES),  # noqa: B008
    ) -> Iterator[WrittenRequest]:
        yield from _whole_request(element[1], parts, notes)


class _GatherForAWhile(beam.DoFn):
    """As _Gather, and forgets a request after as long as its key is remembered."""

    PARTS = SetStateSpec("parts", VarIntCoder())
    NOTES = CombiningValueStateSpec("notes", VarIntCoder(), CountCombineFn())
    FORGET = TimerSpec("forget", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[str, WrittenPart],
        timestamp: Any = beam.DoFn.TimestampParam,
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008 - Beam's way
        notes: CombiningValueRuntimeState = beam.DoFn.StateParam(NOTES),  # noqa: B008
        forget: Any = beam.DoFn.TimerParam(FORGET),  # noqa: B008
    ) -> Iterator[WrittenRequest]:
        forget.set(timestamp + REMEMBERED)
        yield from _whole_request(element[1], parts, notes)

    @on_timer(FORGET)
    def forget(
        self,
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008
        notes: CombiningValueRuntimeState = beam.DoFn.StateParam(NOTES),  # noqa: B008
    ) -> Iterable[Outcome]:
        parts.clear()
        notes.clear()
        return ()


class _Publish(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def process(self, written: WrittenRequest) -> Iterator[Outcome]:
        yield publish(written, open_output(self._destination))
