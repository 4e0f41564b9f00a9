"""Kafka's brokers answer that they do not keep a group's offsets, or not yet, while another one takes over."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.cloud.kafka import committed_offsets


class Moving:
    """A consumer whose calls meet some errors before the answer."""

    def __init__(self, *errors: int) -> None:
        self.left = [KafkaException(KafkaError(code)) for code in errors]

    def committed(self, partitions: list[TopicPartition], **_: Any) -> list[TopicPartition]:
        if self.left:
            raise self.left.pop(0)
        return [TopicPartition(one.topic, one.partition, 7) for one in partitions]


def test_asked_again_until_the_group_has_moved() -> None:
    moving = Moving(KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
    found = committed_offsets(cast(Consumer, moving), "uploads", [0, 3])
    assert [(one.partition, one.offset) for one in found] == [(0, 7), (3, 7)]
    assert not moving.left


def test_other_errors_are_raised() -> None:
    with pytest.raises(KafkaException, match="GROUP_AUTHORIZATION_FAILED"):
        committed_offsets(cast(Consumer, Moving(KafkaError.GROUP_AUTHORIZATION_FAILED)), "uploads", [0])
