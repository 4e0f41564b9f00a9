"""How long an answer may take, and whether anybody still waits for it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from pipeline.core.errors import NobodyWaitsError, RecordError


@dataclass
class Waiting:
    """Ends work that takes too long or that nobody waits for, at the next look.

    Attributes:
        seconds: that it may take, from now on.
        gone: set once nobody waits.
    """

    seconds: float
    gone: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.seconds

    def look(self) -> None:
        """Return if the work may go on.

        Raises:
            RecordError: TOO_SLOW.
            NobodyWaitsError: if nobody waits.
        """
        if self.gone.is_set():
            raise NobodyWaitsError
        if time.monotonic() > self.until:
            raise RecordError(
                "TOO_SLOW", f"The file takes longer than {self.seconds:g} seconds.",
                "Split it, or send it to the pipeline (docs/service.md).",
            )  # fmt: skip
