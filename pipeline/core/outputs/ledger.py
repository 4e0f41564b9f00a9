"""The ledger of an output: which requests have a receipt, and what waits among its dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.elements import DeadLetter, Request


@dataclass(frozen=True)
class Done:
    """A receipt, as far as the ledger's commands need it.

    Attributes:
        source, version, output, attempt, id, status: as in the Receipt.
        age: by which a newer version is told from an older one: a generation, or microseconds.
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
        """Of the first letter."""
        ...

    @property
    def version(self) -> str:
        """Of the first letter."""
        ...

    @property
    def source_time(self) -> str:
        """Of the first letter."""
        ...

    @property
    def replayed(self) -> bool:
        """Whether they were sent again already."""
        ...

    def read(self) -> Iterator[DeadLetter]:
        """Yield them, a line at a time: there may be a million."""
        ...

    def mark(self, key: str) -> None:
        """Note that they were sent again, and as what."""
        ...


@dataclass(frozen=True)
class Candidate:
    """Something that may have to be requested.

    Attributes:
        source, version, time: which file, which version of it, and when that was created.
        request: what it stands for, or the dead letter of what is no request; None if it is of no concern.
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
        """Yield all receipts, but for those superseded in a folder."""
        ...

    def dead_letters(self) -> Iterator[Letters]:
        """Yield all dead letters, request by request."""
        ...

    def age(self, request: Request) -> int:
        """Return by which a newer version is told from an older one."""
        ...

    def once_more(self, request: Request) -> tuple[Request | None, str]:
        """Return a request as it can be made again; or None, and why it cannot."""
        ...
