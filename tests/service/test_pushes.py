"""How pushes are answered, with work that is made up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from google.api_core.exceptions import ServiceUnavailable

from pipeline.cloud import message_work
from pipeline.core.elements import Request
from pipeline.core.requests.messages import Message
from pipeline.service.pushes import Pushes, PushLimits

MESSAGE = Message(b"", {}, "7", "2026-01-01T00:00:00Z")


class Work:
    """Does a request by calling a function."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do
        self.asked_for = 0

    def asked(self, message: Message) -> Request:
        self.asked_for += 1
        name = message.message_id
        return Request(f"gs://in/{name}", "5", "2026-01-01T00:00:00Z", name, "{}")

    def forecast(self, request: Request, seconds: float) -> None:
        return self.do()


def made(do: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, **limits: Any) -> Pushes:
    monkeypatch.setattr(message_work, "size_of", lambda *_: 100)
    return Pushes(Work(do), PushLimits(**limits))  # type: ignore[arg-type]


def counted(pushes: Pushes, outcome: str) -> float:
    return pushes.registry.get_sample_value("dropcast_pushes_total", {"outcome": outcome}) or 0.0


@pytest.mark.parametrize("error", [ServiceUnavailable("down"), OSError("full"), ZeroDivisionError(), MemoryError()])
def test_what_fails_comes_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [error]

    def do() -> None:
        if failing:
            raise failing.pop()

    pushes = made(do, monkeypatch)
    assert pushes.answer(MESSAGE) == HTTPStatus.SERVICE_UNAVAILABLE
    assert pushes.answer(MESSAGE) == HTTPStatus.NO_CONTENT, "its place is free again, and its key"
    assert (counted(pushes, "failed"), counted(pushes, "duplicate")) == (1, 1)


def test_a_message_that_is_worked_on_is_not_done_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def do() -> None:
        begun.set()
        assert go_on.wait(60)

    pushes = made(do, monkeypatch)
    answers: list[HTTPStatus] = []
    thread = threading.Thread(target=lambda: answers.append(pushes.answer(MESSAGE)))
    thread.start()
    assert begun.wait(60)
    assert pushes.answer(MESSAGE) == HTTPStatus.SERVICE_UNAVAILABLE
    assert pushes.registry.get_sample_value("dropcast_pushes_running") == 1
    go_on.set()
    thread.join()
    assert answers == [HTTPStatus.NO_CONTENT]
    assert counted(pushes, "running") == 1
    assert pushes.registry.get_sample_value("dropcast_push_seconds_count") == 2


def test_when_all_places_are_taken_it_says_so_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def do() -> None:
        begun.release()
        assert go_on.wait(60)

    pushes = made(do, monkeypatch, at_once=2)
    threads = [threading.Thread(target=pushes.answer, args=(Message(b"", {}, name, ""),)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=60)
    work = pushes.work
    assert isinstance(work, Work)
    before = work.asked_for
    assert pushes.answer(Message(b"", {}, "c", "")) == HTTPStatus.TOO_MANY_REQUESTS
    assert work.asked_for == before
    go_on.set()
    for thread in threads:
        thread.join()
    assert pushes.answer(Message(b"", {}, "c", "")) == HTTPStatus.NO_CONTENT
