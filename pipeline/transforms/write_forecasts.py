"""WriteForecasts: blocks of forecasts to the table and the CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.blocks import ForecastBlock
from pipeline.core.outputs.outcomes import Outcome, WrittenPart, WrittenRequest
from pipeline.core.process_request import publish, write_block
from pipeline.destination import Destination
from pipeline.metrics import NAMESPACE
from pipeline.places import open_output
from pipeline.transforms.gather import gather, keyed

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
            | "KeyByRequest" >> beam.Map(keyed).with_output_types(tuple[str, WrittenPart])
            | "GatherParts" >> beam.ParDo(gather(self.destination.batch)).with_output_types(Outcome)
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


class _Publish(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def process(self, written: WrittenRequest) -> Iterator[Outcome]:
        yield publish(written, open_output(self._destination))
