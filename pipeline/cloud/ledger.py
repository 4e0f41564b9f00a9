"""The ledger of an output prefix: which requests have a receipt, and what waits among its dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.cloud import storage

from pipeline.cloud import objects
from pipeline.core.naming import INTERNAL
from pipeline.core.uris import folder_prefix, split_uri
from pipeline.elements import DeadLetter

REPLAYED = "dropcast-replayed"


@dataclass(frozen=True)
class Done:
    """A receipt, as far as its object's metadata tells.

    Attributes:
        source, version, output, attempt, id, status: as in the Receipt.
    """

    source: str
    version: str
    output: str
    attempt: int
    id: str
    status: str


def receipts(output: str) -> Iterator[Done]:
    """Yield all receipts below an output prefix; their content is not read."""
    bucket, root = split_uri(folder_prefix(output))
    for blob in objects.listed(bucket, f"{root}{INTERNAL}/receipts/"):
        found = blob.metadata or {}
        yield Done(
            found.get("dropcast-source", ""),
            found.get("dropcast-version", ""),
            found.get("dropcast-output", ""),
            int(found.get("dropcast-attempt", "0")),
            found.get("dropcast-id", ""),
            found.get("dropcast-status", ""),
        )


@dataclass(frozen=True)
class Letters:
    """The dead letters of one request, or of one message.

    Attributes:
        blob: the object that holds them.
        code, source, source_time: of the first.
        replayed: whether they were sent again already.
    """

    blob: storage.Blob
    code: str
    source: str
    version: str
    source_time: str
    replayed: bool

    def read(self) -> Iterator[DeadLetter]:
        """Yield them, a line at a time: there may be a million."""
        with self.blob.open("rt", encoding="utf-8", newline="\n", **objects.OPTIONS) as file:
            for line in file:
                if line.strip():
                    yield DeadLetter.from_json(line)

    def mark(self, key: str) -> None:
        """Note that they were sent again, and as what."""
        self.blob.metadata = {**(self.blob.metadata or {}), REPLAYED: key}
        self.blob.patch(**objects.OPTIONS)


def dead_letters(output: str) -> Iterator[Letters]:
    """Yield all dead letters below an output prefix; their content is not read."""
    bucket, root = split_uri(folder_prefix(output))
    for blob in objects.listed(bucket, f"{root}{INTERNAL}/dead_letters/"):
        found = blob.metadata or {}
        yield Letters(
            blob,
            found.get("dropcast-code", ""),
            found.get("dropcast-source", ""),
            found.get("dropcast-version", ""),
            found.get("dropcast-source-time", ""),
            REPLAYED in found,
        )
