"""The key of a request: everything that is named, numbered or deduplicated derives from it."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import IO


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


def content_version(path: Path) -> str:
    """Return the SHA-256 of a local file's content, read in pieces.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashingReader:
    """Reads a file and hashes what it reads, so that the content forecast is the content named."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def version(self) -> str:
        """Return the SHA-256 of the whole content, as content_version does; what is left is read."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()
