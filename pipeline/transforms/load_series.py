"""LoadSeries: a request's CSV to blocks of series."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.blocks import SeriesBlock
from pipeline.core.elements import Request
from pipeline.core.errors import DoneError
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import FailedRequest, Outcome
from pipeline.core.process_request import load
from pipeline.destination import Destination
from pipeline.metrics import NAMESPACE, count_failure, milliseconds
from pipeline.places import open_output

UNREADABLE = "unreadable"


@dataclass
class LoadSeries(beam.PTransform):
    """Reads each request's CSV and cuts it into blocks, which are spread over the workers.

    Input: Request. Outputs: `blocks` (SeriesBlock), `unreadable` (Outcome) for files that cannot be read
    or gave way to a newer version.

    Attributes:
        limits: the operator's limits.
        destination: where the forecasts go.
    """

    limits: Limits
    destination: Destination

    def expand(self, requests: beam.PCollection) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        outputs = requests | "ReadCsv" >> beam.ParDo(_ReadCsv(self.limits, self.destination)).with_output_types(
            SeriesBlock, unreadable=Outcome
        ).with_outputs(UNREADABLE, main="blocks")
        blocks = outputs["blocks"] | "SpreadBlocks" >> beam.Reshuffle().with_output_types(SeriesBlock)
        unreadable = outputs[UNREADABLE]
        if self.destination.dataset and self.destination.batch:
            # Flink's runner loses one input of the Flatten behind LoadRows if the other alone comes from a Reshuffle
            unreadable = unreadable | "SpreadUnreadable" >> beam.Reshuffle().with_output_types(Outcome)
        return {"blocks": blocks, "unreadable": unreadable}


class _ReadCsv(beam.DoFn):
    def __init__(self, limits: Limits, destination: Destination) -> None:
        self._limits, self._destination = limits, destination
        self._files = Metrics.counter(NAMESPACE, "files_read")
        self._seconds = Metrics.distribution(NAMESPACE, "load_milliseconds")

    def process(self, request: Request) -> Iterator[SeriesBlock | beam.pvalue.TaggedOutput]:
        start, whole = time.perf_counter(), True
        try:
            for step in load(request, self._limits, open_output(self._destination)):
                if isinstance(step, SeriesBlock):
                    yield step
                    continue
                whole = False
                if isinstance(step, FailedRequest):
                    count_failure(step.letter.code)
                yield beam.pvalue.TaggedOutput(UNREADABLE, step)
        except DoneError:
            Metrics.counter(NAMESPACE, "done_before").inc()
            return
        if whole:
            self._files.inc()
            self._seconds.update(milliseconds(time.perf_counter() - start))
