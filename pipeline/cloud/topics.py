"""Sending to topics of Pub/Sub and Kafka."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable

from google.pubsub_v1.types import PubsubMessage

from pipeline.cloud.clients import publisher
from pipeline.cloud.retry import CALL, retrying
from pipeline.core.elements import Receipt
from pipeline.core.io_faults import does_io
from pipeline.kafka_topic import KafkaTopic, Topic

TOGETHER = 100  # messages in one call
LONGEST_ATTRIBUTE = 1024  # bytes, as Pub/Sub allows


def publish_receipt(topic: Topic, receipt: Receipt) -> None:
    """Send a receipt: its fields as JSON; request_key, source, output and status as attributes too."""
    data = json.dumps(dataclasses.asdict(receipt), sort_keys=True).encode()
    attributes = {name: getattr(receipt, name) for name in ("request_key", "source", "output", "status")}
    fitting = {name: text for name, text in attributes.items() if len(text.encode()) <= LONGEST_ATTRIBUTE}
    publish(topic, [(data, fitting)])


@does_io()
def publish(topic: Topic, messages: Iterable[tuple[bytes, dict[str, str]]]) -> int:
    """Send messages, payload and attributes each, and wait until all have arrived; return their number."""
    if isinstance(topic, KafkaTopic):
        from pipeline.cloud.kafka import send  # needs the extra `kafka`

        return send(topic, messages)
    sent = 0
    pending = iter(messages)
    while together := list(itertools.islice(pending, TOGETHER)):
        # not by the batching client, which takes attributes named like its own arguments for these
        wanted = [PubsubMessage(data=data, attributes=attributes) for data, attributes in together]
        publisher().api.publish(topic=topic, messages=wanted, retry=retrying(), timeout=CALL)
        sent += len(together)
    return sent
