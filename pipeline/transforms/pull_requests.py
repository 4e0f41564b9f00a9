"""PullRequests: requests of messages that are acknowledged when the ledger has what became of them, such as on Flink.

A splittable DoFn without an end takes a window of messages at a time. What it has taken is held by a thread of its
process, which asks the ledger and then acknowledges; the graph carries no leases. It keeps nothing in the runner's
state: whatever a crash loses comes again, and what was done before is found in the ledger. What a message asks for is
decided here, once: a manifest is about the version that its file has at that time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.outputs.output import is_settled
from pipeline.intake.keeper import Keeper
from pipeline.intake.source import Source, Taken
from pipeline.metrics import NAMESPACE
from pipeline.places import open_output
from pipeline.runs import BucketRun
from pipeline.transforms.endless import TRACKER, WATERMARK, look_again
from pipeline.transforms.requests_of_messages import BAD, requests_of

WINDOW = 32  # messages that a process holds of one source: each worker has some, and others are not kept from them
PULL_SECONDS = 0.5  # for which a message is waited for: a checkpoint waits as long
MAX_AGE = 600.0  # seconds after which a message without a result comes again: what worked on it may be lost
_WHOLE = 0  # number of the part that stands for all of a source
_log = logging.getLogger(__name__)
_keepers: dict[tuple[str, int], Keeper] = {}
_lock = threading.Lock()


@dataclass
class PullRequests(beam.PTransform):
    """Takes messages from a subscription, or from a topic of Kafka.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        run: the run.
    """

    run: BucketRun

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        parts = [_WHOLE] if self.run.kafka is None else _partitions(self.run)
        taken = (
            begin
            | "Parts" >> beam.Create(parts)
            | "TakeMessages"
            >> beam.ParDo(_Take(self.run)).with_output_types(Request, bad=DeadLetter).with_outputs(BAD, main="requests")
        )
        return {"requests": taken["requests"] | "SpreadRequests" >> beam.Reshuffle(), "bad": taken[BAD]}


def _partitions(run: BucketRun) -> list[int]:
    from pipeline.cloud.kafka import partitions_of  # needs the extra `kafka`

    assert run.kafka is not None
    return partitions_of(run.kafka)


def _opened(run: BucketRun, part: int) -> Source:
    from pipeline.intake.opened import opened

    return opened(run, None if run.kafka is None else part)


def _keeper(run: BucketRun, part: int) -> Keeper:
    """Return the keeper of a source in this process."""
    name = (run.subscription or str(run.kafka), part)
    with _lock:
        if name not in _keepers:
            _keepers[name] = Keeper(_opened(run, part), WINDOW, MAX_AGE)
        return _keepers[name]


class _Take(beam.DoFn):
    def __init__(self, run: BucketRun) -> None:
        self._run = run
        self._messages = Metrics.counter(NAMESPACE, "messages")

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        part: int,
        tracker: Any = TRACKER,
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue | beam.pvalue.TaggedOutput]:
        keeper = _keeper(self._run, part)
        position = tracker.current_restriction().start
        for number, taken in enumerate(self._pulled(keeper)):
            if not tracker.try_claim(position + number):
                keeper.give_back(taken, 0.0)
                continue
            self._messages.inc()
            yield from self._asked(taken, keeper)
        look_again(tracker, watermark, busy=bool(keeper.held))

    def _pulled(self, keeper: Keeper) -> list[Taken]:
        from pipeline.intake.opened import may_pass

        try:
            return keeper.pull(PULL_SECONDS)
        except Exception as error:
            if not may_pass(error):
                raise
            _log.warning("no messages: %s", error)
            return []

    def _asked(self, taken: Taken, keeper: Keeper) -> Iterator[TimestampedValue | beam.pvalue.TaggedOutput]:
        """Yield what a message asks for, and have the keeper ask the ledger about that."""
        output = open_output(self._run.destination)
        try:
            asked = list(requests_of(taken.message, self._run.rules))
        except Exception:  # noqa: BLE001 - a server's fault: the message comes again
            _log.warning("message %s was not looked into, and is to come again", taken.id, exc_info=True)
            keeper.give_back(taken)
            return
        for one in asked:
            of = one.value if isinstance(one, beam.pvalue.TaggedOutput) else one
            keeper.watch(taken, partial(is_settled, of, output))
            timed = TimestampedValue(of, Timestamp.now())
            yield timed if of is one else beam.pvalue.TaggedOutput(BAD, timed)
        if not asked:
            keeper.settle(taken)
