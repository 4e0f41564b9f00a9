"""What a message of Kafka holds is its sender's affair, and never stops the reader."""

from __future__ import annotations

from typing import Any

from pipeline.intake.kafka import taken_of


class Odd:
    """A message whose headers the client cannot read, such as one with a name that is not UTF-8."""

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 14

    def topic(self) -> str:
        return "uploads"

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_769_000_000_000

    def value(self) -> bytes:
        return b"{}"

    def headers(self) -> Any:
        raise SystemError("<built-in method headers> returned NULL without setting an exception")


def test_a_message_whose_headers_cannot_be_read_has_none() -> None:
    taken = taken_of(Odd())
    assert taken.id == "3:14:1769000000000"
    assert (taken.message.data, taken.message.attributes) == (b"{}", {})
