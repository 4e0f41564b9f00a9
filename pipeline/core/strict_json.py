"""JSON in which no name appears twice, so that nothing that somebody wrote is passed over."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from pipeline.core.errors import shorten


def read_json(content: bytes) -> Any:
    """Return what JSON text says; NaN and Infinity, which some writers use, are numbers.

    Raises:
        ValueError: if it is not JSON, a name appears twice in an object, or it is nested too deeply.
    """
    try:
        return json.loads(content, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    stated = dict(pairs)
    if len(stated) < len(pairs):
        repeated = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the field {shorten(repeated)!r} appears twice")
    return stated
