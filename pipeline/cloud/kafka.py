"""Clients of Kafka: their settings, a topic's partitions, a group's offsets, and sending."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, ParamSpec, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from google.api_core.retry import Retry

from pipeline.kafka_topic import KafkaTopic

CALL = 20.0  # seconds for a call
DELIVERY = 60.0  # seconds for a message to arrive
_PATIENCE = 60.0  # seconds for a call that is repeated
# While a broker starts or takes over from another one. The client itself repeats what got no answer.
_MOVING = {
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._WAIT_COORD,
}  # fmt: skip
_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


def client_settings(topic: KafkaTopic) -> dict[str, Any]:
    """Return the settings of a client for a topic's brokers, which logs as the rest of Dropcast does."""
    patient = {"reconnect.backoff.ms": 500, "reconnect.backoff.max.ms": 10_000, "log_level": 2}
    return {**patient, **topic.settings, "error_cb": _told, "logger": _log}


def _told(error: KafkaError) -> None:
    """Log an error, but not that of each try to connect."""
    level = logging.DEBUG if error.code() in (KafkaError._TRANSPORT, KafkaError._RESOLVE) else logging.WARNING
    _log.log(level, "%s", error.str())


def _is_moving(error: Exception) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _MOVING


def _again(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a function called again while a broker takes over from another one."""
    retry: Any = Retry(_is_moving, initial=0.1, maximum=2.0, timeout=_PATIENCE)
    return cast("Callable[_P, _T]", retry(function))


@_again
def partitions_of(topic: KafkaTopic) -> list[int]:
    """Return the numbers of a topic's partitions.

    Raises:
        KafkaException: if the brokers do not answer, or the topic does not exist.
        RetryError: if it still has no leader after a minute.
    """
    consumer = Consumer(client_settings(topic))
    try:
        found = consumer.list_topics(topic.topic, timeout=CALL).topics[topic.topic]
        for part in (found, *found.partitions.values()):
            if part.error is not None:
                raise KafkaException(part.error)
        return sorted(found.partitions)
    finally:
        consumer.close()


@_again
def committed_offsets(consumer: Consumer, topic: str, partitions: Iterable[int]) -> list[TopicPartition]:
    """Return where a consumer's group goes on in each partition of a topic; a negative offset where it has none.

    Raises:
        KafkaException: if the brokers do not answer.
        RetryError: if they still do not know it after a minute.
    """
    found = consumer.committed([TopicPartition(topic, partition) for partition in partitions], timeout=CALL)
    for one in found:
        if one.error is not None:
            raise KafkaException(one.error)
    return found


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
    try:
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
    except KafkaException:
        _producer.cache_clear()  # after some errors a producer sends nothing any more: the next send begins anew
        raise
    return sent
