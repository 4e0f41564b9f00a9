"""Dead letters in a bucket: one NDJSON object for each request or message, and rows of the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pipeline.cloud import objects
from pipeline.cloud.object_metadata import ObjectMetadata
from pipeline.cloud.tables import ROW_BYTES, Tables, insert_own, row_id
from pipeline.cloud.work_files import MAX_OBJECT_BYTES
from pipeline.core.elements import DeadLetter
from pipeline.core.ndjson import from_ndjson, to_ndjson

NDJSON_TYPE = "application/x-ndjson"


class BucketDeadLetters:
    """Reads and writes them.

    Args:
        bucket: where they are.
        prefix: below which they are.
        tables: the tables, if there are any.
    """

    def __init__(self, bucket: str, prefix: str, tables: Tables | None = None) -> None:
        self._bucket, self._prefix, self._tables = bucket, prefix, tables

    def read(self, name: str) -> list[DeadLetter]:
        """Return the dead letters of a request, by its key."""
        return from_ndjson(objects.read_small(self._bucket, self._name(name), MAX_OBJECT_BYTES) or b"")

    def write(self, name: str, letters: Sequence[DeadLetter]) -> None:
        """Write a request's letters; if there are none, remove existing ones."""
        if not letters:
            objects.delete(self._bucket, [self._name(name)])
            return
        ids = [row_id(letter.request_key, letter.scope, letter.series_id, letter.code) for letter in letters]
        insert_own(self._tables, "dead_letters", [_for_a_row(letter) for letter in letters], ids)
        metadata = ObjectMetadata.of_letters(letters[0]).to_dict()
        objects.put(self._bucket, self._name(name), to_ndjson(letters), NDJSON_TYPE, metadata)

    def _name(self, name: str) -> str:
        return f"{self._prefix}{name}.ndjson"


def _for_a_row(letter: DeadLetter) -> DeadLetter:
    """Return a dead letter without its request if that is too long for a row; the object has it."""
    return letter if len(letter.request) < ROW_BYTES else dataclasses.replace(letter, request="")
