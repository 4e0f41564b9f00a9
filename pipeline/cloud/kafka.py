"""Clients of Kafka: their settings, a topic's partitions, and sending."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from pipeline.kafka_topic import KafkaTopic

CALL = 20.0  # seconds for a call
DELIVERY = 60.0  # seconds for a message to arrive
_log = logging.getLogger(__name__)


def client_settings(topic: KafkaTopic) -> dict[str, Any]:
    """Return the settings of a client for a topic's brokers, which logs as the rest of Dropcast does."""
    patient = {"reconnect.backoff.ms": 500, "reconnect.backoff.max.ms": 10_000, "log_level": 2}
    return {**patient, **topic.settings, "error_cb": _told, "logger": _log}


def _told(error: KafkaError) -> None:
    """Log an error, but not that of each try to connect."""
    level = logging.DEBUG if error.code() in (KafkaError._TRANSPORT, KafkaError._RESOLVE) else logging.WARNING
    _log.log(level, "%s", error.str())


def partitions_of(topic: KafkaTopic) -> list[int]:
    """Return the numbers of a topic's partitions.

    Raises:
        KafkaException: if the brokers do not answer, or the topic does not exist.
    """
    consumer = Consumer(client_settings(topic))
    try:
        found = consumer.list_topics(topic.topic, timeout=CALL).topics[topic.topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return sorted(found.partitions)
    finally:
        consumer.close()


@cache
def _producer(topic: KafkaTopic) -> Producer:
    own = {"enable.idempotence": True, "delivery.timeout.ms": round(1000 * DELIVERY)}
    return Producer({**client_settings(topic), **own})


def send(topic: KafkaTopic, messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> int:
    """Send messages, payload and headers each, and wait until all have arrived; return their number.

    Raises:
        KafkaException: if one has not after a minute.
    """
    failed: list[KafkaError] = []

    def told(error: KafkaError | None, _: Any) -> None:
        if error is not None:
            failed.append(error)

    producer, sent = _producer(topic), 0
    for data, headers in messages:
        while True:
            try:
                producer.produce(topic.topic, data, headers=list(headers.items()), on_delivery=told)
                break
            except BufferError:  # as many as the client holds are on their way; it gives them up after DELIVERY
                producer.poll(1.0)
        producer.poll(0)
        sent += 1
    if producer.flush(DELIVERY + CALL) or failed:
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._MSG_TIMED_OUT))
    return sent
