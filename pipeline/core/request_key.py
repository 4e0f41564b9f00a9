"""The key of a request, from which all names, numbers and deduplication derive."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache


def canonical_json(value: object) -> str:
    """Return JSON in which each value has only one form: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@lru_cache(maxsize=4096)
def request_key(source: str, version: str, output: str, attempt: int, spec: str) -> str:
    """Return 32 hexadecimal digits that identify one request.

    Args:
        source: URI of the CSV.
        version: its generation or content hash.
        output: name of the forecast.
        attempt: 0 at first; each replay counts it up.
        spec: canonical JSON of the spec's fields that differ from their defaults, so that a new
            option changes no old key.
    """
    identity = canonical_json([source, version, output, attempt, json.loads(spec)])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
