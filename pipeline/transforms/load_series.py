"""LoadSeries: a request's CSV to blocks of series."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.limits import Limits
from pipeline.core.output_folder import OutputFolder
from pipeline.core.process_request import load_blocks, unreadable
from pipeline.elements import Outcome, Request, SeriesBlock
from pipeline.errors import RecordError
from pipeline.metrics import NAMESPACE, count_failure, milliseconds

UNREADABLE = "unreadable"


@dataclass
class LoadSeries(beam.PTransform):
    """Reads each request's CSV and cuts it into blocks, which are spread over the workers.

    Input: Request. Outputs: `blocks` (SeriesBlock), `unreadable` (Outcome) for files that cannot be read.

    Attributes:
        limits: what a file may cost.
        output: folder of the forecasts, below which large files have their work files.
    """

    limits: Limits
    output: str

    def expand(self, requests: beam.PCollection) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        outputs = requests | "ReadCsv" >> beam.ParDo(_ReadCsv(self.limits, self.output)).with_output_types(
            SeriesBlock, unreadable=Outcome
        ).with_outputs(UNREADABLE, main="blocks")
        blocks = outputs["blocks"] | "SpreadBlocks" >> beam.Reshuffle().with_output_types(SeriesBlock)
        return {"blocks": blocks, "unreadable": outputs[UNREADABLE]}


class _ReadCsv(beam.DoFn):
    def __init__(self, limits: Limits, output: str) -> None:
        self._limits, self._output = limits, output
        self._files = Metrics.counter(NAMESPACE, "files_read")
        self._seconds = Metrics.distribution(NAMESPACE, "load_milliseconds")

    def process(self, request: Request) -> Iterator[SeriesBlock | beam.pvalue.TaggedOutput]:
        start = time.perf_counter()
        try:
            yield from load_blocks(request, self._limits, OutputFolder(Path(self._output)))
        except RecordError as error:
            count_failure(error.code)
            failed: Outcome = unreadable(request, error)
            yield beam.pvalue.TaggedOutput(UNREADABLE, failed)
            return
        self._files.inc()
        self._seconds.update(milliseconds(time.perf_counter() - start))
