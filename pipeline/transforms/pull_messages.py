"""PullMessages: messages that are acknowledged when the ledger has what became of them, on a runner such as Flink's.

A splittable DoFn without an end takes a window of messages at a time. What it has taken is held by a thread of its
process, which asks the ledger and then acknowledges; the graph carries no leases. It keeps nothing in the runner's
state: whatever a crash loses comes again, and what was done before is found in the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from pipeline.core.requests.messages import Message
from pipeline.intake.keeper import Keeper
from pipeline.intake.source import Source
from pipeline.runs import BucketRun

WINDOW = 32  # messages that a process holds of one source: each worker has some, and others are not kept from them
PULL_SECONDS = 0.5  # for which a message is waited for: a checkpoint waits as long
IDLE_SECONDS, BUSY_SECONDS = 5.0, 0.5  # between two pulls; a runner's checkpoint may grow with each
MAX_AGE = 600.0  # seconds after which a message without a result comes again: what worked on it may be lost
_WHOLE = 0  # number of the part that stands for all of a source
_keepers: dict[tuple[str, int], Keeper] = {}
_lock = threading.Lock()


@dataclass
class PullMessages(beam.PTransform):
    """Takes messages from a subscription, or from a topic of Kafka.

    Input: the pipeline's begin. Output: Message.

    Attributes:
        run: the run.
    """

    run: BucketRun

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        """Apply the transform."""
        parts = [_WHOLE] if self.run.kafka is None else _partitions(self.run)
        return (
            begin
            | "Parts" >> beam.Create(parts)
            | "TakeMessages" >> beam.ParDo(_Take(self.run)).with_output_types(Message)
            | "SpreadMessages" >> beam.Reshuffle()
        )


def _partitions(run: BucketRun) -> list[int]:
    from pipeline.cloud.kafka import partitions_of  # needs the extra `kafka`

    assert run.kafka is not None
    return partitions_of(run.kafka)


def _opened(run: BucketRun, part: int) -> Source:
    from pipeline.intake.opened import opened

    return opened(run, None if run.kafka is None else part)


def in_ledger(run: BucketRun) -> Callable[[Message], bool]:
    """Return what says whether the ledger has what became of a message."""
    from pipeline.cloud.in_process import InProcess
    from pipeline.cloud.output import BucketOutput
    from pipeline.places import open_output

    output = open_output(run.destination)
    assert isinstance(output, BucketOutput)
    return InProcess(output, run.rules, run.limits).is_settled


def _keeper(run: BucketRun, part: int) -> Keeper:
    """Return the keeper of a source in this process."""
    name = (run.subscription or str(run.kafka), part)
    with _lock:
        if name not in _keepers:
            _keepers[name] = Keeper(_opened(run, part), WINDOW, in_ledger(run), MAX_AGE)
        return _keepers[name]


class _Endless(OffsetRestrictionTracker):
    """Counts messages without an end, and is not divided but where it has stopped."""

    def is_bounded(self) -> bool:
        return False

    def try_split(self, fraction_of_remainder: float) -> Any:
        return None if fraction_of_remainder else super().try_split(fraction_of_remainder)


class _Count(RestrictionProvider):
    def initial_restriction(self, element: int) -> OffsetRange:
        return OffsetRange(0, 2**62)

    def create_tracker(self, restriction: OffsetRange) -> _Endless:
        return _Endless(restriction)

    def split(self, element: int, restriction: OffsetRange) -> Iterator[OffsetRange]:
        yield restriction

    def restriction_size(self, element: int, restriction: OffsetRange) -> int:
        return 1

    def truncate(self, element: int, restriction: OffsetRange) -> None:
        """Drop the rest when the pipeline is drained: what is not acknowledged comes again."""


_TRACKER = beam.DoFn.RestrictionParam(_Count())
_WATERMARK = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class _Take(beam.DoFn):
    def __init__(self, run: BucketRun) -> None:
        self._run = run

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        part: int,
        tracker: Any = _TRACKER,
        watermark: Any = _WATERMARK,
    ) -> Iterator[TimestampedValue]:
        keeper = _keeper(self._run, part)
        position = tracker.current_restriction().start
        taken = keeper.pull(PULL_SECONDS)
        for number, one in enumerate(taken):
            if not tracker.try_claim(position + number):
                keeper.give_back(one, 0.0)
                continue
            yield TimestampedValue(one.message, Timestamp.now())
        watermark.set_watermark(Timestamp.now())
        tracker.defer_remainder(Duration.of(BUSY_SECONDS if taken or keeper.held else IDLE_SECONDS))
