"""The contents of an output: its latest receipts, dead letters, and the files that they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.core.elements import DeadLetter, Receipt


@dataclass(frozen=True)
class FileResult:
    """The result of one file.

    Attributes:
        receipt: its latest.
        letters: its dead letters.
    """

    receipt: Receipt
    letters: Sequence[DeadLetter]


@dataclass(frozen=True)
class LiveAccuracy:
    """How forecasts of a feed did, once the values had come; see templates/bigquery/live_accuracy.sql.

    Attributes:
        feed: its name.
        model: that made the forecasts.
        level: of the intervals, from 0 to 1.
        versions: of files that were forecast.
        values: how many forecasts have been compared with a value.
        error: sum of the absolute errors over that of the absolute values; None if all values are 0.
        inside: share of the values inside the interval.
    """

    feed: str
    model: str
    level: float
    versions: int
    values: int
    error: float | None
    inside: float


class Results(Protocol):
    """An output folder or prefix, for reading."""

    def files(self) -> list[FileResult]:
        """Return the latest result of each source and output, by output."""
        ...

    def strays(self) -> list[DeadLetter]:
        """Return the dead letters of what never became a request."""
        ...

    def live_accuracy(self) -> list[LiveAccuracy]:
        """Return how earlier forecasts did, as far as the values have come; nothing where tables are elsewhere."""
        ...

    def source(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the CSV that was forecast; None if it is missing or has changed."""
        ...

    def forecast(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the forecast; None if it is missing."""
        ...
