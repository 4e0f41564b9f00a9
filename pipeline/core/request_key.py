"""The key of a request: everything that is named, numbered or deduplicated derives from it."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache


def canonical_json(value: object) -> str:
    """Return JSON with one way of writing each value: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@lru_cache(maxsize=4096)
def request_key(source: str, version: str, output: str, attempt: int, spec: str) -> str:
    """Return 32 hexadecimal digits that stand for one request.

    Args:
        source: URI of the CSV.
        version: its generation or content hash.
        output: name of the forecast.
        attempt: 0, or what a replay counted up to.
        spec: canonical JSON of the spec's fields that differ from their defaults, so that a new
            option changes no old key.
    """
    identity = canonical_json([source, version, output, attempt, json.loads(spec)])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
