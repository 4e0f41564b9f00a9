"""The ledger of an output: which requests have a receipt, and which dead letters are waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.elements import DeadLetter, Request


@dataclass(frozen=True)
class Done:
    """The fields of a receipt that the ledger's commands need.

    Attributes:
        source, version, output, attempt, id, status: as in the Receipt.
        age: orders the versions of a source: a generation, or microseconds.
        key: of the request.
    """

    source: str
    version: str
    output: str
    attempt: int
    id: str
    status: str
    age: int
    key: str

    @property
    def good(self) -> bool:
        """Whether something was forecast."""
        return self.status in ("complete", "partial")


class Letters(Protocol):
    """The dead letters of one request, or of what never became one."""

    @property
    def key(self) -> str:
        """The request's key."""
        ...

    @property
    def source(self) -> str:
        """That of the first letter."""
        ...

    @property
    def version(self) -> str:
        """That of the first letter."""
        ...

    @property
    def source_time(self) -> str:
        """That of the first letter."""
        ...

    @property
    def replayed(self) -> bool:
        """Whether they were already replayed."""
        ...

    def read(self) -> Iterator[DeadLetter]:
        """Yield the letters one at a time: there may be a million."""
        ...

    def mark(self, key: str) -> None:
        """Record that they were replayed, and under which key."""
        ...


@dataclass(frozen=True)
class Candidate:
    """Something that may have to be requested.

    Attributes:
        source, version, time: which file, which version of it, and when that was created.
        request: its request, or its dead letter if it is not a valid request; None if it is irrelevant.
        message: payload and attributes of the message that asks the pipeline for it; None in a folder.
    """

    source: str
    version: str
    time: str
    request: Request | DeadLetter | None
    message: tuple[bytes, dict[str, str]] | None = None


class Ledger(Protocol):
    """Receipts and dead letters of an output."""

    def receipts(self) -> Iterator[Done]:
        """Yield all receipts; in a folder, without superseded ones."""
        ...

    def dead_letters(self) -> Iterator[Letters]:
        """Yield all dead letters, request by request."""
        ...

    def age(self, request: Request) -> int:
        """Return what orders the versions of a source."""
        ...

    def once_more(self, request: Request) -> tuple[Request | None, str]:
        """Return the request to repeat; or None, and why it cannot be repeated."""
        ...
