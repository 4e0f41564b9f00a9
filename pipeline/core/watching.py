"""What a watched folder and a watched bucket have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pass:
    """What came of looking at an inbox once, and forecasting what was new.

    Attributes:
        done: how many files were forecast or refused.
        unsettled: a file that is still being written, or "".
        more: whether there is more to do at once.
        looked: seconds of the processor that looking took.
    """

    done: int
    unsettled: str = ""
    more: bool = False
    looked: float = 0.0
