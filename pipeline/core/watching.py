"""Shared by watched folders and watched buckets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pass:
    """The result of looking at an inbox once and forecasting what was new.

    Attributes:
        done: how many files were forecast or refused.
        unsettled: a file that is still being written, or "".
        more: whether there is more to do right away.
        looked: CPU seconds spent looking.
    """

    done: int
    unsettled: str = ""
    more: bool = False
    looked: float = 0.0
