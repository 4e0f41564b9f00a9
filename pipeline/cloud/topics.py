"""Sending to Pub/Sub."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.cloud.clients import publisher
from pipeline.cloud.retry import DEADLINE, retrying

WAITING = 500  # messages on their way at once


def publish(topic: str, messages: Iterable[tuple[bytes, dict[str, str]]]) -> int:
    """Send messages, payload and attributes each, and wait until all have arrived; return their number."""
    sent = 0
    futures = []
    for data, attributes in messages:
        futures.append(publisher().publish(topic, data, retry=retrying(), timeout=DEADLINE, **attributes))
        sent += 1
        if len(futures) >= WAITING:
            futures.pop(0).result()
    for future in futures:
        future.result()
    return sent
