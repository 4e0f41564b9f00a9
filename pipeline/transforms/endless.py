"""An element without an end: the restriction of a splittable DoFn that looks again and again, such as on Flink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Duration, Timestamp

IDLE_SECONDS, BUSY_SECONDS = 5.0, 0.5  # between two looks; a runner's checkpoint may grow with each


class _Endless(OffsetRestrictionTracker):
    """Counts what was found without an end, and is not divided but where it has stopped."""

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
        """Drop the rest when the pipeline is drained: what is not done is found again."""


TRACKER = beam.DoFn.RestrictionParam(_Count())
WATERMARK = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


def look_again(tracker: Any, watermark: Any, busy: bool) -> None:
    """Let a DoFn's element come back: soon if there is something to do."""
    watermark.set_watermark(Timestamp.now())
    tracker.defer_remainder(Duration.of(BUSY_SECONDS if busy else IDLE_SECONDS))
