"""Messages of a Pub/Sub subscription, by its unary calls: a lease is kept by whoever holds it, as long as it wants."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from google.api_core import exceptions
from google.cloud import pubsub_v1

from pipeline.core.requests.messages import Message
from pipeline.intake.source import LEASE, Taken

MOST_PULLED = 1000  # messages in one call, as Pub/Sub allows
CALL = 10.0  # seconds for a call: whoever holds a message calls again
TOGETHER = 500  # ids in one call: an id has some 200 bytes, and a call at most 512 KB


class Subscription:
    """A subscription.

    Args:
        name: projects/PROJECT/subscriptions/NAME.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._client = pubsub_v1.SubscriberClient()

    def pull(self, most: int, seconds: float) -> list[Taken]:
        """Return at most `most` messages; see Source."""
        if most < 1:
            return []
        try:
            answer = self._client.pull(
                subscription=self.name, max_messages=min(most, MOST_PULLED), timeout=seconds, retry=None
            )
        except exceptions.DeadlineExceeded:  # there is none
            return []
        except exceptions.ServiceUnavailable:
            return []
        return [_taken(received) for received in answer.received_messages]

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        """Acknowledge messages; what comes again nevertheless is found in the ledger."""
        for ids in _together(taken):
            self._client.acknowledge(subscription=self.name, ack_ids=ids, retry=None, timeout=CALL)

    def keep(self, taken: Sequence[Taken]) -> None:
        """Keep messages for LEASE seconds more."""
        self._deadline(taken, LEASE)

    def release(self, taken: Sequence[Taken], seconds: float) -> None:
        """Let messages come again after some seconds, or as the subscription's policy for retries says."""
        with contextlib.suppress(exceptions.GoogleAPICallError):  # their leases end in any case
            self._deadline(taken, min(seconds, 600.0))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _deadline(self, taken: Sequence[Taken], seconds: float) -> None:
        for ids in _together(taken):
            self._client.modify_ack_deadline(
                subscription=self.name, ack_ids=ids, ack_deadline_seconds=round(seconds), retry=None, timeout=CALL
            )


def _together(taken: Sequence[Taken]) -> list[list[str]]:
    ids = [one.lease for one in taken]
    return [ids[first : first + TOGETHER] for first in range(0, len(ids), TOGETHER)]


def _taken(received: Any) -> Taken:
    message = received.message
    published = message.publish_time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Taken(
        message.message_id,
        Message(bytes(message.data), dict(message.attributes), message.message_id, published),
        received.ack_id,
    )
