"""Receipts are sent again after a producer has failed for good."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.cloud import kafka
from pipeline.kafka_topic import KafkaTopic


class Failing:
    """Producers of which the first has met an error after which none of its messages is taken."""

    made = 0

    def __init__(self, *_: Any) -> None:
        type(self).made += 1
        self.dead = type(self).made == 1

    def produce(self, *_: Any, **__: Any) -> None:
        if self.dead:
            raise KafkaException(KafkaError(KafkaError._FATAL))

    def poll(self, _: float) -> None:
        pass

    def flush(self, _: float) -> int:
        return 0


def test_a_producer_that_failed_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "Producer", Failing)
    kafka._producer.cache_clear()
    topic = KafkaTopic.of("localhost:9/receipts")
    with pytest.raises(KafkaException):
        kafka.send(topic, [(b"x", {})])
    assert kafka.send(topic, [(b"x", {})] * 2) == 2
    assert kafka.send(topic, [(b"x", {})]) == 1
    assert Failing.made == 2
    kafka._producer.cache_clear()
