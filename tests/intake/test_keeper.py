"""Messages are acknowledged when they are settled and not before, and are kept or come again until then."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest

from pipeline.core.requests.messages import Message
from pipeline.intake import keeper as module
from pipeline.intake.keeper import Keeper
from pipeline.intake.source import LEASE, Taken


def taken(name: str, lease: str = "1") -> Taken:
    return Taken(name, Message(name.encode(), {}, name, "2026-01-01T00:00:00Z"), lease)


class Messages:
    """A source that notes what it is told."""

    name = "made up"

    def __init__(self) -> None:
        self.there: list[Taken] = []
        self.acknowledged: list[Taken] = []
        self.kept: list[list[Taken]] = []
        self.released: list[tuple[Taken, float]] = []
        self.closed = False
        self.down = False

    def pull(self, most: int, seconds: float) -> list[Taken]:
        given, self.there = self.there[:most], self.there[most:]
        return given

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        if self.down:
            raise ConnectionError("down")
        self.acknowledged += taken

    def keep(self, taken: Sequence[Taken]) -> None:
        self.kept.append(list(taken))

    def release(self, taken: Sequence[Taken], seconds: float) -> None:
        self.released += [(one, seconds) for one in taken]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Keeper]]:
    """Return a function that makes a keeper, whose threads do nothing: the test takes its turns."""
    monkeypatch.setattr(Keeper, "_look_after", lambda _: None)
    monkeypatch.setattr(Keeper, "_ask_again_and_again", lambda _: None)

    def made(source: Messages, window: int = 10, max_age: float = math.inf) -> Keeper:
        return Keeper(source, window, max_age)

    yield made


Start = Callable[..., Keeper]


def test_a_window_of_messages_is_held_and_each_is_acknowledged_when_it_is_settled(
    start: Start, clock: list[float]
) -> None:
    source = Messages()
    keeper = start(source, window=3)
    source.there = [taken(name) for name in "abcde"]
    assert [one.id for one in keeper.pull(1.0)] == ["a", "b", "c"]
    assert source.kept == [[taken(name) for name in "abc"]], "their leases are not kept from the start"
    assert keeper.pull(1.0) == []
    keeper.turn()
    assert source.acknowledged == []
    keeper.settle(taken("b"))
    keeper.turn()
    assert source.acknowledged == [taken("b")]
    assert [one.id for one in keeper.pull(1.0)] == ["d"]


def test_the_leases_of_what_is_held_are_kept(start: Start, clock: list[float]) -> None:
    source = Messages()
    keeper = start(source)
    source.there = [taken("a"), taken("b")]
    keeper.pull(1.0)
    source.kept.clear()
    keeper.turn()
    assert source.kept == []
    clock[0] += LEASE / 3
    keeper.settle(taken("a"))
    keeper.turn()
    assert source.kept == [[taken("b")]]


def test_what_is_delivered_again_while_it_is_held_is_not_new_and_has_its_new_lease(
    start: Start, clock: list[float]
) -> None:
    source = Messages()
    keeper = start(source)
    source.there = [taken("a")]
    assert len(keeper.pull(1.0)) == 1
    source.there = [taken("a", "2")]
    assert keeper.pull(1.0) == []
    keeper.settle(taken("a"))
    keeper.turn()
    assert source.acknowledged == [taken("a", "2")]


def test_the_ledger_is_asked_less_and_less_often(start: Start, clock: list[float]) -> None:
    source, asked, done = Messages(), [], []

    def question() -> bool:
        asked.append(clock[0] - 1000)
        return bool(done)

    keeper = start(source)
    source.there = [taken("a")]
    keeper.watch(keeper.pull(1.0)[0], question)
    for _ in range(200):
        clock[0] += 0.5
        keeper.ask_ledger()
        keeper.turn()
    assert source.acknowledged == []
    pauses = [after - before for before, after in pairwise(asked)]
    assert pauses == sorted(pauses)
    assert (min(pauses), max(pauses)) == (module.FIRST_LOOK, module.LONGEST_LOOK)
    done.append(True)
    clock[0] += module.LONGEST_LOOK
    keeper.ask_ledger()
    keeper.turn()
    assert source.acknowledged == [taken("a")]


def test_a_question_that_fails_delays_the_answer_about_its_own_message_only(start: Start, clock: list[float]) -> None:
    source, failed = Messages(), []

    def failing() -> bool:
        failed.append(clock[0])
        raise ConnectionError("down")

    keeper = start(source)
    source.there = [taken("a"), taken("b")]
    first, second = keeper.pull(1.0)
    keeper.watch(first, failing)
    keeper.watch(second, lambda: True)
    for _ in range(20):
        clock[0] += 0.5
        keeper.ask_ledger()
        keeper.turn()
    assert source.acknowledged == [taken("b")]
    assert 2 <= len(failed) < 10, "it is asked at each turn"


def test_messages_whose_lease_is_not_kept_at_once_are_given_out_all_the_same(start: Start, clock: list[float]) -> None:
    class Unkept(Messages):
        def keep(self, taken: Sequence[Taken]) -> None:
            if self.down:
                raise ConnectionError("down")
            super().keep(taken)

    source = Unkept()
    keeper = start(source)
    source.there, source.down = [taken("a")], True
    assert keeper.pull(1.0) == [taken("a")], "it is held, and nobody works on it"
    source.down = False
    keeper.turn()
    assert source.kept == [[taken("a")]]


def test_what_is_delivered_again_while_it_is_acknowledged_is_acknowledged_again(
    start: Start, clock: list[float]
) -> None:
    class Late(Messages):
        def acknowledge(self, messages: Sequence[Taken]) -> None:
            super().acknowledge(messages)
            if len(self.acknowledged) == 1:
                self.there = [taken("a", "2")]
                assert keeper.pull(0.0) == []

    source = Late()
    keeper = start(source)
    source.there = [taken("a")]
    keeper.pull(1.0)
    keeper.settle(taken("a"))
    keeper.turn()
    keeper.turn()
    assert source.acknowledged == [taken("a"), taken("a", "2")]
    assert keeper.held == 0


def test_the_more_often_a_message_has_failed_the_later_it_comes_again(start: Start, clock: list[float]) -> None:
    source = Messages()
    keeper = start(source)
    for _ in range(12):
        source.there = [taken("a")]
        keeper.give_back(*keeper.pull(1.0))
    waits = [seconds for _, seconds in source.released]
    assert waits[:4] == [10.0, 20.0, 40.0, 80.0]
    assert waits[-1] == module.LONGEST_AGAIN
    source.there = [taken("a")]
    keeper.settle(*keeper.pull(1.0))
    keeper.turn()
    source.there = [taken("a")]
    keeper.give_back(*keeper.pull(1.0))
    assert source.released[-1][1] == 10.0


def test_what_is_too_old_is_let_go_and_is_new_when_it_comes_again(start: Start, clock: list[float]) -> None:
    source = Messages()
    keeper = start(source, max_age=100.0)
    source.there = [taken("a")]
    keeper.pull(1.0)
    clock[0] += 100.0
    keeper.turn()
    assert source.released == []
    clock[0] += 1.0
    keeper.turn()
    assert source.released == [(taken("a"), 0.0)]
    source.there = [taken("a", "2")]
    assert keeper.pull(1.0) == [taken("a", "2")]


def test_a_server_that_is_down_delays_the_acknowledgement_and_nothing_else(start: Start, clock: list[float]) -> None:
    source = Messages()
    keeper = start(source)
    source.there = [taken("a"), taken("b")]
    keeper.pull(1.0)
    keeper.settle(taken("a"))
    source.down, source.kept = True, []
    clock[0] += LEASE
    keeper.turn()
    assert source.kept == [[taken("a"), taken("b")]]
    source.down = False
    keeper.turn()
    assert source.acknowledged == [taken("a")]


def test_at_the_end_what_is_settled_is_acknowledged_and_the_rest_comes_again(start: Start, clock: list[float]) -> None:
    source = Messages()
    keeper = start(source)
    source.there = [taken(name) for name in "abc"]
    keeper.pull(1.0)
    keeper.settle(taken("a"))
    keeper.give_back(taken("b"), 7.0)
    assert keeper.close() == 1
    assert source.acknowledged == [taken("a")]
    assert source.released == [(taken("b"), 7.0), (taken("c"), 0.0)]
    assert source.closed


def test_its_own_thread_acknowledges_at_once() -> None:
    told = threading.Event()

    class Telling(Messages):
        def acknowledge(self, taken: Sequence[Taken]) -> None:
            super().acknowledge(taken)
            told.set()

    source = Telling()
    source.there = [taken("a")]
    keeper = Keeper(source, 1)
    assert len(keeper.pull(1.0)) == 1
    keeper.settle(taken("a"))
    assert told.wait(30)
    assert keeper.wait_for_room(1, 30)
    assert keeper.close() == 0
