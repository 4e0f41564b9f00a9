from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.ahead import done_ahead


class BrokenError(Exception):
    """Raised by the tests themselves."""


def until(items: list[int], broken: int | None) -> Iterator[int]:
    """Yield items, and raise instead of the one that is broken."""
    for item in items:
        if item == broken:
            raise BrokenError(f"taking {item}")
        yield item


def collected(steps: Iterator[tuple[int, int]]) -> tuple[list[tuple[int, int]], str]:
    found: list[tuple[int, int]] = []
    try:
        for step in steps:
            found.append(step)
    except BrokenError as error:
        return found, str(error)
    return found, ""


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 30), at_once=st.integers(1, 4), most=st.integers(1, 6),
    untaken=st.none() | st.integers(0, 30), undone=st.none() | st.integers(0, 30),
)  # fmt: skip
def test_results_and_errors_come_as_if_there_were_no_threads(
    count: int, at_once: int, most: int, untaken: int | None, undone: int | None
) -> None:
    def work(item: int) -> int:
        if item == undone:
            raise BrokenError(f"doing {item}")
        return -item

    items = list(range(count))
    expected = collected((item, work(item)) for item in until(items, untaken))
    assert collected(done_ahead(until(items, untaken), work, at_once, most)) == expected


def test_no_more_is_taken_than_may_be() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    steps = done_ahead(items(), lambda item: item, 2, 3)
    for used in range(50):
        assert next(steps)[0] == used
        assert len(taken) <= used + 1 + 3 + 2  # those that wait, and the one that does not fit yet
    steps.close()


def test_nothing_goes_on_once_it_is_closed() -> None:
    before = threading.active_count()
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            ended.set()

    source = items()
    steps = done_ahead(source, lambda item: item, 2, 3)
    assert next(steps) == (0, 0)
    steps.close()
    assert threading.active_count() == before
    taken = next(source)
    assert taken < 20
    source.close()
    assert ended.is_set()


def test_an_error_where_results_are_used_ends_the_threads() -> None:
    before = threading.active_count()
    with pytest.raises(BrokenError):
        for item, _ in done_ahead(iter(range(1000)), lambda item: item, 2, 3):
            if item == 5:
                raise BrokenError
    assert threading.active_count() == before
