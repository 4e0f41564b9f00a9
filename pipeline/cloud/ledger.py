"""The ledger of an output prefix: which requests have a receipt, and which dead letters are waiting."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from google.cloud import storage

from pipeline.cloud import objects, sources
from pipeline.cloud.incoming import request_or_letter
from pipeline.cloud.object_metadata import ObjectMetadata
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import IgnoredError
from pipeline.core.ndjson import read_ndjson
from pipeline.core.outputs.ledger import Candidate, Done
from pipeline.core.requests.local_files import UNREAD
from pipeline.core.requests.messages import Rules, message_of
from pipeline.core.requests.names import INTERNAL
from pipeline.core.requests.uris import folder_prefix, generation_number, split_uri


@dataclass(frozen=True)
class BucketLetters:
    """The dead letters of one request, or of one message; see core/outputs/ledger.py."""

    blob: storage.Blob
    metadata: ObjectMetadata

    @property
    def source(self) -> str:
        """Of the first letter."""
        return self.metadata.source or ""

    @property
    def version(self) -> str:
        """Of the first letter."""
        return self.metadata.version or ""

    @property
    def source_time(self) -> str:
        """Of the first letter."""
        return self.metadata.source_time or ""

    @property
    def replayed(self) -> bool:
        """Whether they have already been resent."""
        return self.metadata.replayed is not None

    @property
    def key(self) -> str:
        """The request's key, or that of the message."""
        return str(self.blob.name).rpartition("/")[2].removesuffix(".ndjson").removeprefix("message-")

    def read(self) -> Iterator[DeadLetter]:
        """Yield the letters one at a time: there may be a million."""
        with self.blob.open("rb", **objects.OPTIONS) as file:
            yield from read_ndjson(file)

    def mark(self, key: str) -> None:
        """Record that they were resent, and under which key."""
        self.blob.metadata = {**(self.blob.metadata or {}), **ObjectMetadata(replayed=key).to_dict()}
        self.blob.patch(**objects.OPTIONS)


class BucketLedger:
    """The ledger of an output prefix."""

    def __init__(self, output: str) -> None:
        self._output = output

    def receipts(self) -> Iterator[Done]:
        """Yield all receipts below an output prefix; their content is not read."""
        bucket, root = split_uri(folder_prefix(self._output))
        for blob in objects.listed(bucket, f"{root}{INTERNAL}/receipts/"):
            found = ObjectMetadata.read(blob)
            age, attempt = found.rank
            yield Done(
                source=found.source or "",
                version=found.version or "",
                output=found.output or "",
                attempt=attempt,
                id=found.id or "",
                status=found.status or "",
                age=age,
                key=found.key or "",
            )

    def dead_letters(self) -> Iterator[BucketLetters]:
        """Yield all dead letters below an output prefix; their content is not read."""
        bucket, root = split_uri(folder_prefix(self._output))
        for blob in objects.listed(bucket, f"{root}{INTERNAL}/dead_letters/"):
            yield BucketLetters(blob, ObjectMetadata.read(blob))

    def age(self, request: Request) -> int:
        """Return the generation."""
        return generation_number(request.version)

    def once_more(self, request: Request) -> tuple[Request | None, str]:
        """Return a request as it can be made again."""
        if request.version != UNREAD:
            return request, ""
        live = sources.live_version(request.source)  # its manifest came before it
        if live is None:
            return None, "still missing"
        return dataclasses.replace(request, version=live.generation, source_time=live.time), ""


def candidates_in_buckets(pattern: str, rules: Rules) -> Iterator[Candidate]:
    """Yield candidates for the objects that match a pattern."""
    for version in sources.matching(pattern):
        message = message_of(version)
        request: Request | DeadLetter | None
        try:
            request = request_or_letter(message, rules)
        except IgnoredError:
            request = None
        yield Candidate(
            version.uri, version.generation, version.time, request, (message.data, dict(message.attributes))
        )
