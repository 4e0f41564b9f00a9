"""Messages of a Pub/Sub subscription, by its unary calls: a lease is kept by whoever holds it, as long as it wants."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.cloud import pubsub_v1
from google.pubsub_v1.types import PullRequest

from pipeline.cloud.retry import is_transient
from pipeline.core.requests.messages import Message
from pipeline.intake.source import LEASE, Taken

MOST_PULLED = 1000  # messages in one call, as Pub/Sub allows
PULL = 90.0  # seconds that a pull may wait at the server
CALL = 5.0  # seconds for another call: whoever holds a message calls again
TOGETHER = 500  # ids in one call: an id has some 200 bytes, and a call at most 512 KB
LONGEST_RELEASE = 600.0  # seconds, as Pub/Sub allows
_log = logging.getLogger(__name__)


class Subscription:
    """A subscription.

    Args:
        name: projects/PROJECT/subscriptions/NAME.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._client = pubsub_v1.SubscriberClient()
        self._pending: Any = None  # a call that waits at the server, longer than a caller wants to: for the next one

    def pull(self, most: int, seconds: float) -> list[Taken]:
        """Return at most `most` messages; see Source.

        A call that has not returned within the seconds goes on, and the next pull has its messages: given up, it
        could take messages with it.
        """
        if self._pending is None:
            if most < 1:
                return []
            request = PullRequest(subscription=self.name, max_messages=min(most, MOST_PULLED))
            routed = (to_grpc_metadata({"subscription": self.name}),)
            self._pending = self._client.transport.pull.future(request, timeout=PULL, metadata=routed)
        try:
            answer = self._pending.result(timeout=seconds)
        except grpc.FutureTimeoutError:
            return []
        except grpc.RpcError as error:
            self._pending = None
            raised = exceptions.from_grpc_error(error)
            if isinstance(raised, exceptions.DeadlineExceeded):  # there was none
                return []
            raise raised from error
        self._pending = None
        return [_taken(received) for received in answer.received_messages]

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        """Acknowledge messages; what comes again nevertheless is found in the ledger."""
        self._call(taken, lambda ids: self._client.acknowledge(
            subscription=self.name, ack_ids=ids, retry=None, timeout=CALL))  # fmt: skip

    def keep(self, taken: Sequence[Taken]) -> None:
        """Keep messages for LEASE seconds more."""
        self._deadline(taken, LEASE)

    def release(self, taken: Sequence[Taken], seconds: float) -> None:
        """Let messages come again after some seconds, or as the subscription's policy for retries says."""
        with contextlib.suppress(exceptions.GoogleAPICallError):  # their leases end in any case
            self._deadline(taken, min(seconds, LONGEST_RELEASE))

    def close(self) -> None:
        """Let what has come meanwhile come again, and close the connection."""
        if self._pending is not None and not self._pending.cancel():
            with contextlib.suppress(Exception):
                self.release(self.pull(0, 0.0), 0.0)
        self._client.close()

    def _deadline(self, taken: Sequence[Taken], seconds: float) -> None:
        self._call(taken, lambda ids: self._client.modify_ack_deadline(
            subscription=self.name, ack_ids=ids, ack_deadline_seconds=round(seconds), retry=None, timeout=CALL
        ))  # fmt: skip

    def _call(self, taken: Sequence[Taken], call: Callable[[list[str]], None]) -> None:
        """Make a call for some messages; if it is refused, one for each: one that has expired spoils only its own.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: if the server does not answer.
        """
        ids = [one.lease for one in taken]
        for first in range(0, len(ids), TOGETHER):
            together = ids[first : first + TOGETHER]
            try:
                call(together)
            except exceptions.GoogleAPICallError as error:
                if is_transient(error):
                    raise
                _log.warning("%s: %s", self.name, error)
                for one in together if len(together) > 1 else ():
                    with contextlib.suppress(exceptions.ClientError):  # it comes again, and is found in the ledger
                        call([one])


def _taken(received: Any) -> Taken:
    message = received.message
    published = message.publish_time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Taken(
        message.message_id,
        Message(bytes(message.data), dict(message.attributes), message.message_id, published),
        received.ack_id,
    )
