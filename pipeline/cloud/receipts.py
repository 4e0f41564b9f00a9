"""Receipts in a bucket: one object each, whose metadata have what the ledger's commands need."""

from __future__ import annotations

import dataclasses
import json
import threading
import time

from google.cloud import storage

from pipeline.cloud import objects
from pipeline.cloud.object_metadata import ObjectMetadata
from pipeline.cloud.tables import Tables, insert_own, row_id
from pipeline.cloud.work_files import JSON_TYPE, MAX_OBJECT_BYTES
from pipeline.core.elements import Receipt, Request, Status
from pipeline.core.requests.names import receipts_place

RECENT_SECONDS = 0.25
_last_read = threading.local()  # when, which receipt, and what it was
_NOT_FINAL: tuple[Status, ...] = ("failed", "superseded")


class BucketReceipts:
    """Reads and writes them.

    Args:
        bucket: where they are.
        prefix: below which they are.
        tables: the tables, if there are any.
    """

    def __init__(self, bucket: str, prefix: str, tables: Tables | None = None) -> None:
        self._bucket, self._prefix, self._tables = bucket, prefix, tables

    def read(self, request: Request) -> Receipt | None:
        """Return the receipt of a request; None if it has none.

        One step after another asks for it. What this thread has read a moment ago is not read again: it may as well
        change while an answer is on its way.
        """
        name = self._name(request)
        at, known, receipt = getattr(_last_read, "entry", (0.0, None, None))
        if known == (self._bucket, name) and time.monotonic() - at < RECENT_SECONDS:
            return receipt
        found = self.read_object(name)
        _last_read.entry = (time.monotonic(), (self._bucket, name), found)
        return found

    def read_object(self, name: str) -> Receipt | None:
        """Return the receipt in an object; None if the object does not exist."""
        content = objects.read_small(self._bucket, name, MAX_OBJECT_BYTES)
        return None if content is None else Receipt(**json.loads(content))

    def is_done(self, request: Request) -> bool:
        """Return whether a request was forecast before, which a later refusal of it does not take back."""
        before = self.read(request)
        return before is not None and is_final(before)

    def write(self, request: Request, receipt: Receipt, absent: bool = False) -> None:
        """Write the receipt of a request, its object last, unless there is one that says it is done.

        Args:
            request: the request.
            receipt: its receipt.
            absent: whether it had none a moment ago.
        """
        _last_read.entry = (0.0, None, None)
        insert_own(self._tables, "receipts", [receipt], [row_id(receipt.request_key, receipt.status)])
        content = json.dumps(dataclasses.asdict(receipt), sort_keys=True).encode()
        metadata = ObjectMetadata.of_receipt(request, receipt).to_dict()

        def decide(current: storage.Blob | None) -> bool:
            return is_final(receipt) or (ObjectMetadata.read(current).status or "") in ("", *_NOT_FINAL)

        def write(blob: storage.Blob, generation: int) -> None:
            objects.upload(blob, content, JSON_TYPE, metadata, generation)

        objects.compare_and_set(self._bucket, self._name(request), decide, write, absent)

    def _name(self, request: Request) -> str:
        return f"{self._prefix}{receipts_place(request.source, request.output)}/{request.key}.json"


def is_final(receipt: Receipt) -> bool:
    """Return whether a receipt remains valid whatever a later attempt finds."""
    return receipt.status not in _NOT_FINAL
