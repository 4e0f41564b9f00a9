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


class Results(Protocol):
    """An output folder or prefix, for reading."""

    def files(self) -> list[FileResult]:
        """Return the latest result of each source and output, by output."""
        ...

    def strays(self) -> list[DeadLetter]:
        """Return the dead letters of what never became a request."""
        ...

    def source(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the CSV that was forecast; None if it is missing or has changed."""
        ...

    def forecast(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the forecast; None if it is missing."""
        ...
