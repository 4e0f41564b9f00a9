"""What both engines refuse."""

from __future__ import annotations

from pipeline.core.errors import RecordError


def changepoints_outside() -> RecordError:
    """Return the refusal of a series that does not span the changepoints given."""
    return RecordError(
        "BAD_CHANGEPOINTS",
        "Not all changepoints are within the history.",
        "Fix --changepoints, or leave them out.",
    )


def bad_capacity() -> RecordError:
    """Return the refusal of a series whose cap is too low."""
    return RecordError(
        "BAD_CAPACITY",
        "The cap is not above the floor (which is 0 unless given) on every date.",
        "Fix --cap, --floor, or their columns.",
    )
