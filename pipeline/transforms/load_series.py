"""LoadSeries: a request's CSV to blocks of series."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.elements import Outcome, Request, SeriesBlock
from pipeline.core.errors import DoneError, RecordError, SupersededError
from pipeline.core.limits import Limits
from pipeline.core.process_request import load_blocks, superseded, unreadable
from pipeline.metrics import NAMESPACE, count_failure, milliseconds
from pipeline.places import Destination, open_output

UNREADABLE = "unreadable"


@dataclass
class LoadSeries(beam.PTransform):
    """Reads each request's CSV and cuts it into blocks, which are spread over the workers.

    Input: Request. Outputs: `blocks` (SeriesBlock), `unreadable` (Outcome) for files that cannot be read.

    Attributes:
        limits: what a file may cost.
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
        return {"blocks": blocks, "unreadable": outputs[UNREADABLE]}


class _ReadCsv(beam.DoFn):
    def __init__(self, limits: Limits, destination: Destination) -> None:
        self._limits, self._destination = limits, destination
        self._files = Metrics.counter(NAMESPACE, "files_read")
        self._seconds = Metrics.distribution(NAMESPACE, "load_milliseconds")

    def process(self, request: Request) -> Iterator[SeriesBlock | beam.pvalue.TaggedOutput]:
        start = time.perf_counter()
        try:
            yield from load_blocks(request, self._limits, open_output(self._destination))
        except RecordError as error:
            count_failure(error.code)
            failed: Outcome = unreadable(request, error)
            yield beam.pvalue.TaggedOutput(UNREADABLE, failed)
            return
        except DoneError:
            Metrics.counter(NAMESPACE, "done_before").inc()
            return
        except SupersededError:
            passed: Outcome = superseded(request)
            yield beam.pvalue.TaggedOutput(UNREADABLE, passed)
            return
        self._files.inc()
        self._seconds.update(milliseconds(time.perf_counter() - start))
