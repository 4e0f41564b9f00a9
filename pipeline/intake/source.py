"""Where messages are taken from, and what is known of one that is not acknowledged yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.requests.messages import Message


@dataclass(frozen=True)
class Taken:
    """A message that was taken and is not acknowledged yet.

    Attributes:
        id: of the message, the same at each delivery.
        message: what it says.
        lease: what this delivery is acknowledged by.
    """

    id: str
    message: Message
    lease: str = ""


class Source(Protocol):
    """Gives messages; one that is neither acknowledged nor kept for long enough comes again."""

    name: str

    def pull(self, most: int, seconds: float) -> list[Taken]:
        """Return at most `most` messages that are there, or come within some seconds."""

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        """Let messages come no more."""

    def keep(self, taken: Sequence[Taken]) -> None:
        """Let messages not come again for LEASE seconds from now."""

    def release(self, taken: Sequence[Taken], seconds: float) -> None:
        """Let messages come again, here or elsewhere, after about some seconds."""

    def close(self) -> None:
        """Give up the connection."""


LEASE = 30.0
"""Seconds for which a message is kept at a time: so long after a crash it comes again."""
