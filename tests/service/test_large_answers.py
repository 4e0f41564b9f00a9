"""Large answers: bounded all together, and in the time that they take to be read."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.service import desk
from pipeline.service.answers import Answer
from pipeline.service.crowds import Budget
from pipeline.service.desk import Desk, LargeAnswer, OnRequest


def answer_of(size: int) -> Answer:
    return Answer("text/csv", "utf-8", io.BytesIO(b"x" * size), size)


def sent(response: Any, reads: bool) -> int:
    """Return how many bytes of a response somebody gets who reads it, or who does not."""
    got = 0

    async def send(message: dict[str, Any]) -> None:
        nonlocal got
        if not reads:
            await asyncio.Event().wait()
        got += len(message.get("body", b""))

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    asyncio.run(response({"type": "http", "method": "POST"}, receive, send))
    return got


def test_answers_take_room_until_they_are_read_or_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "SENT_AT_ONCE", 100)
    at = Desk(OnRequest(ForecastSpec(), Limits(), at_once=1, most_bytes=1000, seconds=0.05), CollectorRegistry())
    read, unread, one_more = (at._sent(answer_of(900)), at._sent(answer_of(900)), at._sent(answer_of(900)))
    assert (read.status_code, unread.status_code, one_more.status_code) == (200, 200, 429)
    assert at._sent(answer_of(100)).status_code == 200, "a small one is sent at once"
    assert sent(read, reads=True) == 900
    again = at._sent(answer_of(900))
    assert isinstance(again, LargeAnswer)
    assert at._sent(answer_of(900)).status_code == 429
    assert sent(unread, reads=False) == 0, "and ends in time"
    assert at._sent(answer_of(900)).status_code == 200


def test_something_is_possible_however_small_the_budget_is() -> None:
    budget = Budget(10)
    assert budget.take(100)
    assert not budget.take(1)
    budget.give_back(100)
    assert budget.take(10)
    assert not budget.take(1)
