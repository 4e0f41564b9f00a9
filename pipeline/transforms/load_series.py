"""LoadSeries: a request's CSV to blocks of series."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.blocks import SeriesBlock
from pipeline.core.elements import Request
from pipeline.core.file_ranges import FileRange
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import Outcome
from pipeline.core.process_request import load
from pipeline.destination import Destination
from pipeline.metrics import NAMESPACE, milliseconds
from pipeline.places import open_output
from pipeline.transforms.read_ranges import RANGES, UNREADABLE, ReadRanges, divided


@dataclass
class LoadSeries(beam.PTransform):
    """Reads each request's CSV and cuts it into blocks, which are spread over the workers.

    Input: Request. Outputs: `blocks` (SeriesBlock), `unreadable` (Outcome) for files that cannot be read
    or gave way to a newer version.

    Attributes:
        limits: the operator's limits.
        destination: where the forecasts go.
        range_bytes: size of the ranges in which several workers read a large file; 0 for never.
    """

    limits: Limits
    destination: Destination
    range_bytes: int = 0

    def expand(self, requests: beam.PCollection) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        outputs = requests | "ReadCsv" >> beam.ParDo(
            _ReadCsv(self.limits, self.destination, self.range_bytes)
        ).with_output_types(SeriesBlock, unreadable=Outcome, ranges=FileRange).with_outputs(
            UNREADABLE, RANGES, main="blocks"
        )
        blocks, unreadable = outputs["blocks"], outputs[UNREADABLE]
        if self.range_bytes:
            ranged = outputs[RANGES] | "ReadRanges" >> ReadRanges(self.limits, self.destination)
            blocks = (blocks, *ranged["blocks"]) | "AllBlocks" >> beam.Flatten().with_output_types(SeriesBlock)
            unreadable = (unreadable, *ranged[UNREADABLE]) | "AllUnreadable" >> beam.Flatten().with_output_types(
                Outcome
            )
        blocks = blocks | "SpreadBlocks" >> beam.Reshuffle().with_output_types(SeriesBlock)
        if self.destination.dataset and self.destination.batch:
            # Flink's runner loses one input of the Flatten behind LoadRows if the other alone comes from a Reshuffle
            unreadable = unreadable | "SpreadUnreadable" >> beam.Reshuffle().with_output_types(Outcome)
        return {"blocks": blocks, "unreadable": unreadable}


class _ReadCsv(beam.DoFn):
    def __init__(self, limits: Limits, destination: Destination, range_bytes: int) -> None:
        self._limits, self._destination, self._range_bytes = limits, destination, range_bytes
        self._seconds = Metrics.distribution(NAMESPACE, "load_milliseconds")

    def process(self, request: Request) -> Iterator[SeriesBlock | beam.pvalue.TaggedOutput]:
        start = time.perf_counter()
        whole = yield from divided(load(request, self._limits, open_output(self._destination), self._range_bytes))
        if whole:
            self._seconds.update(milliseconds(time.perf_counter() - start))
