"""Sending to Pub/Sub."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from google.pubsub_v1.types import PubsubMessage

from pipeline.cloud.clients import publisher
from pipeline.cloud.retry import CALL, retrying
from pipeline.core.io_faults import does_io

TOGETHER = 100  # messages in one call


@does_io()
def publish(topic: str, messages: Iterable[tuple[bytes, dict[str, str]]]) -> int:
    """Send messages, payload and attributes each, and wait until all have arrived; return their number."""
    sent = 0
    pending = iter(messages)
    while together := list(itertools.islice(pending, TOGETHER)):
        # not by the batching client, which takes attributes named like its own arguments for these
        wanted = [PubsubMessage(data=data, attributes=attributes) for data, attributes in together]
        publisher().api.publish(topic=topic, messages=wanted, retry=retrying(), timeout=CALL)
        sent += len(together)
    return sent
