"""A step that waits for all parts of something that was divided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
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

from pipeline.core.file_ranges import FileRange
from pipeline.core.outputs.outcomes import WrittenPart
from pipeline.transforms.deduplicate import REMEMBERED

Part = WrittenPart | FileRange


def keyed(part: Part) -> tuple[str, Part]:
    """Return a part with the key of all parts of its request that come from one reading of its file."""
    return part.request.key + part.reading, part


def gather(batch: bool) -> beam.DoFn:
    """Return a DoFn that yields the whole once all parts of a key have come.

    Args:
        batch: whether the run ends; one that does not forgets after as long as the request's key is remembered.
    """
    return _Gather() if batch else _GatherForAWhile()


def whole_request(part: Part, done: SetRuntimeState, notes: CombiningValueRuntimeState) -> Iterator[Any]:
    """Note that a part is done; yield the whole if all its parts are.

    The set is read only once there are as many notes as parts: reading it for each part would take quadratic time.
    """
    done.add(part.part)
    notes.add(1)
    if notes.read() >= part.parts and part.completes(list(done.read())):
        yield part.whole()


class _Gather(beam.DoFn):
    """Waits for the last part. Keeps the set of finished ones: a counter alone would count a retry twice."""

    PARTS = SetStateSpec("parts", VarIntCoder())
    NOTES = CombiningValueStateSpec("notes", VarIntCoder(), CountCombineFn())

    def process(
        self,
        element: tuple[str, Part],
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008 - Beam's way
        notes: CombiningValueRuntimeState = beam.DoFn.StateParam(NOTES),  # noqa: B008
    ) -> Iterator[Any]:
        yield from whole_request(element[1], parts, notes)


class _GatherForAWhile(beam.DoFn):
    """As _Gather, and forgets a request after as long as its key is remembered."""

    PARTS = SetStateSpec("parts", VarIntCoder())
    NOTES = CombiningValueStateSpec("notes", VarIntCoder(), CountCombineFn())
    FORGET = TimerSpec("forget", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[str, Part],
        timestamp: Any = beam.DoFn.TimestampParam,
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008 - Beam's way
        notes: CombiningValueRuntimeState = beam.DoFn.StateParam(NOTES),  # noqa: B008
        forget: Any = beam.DoFn.TimerParam(FORGET),  # noqa: B008
    ) -> Iterator[Any]:
        forget.set(timestamp + REMEMBERED)
        yield from whole_request(element[1], parts, notes)

    @on_timer(FORGET)
    def forget(
        self,
        parts: SetRuntimeState = beam.DoFn.StateParam(PARTS),  # noqa: B008
        notes: CombiningValueRuntimeState = beam.DoFn.StateParam(NOTES),  # noqa: B008
    ) -> Iterable[Any]:
        parts.clear()
        notes.clear()
        return ()
