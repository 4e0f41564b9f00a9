"""WatchFiles: requests of the files that arrive in a folder, for as long as the job runs, such as on Flink."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipeline.core.elements import DeadLetter, Request
from pipeline.folder.arrivals import Arrivals
from pipeline.runs import FolderRun
from pipeline.transforms.endless import TRACKER, WATERMARK, look_again
from pipeline.transforms.requests_of_messages import BAD, told_apart

_arrivals: dict[tuple[str, str], Arrivals] = {}
_lock = threading.Lock()


@dataclass
class WatchFiles(beam.PTransform):
    """Looks at a folder that all workers share, again and again.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        run: the run.
    """

    run: FolderRun

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        found = (
            begin
            | "Folder" >> beam.Create([0])
            | "LookForFiles"
            >> beam.ParDo(_Look(self.run)).with_output_types(Request, bad=DeadLetter).with_outputs(BAD, main="requests")
        )
        return {"requests": found["requests"] | "SpreadRequests" >> beam.Reshuffle(), "bad": found[BAD]}


def _arrivals_of(run: FolderRun) -> Arrivals:
    """Return what this process knows of a run's folder."""
    name = (str(run.inbox), str(run.output))
    with _lock:
        if name not in _arrivals:
            _arrivals[name] = Arrivals(run)
        return _arrivals[name]


class _Look(beam.DoFn):
    def __init__(self, run: FolderRun) -> None:
        self._run = run

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        _: int,
        tracker: Any = TRACKER,
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue | beam.pvalue.TaggedOutput]:
        arrivals = _arrivals_of(self._run)
        position = tracker.current_restriction().start
        for number, asked in enumerate(arrivals.new(time.monotonic())):
            if not tracker.try_claim(position + number):
                arrivals.take_back(asked)
                continue
            timed, told = TimestampedValue(asked, Timestamp.now()), told_apart(asked)
            yield timed if told is asked else beam.pvalue.TaggedOutput(BAD, timed)
        look_again(tracker, watermark, busy=arrivals.given > 0)
