"""A subscription's messages by unary calls: none is lost between two pulls, and a bad id spoils only its own."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.api_core import exceptions

from pipeline.intake.source import Taken
from pipeline.intake.subscription import Subscription
from tests.cloud.conftest import Stage

pytestmark = pytest.mark.cloud


def pulled(subscription: Subscription, most: int = 10) -> list[Taken]:
    """Pull in short turns until something comes."""
    deadline = time.monotonic() + 60
    while not (found := subscription.pull(most, 0.05)):
        assert time.monotonic() < deadline
    return found


def test_a_pull_that_waits_longer_than_its_caller_has_its_messages_for_the_next(stage: Stage) -> None:
    subscription = Subscription(stage.subscription)
    for number in range(3):
        assert subscription.pull(10, 0.2) == [], "there is none yet"
        stage.publish(f"{number}".encode(), n=str(number))
        (found,) = pulled(subscription)
        assert found.message.data == f"{number}".encode()
        assert found.message.attributes == {"n": str(number)}
        subscription.acknowledge([found])
    assert subscription.pull(0, 0.0) == []
    subscription.close()


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(stage: Stage) -> None:
    subscription = Subscription(stage.subscription)
    for number in range(2):
        stage.publish(f"{number}".encode())
    found = pulled(subscription)
    while len(found) < 2:
        found += pulled(subscription)
    subscription.keep(found)
    subscription.acknowledge(found[:1])
    subscription.release(found[1:], 0.0)
    (again,) = pulled(subscription)
    assert again.id == found[1].id
    subscription.acknowledge([again])
    subscription.close()


@pytest.mark.parametrize("error", [exceptions.FailedPrecondition("expired"), exceptions.ServiceUnavailable("down")])
def test_an_id_that_is_refused_spoils_only_its_own(
    stage: Stage, error: exceptions.GoogleAPICallError, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription, calls = Subscription(stage.subscription), []

    def acknowledge(ack_ids: list[str], **_: Any) -> None:
        calls.append(ack_ids)
        if "bad" in ack_ids:
            raise error

    monkeypatch.setattr(subscription._client, "acknowledge", acknowledge)
    stage.publish(b"x")
    (message,) = pulled(subscription)
    taken = [Taken(name, message.message, name) for name in ("a", "bad", "b")]
    if isinstance(error, exceptions.ServiceUnavailable):
        with pytest.raises(exceptions.ServiceUnavailable):
            subscription.acknowledge(taken)
        assert calls == [["a", "bad", "b"]]
    else:
        subscription.acknowledge(taken)
        assert calls == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]


def test_an_error_of_a_pull_is_the_servers(stage: Stage) -> None:
    subscription = Subscription(f"{stage.subscription}-none")
    with pytest.raises(exceptions.NotFound):
        for _ in range(100):
            subscription.pull(1, 1.0)
