"""The loop on one machine: what fails comes again, what is running is finished, the rest is given back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from pipeline.core.requests.messages import Message
from pipeline.intake import pull_loop as module
from pipeline.intake.pull_loop import pull_until
from pipeline.intake.source import Taken
from tests.intake.test_keeper import Messages, taken


class Stopping(Messages):
    """Sets an event once so many messages are acknowledged; what is released comes again at once."""

    def __init__(self, names: Sequence[str], until: int, stop: threading.Event) -> None:
        super().__init__()
        self.there = [taken(name) for name in names]
        self._until, self._stop = until, stop
        self.most = 0

    def pull(self, most: int, seconds: float) -> list[Taken]:
        self.most = max(self.most, most)
        return super().pull(most, seconds)

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        super().acknowledge(taken)
        if len(self.acknowledged) >= self._until:
            self._stop.set()

    def release(self, taken: Sequence[Taken], seconds: float) -> None:
        super().release(taken, seconds)
        if not self._stop.is_set():
            self.there += taken


def never(_: BaseException) -> bool:
    return False


def test_each_message_is_done_and_what_fails_or_is_running_comes_again() -> None:
    stop, lock, tries = threading.Event(), threading.Lock(), dict.fromkeys("abcdefghij", 0)
    source = Stopping(list(tries), len(tries), stop)

    def do(message: Message) -> bool:
        with lock:
            tries[message.message_id] += 1
        if tries[message.message_id] == 1 and message.message_id in "ab":
            raise ConnectionError("a server is down")
        return tries[message.message_id] > 1 or message.message_id != "c"

    assert pull_until(stop, source, do, never, 30) == 0
    assert sorted(one.id for one in source.acknowledged) == list(tries)
    assert {name for name, times in tries.items() if times == 2} == {"a", "b", "c"}
    assert source.most <= module.WINDOW
    assert source.closed


def test_at_a_signal_what_is_running_is_finished_and_the_rest_comes_again() -> None:
    stop, begun = threading.Event(), threading.Semaphore(0)
    names = [str(number) for number in range(module.WINDOW)]
    source = Stopping(names, len(names), stop)

    def do(_: Message) -> bool:
        begun.release()
        stop.wait(60)
        return True

    def signal() -> None:
        for _ in range(module.AT_ONCE):
            assert begun.acquire(timeout=60)
        stop.set()

    threading.Thread(target=signal, daemon=True).start()
    left = pull_until(stop, source, do, never, 60)
    assert len(source.acknowledged) == module.AT_ONCE
    assert left == module.WINDOW - module.AT_ONCE == len(source.released)


def test_an_error_of_a_pull_that_may_pass_is_waited_out_and_another_ends_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    errors: list[Exception] = [ConnectionError("down"), ConnectionError("down"), PermissionError("no")]

    class Failing(Messages):
        def pull(self, most: int, seconds: float) -> list[Taken]:
            if most:
                raise errors.pop(0)
            return []

    source = Failing()
    with pytest.raises(PermissionError):
        pull_until(threading.Event(), source, lambda _: True, lambda error: isinstance(error, ConnectionError), 1)
    assert errors == []
    assert source.closed
