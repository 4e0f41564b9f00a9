"""Messages of a Kafka topic: an offset is committed once all before it, and its own message, are settled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.cloud.kafka import client_settings, committed_offsets
from pipeline.core.requests.messages import Message
from pipeline.intake.offsets import Offsets
from pipeline.intake.source import Taken
from pipeline.kafka_topic import KafkaTopic

CLOSING = 3.0  # seconds for the last commit, and as many to leave the group
COMMITTED_AGAIN = 3600.0  # seconds; a broker forgets the offsets of a group without members after some days
_log = logging.getLogger(__name__)
_OURS = {"enable.auto.commit": False, "enable.auto.offset.store": False}
# A few messages are worked on at a time: a backlog stays with the broker.
_DEFAULTS = {"auto.offset.reset": "earliest", "queued.min.messages": 100, "queued.max.messages.kbytes": 4096}


class KafkaMessages:
    """The messages of a topic.

    Without a partition those of the partitions that the group gives to this consumer, which may change; with one those
    of that partition alone: then a group of its own, without members, keeps the committed offsets.

    Args:
        topic: the topic.
        partition: number of the only partition to read.
    """

    def __init__(self, topic: KafkaTopic, partition: int | None = None) -> None:
        self.name = f"{topic.topic}" if partition is None else f"{topic.topic}/{partition}"
        self._topic, self._has_members = topic, partition is None
        self._lock = threading.RLock()
        self._offsets: dict[int, Offsets] = {}
        self._again: list[tuple[float, Taken]] = []  # when, and what
        self._to_commit: dict[int, int] = {}  # by partition
        self._kept: dict[int, int] = {}  # committed offsets of a group without members, which expire
        self._keep_at = time.monotonic() + COMMITTED_AGAIN
        self._committing = False
        self._paused: set[int] = set()
        self._running: set[int] = set()
        settings = {**_DEFAULTS, **client_settings(topic), **_OURS, "on_commit": self._committed}
        if partition is None:
            self._consumer = Consumer(settings)
            self._consumer.subscribe([topic.topic], on_revoke=self._revoked, on_lost=self._revoked)
        else:
            # a commit for a group that has members is refused to others
            self._consumer = Consumer({**settings, "group.id": f"{settings['group.id']}-by-partition"})
            places = committed_offsets(self._consumer, topic.topic, [partition])
            self._kept = {place.partition: place.offset for place in places if place.offset >= 0}
            self._consumer.assign(places)

    def pull(self, most: int, seconds: float) -> list[Taken]:
        """Return at most `most` messages; see Source.

        To be called every second or so by one thread, with none wanted if there is no room: the group expects it, and
        offsets are committed by it. The client's commit waits for a poll in another thread, and that for messages.
        """
        self._commit()
        found = self._due(most)
        if len(found) == most:
            self._stay(0.0 if found else seconds)
            return found
        self._resume()
        try:
            while len(found) < most:
                # one by one: each is noted before the group may take its partition away
                message = self._consumer.poll(0.0 if found else seconds)
                if message is None:
                    break
                taken = self._noted(message)
                if taken is not None:
                    found.append(taken)
        except BaseException:
            self.release(found, 0.0)
            raise
        return found

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        """Have the next pull commit what can be: up to the first message that is not settled."""
        with self._lock:
            for partition, offset, time_ in map(_place, taken):
                if partition in self._offsets:
                    self._offsets[partition].settle(offset, time_)
            for partition, offsets in self._offsets.items():
                if (first := offsets.take_committable()) is not None:
                    self._to_commit[partition] = first

    def keep(self, taken: Sequence[Taken]) -> None:
        """Do nothing: what is not committed does not come again while this consumer reads on."""

    def release(self, taken: Sequence[Taken], seconds: float) -> None:
        """Give messages again after some seconds."""
        with self._lock:
            self._again += [(time.monotonic() + seconds, one) for one in taken]

    def close(self) -> None:
        """Commit what can be, and leave the group, but do not wait long for a broker."""
        self._commit()
        until = time.monotonic() + CLOSING
        while (self._committing or self._to_commit) and time.monotonic() < until:
            self._stay(0.1)
            self._commit()  # what was settled while the commit before was on its way
        leaving = threading.Thread(target=self._consumer.close, name=f"leaves {self.name}", daemon=True)
        leaving.start()
        leaving.join(CLOSING)

    def _commit(self) -> None:
        """Commit, unless the answer to the commit before is still on its way."""
        with self._lock:
            if time.monotonic() > self._keep_at:
                self._to_commit = {**self._kept, **self._to_commit}
                self._keep_at = time.monotonic() + COMMITTED_AGAIN
            if not self._to_commit or self._committing:
                return
            places = [TopicPartition(self._topic.topic, *place) for place in self._to_commit.items()]
            try:
                self._consumer.commit(offsets=places, asynchronous=True)
                self._committing = True
            except KafkaException as error:
                _log.warning("offsets of %s were not committed: %s", self.name, error)

    def _committed(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Forget what is committed; what could not be is tried again by the next pull."""
        with self._lock:
            self._committing = False
            for place in places:
                wrong = error or place.error
                if wrong is not None:
                    _log.warning("the offset of %s was not committed: %s", self.name, wrong)
                    continue
                if not self._has_members:
                    self._kept[place.partition] = place.offset
                if self._to_commit.get(place.partition) == place.offset:
                    del self._to_commit[place.partition]

    def _due(self, most: int) -> list[Taken]:
        """Return what is to come again by now: no more than half of what is wanted, so that it holds up nothing."""
        now = time.monotonic()
        with self._lock:
            self._again = [entry for entry in self._again if self._is_read(entry[1])]
            due = [entry for entry in self._again if entry[0] <= now][: (most + 1) // 2]
            self._again = [entry for entry in self._again if entry not in due]
        return [one for _, one in due]

    def _is_read(self, taken: Taken) -> bool:
        """Return whether a message is still one that this consumer has read and not committed."""
        partition, offset, time_ = _place(taken)
        return partition in self._offsets and self._offsets[partition].has(offset, time_)

    def _stay(self, seconds: float) -> None:
        """Stay in the group without taking a message."""
        running = [one for one in self._consumer.assignment() if one.partition not in self._paused]
        if running:
            self._consumer.pause(running)
            self._paused |= {one.partition for one in running}
        message = self._consumer.poll(seconds)
        if message is not None and (taken := self._noted(message)) is not None:  # of a partition that is new
            self.release([taken], 0.0)

    def _resume(self) -> None:
        """Take messages again, of partitions that are new here too: the client keeps them paused if they were once."""
        assigned = self._consumer.assignment()
        partitions = {one.partition for one in assigned}
        if self._paused or partitions != self._running:
            self._consumer.resume(assigned)
            self._paused, self._running = set(), partitions

    def _noted(self, message: Any) -> Taken | None:
        """Return what was polled as a message that is read; None if it says that something went wrong.

        Raises:
            KafkaException: if it cannot go on.
        """
        error = message.error()
        if error is not None:
            if error.fatal():
                raise KafkaException(error)
            _log.warning("%s: %s", self.name, error)
            return None
        taken = taken_of(message)
        partition, offset, time_ = _place(taken)
        with self._lock:
            self._offsets.setdefault(partition, Offsets()).read(offset, time_)
        return taken

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget partitions that another consumer reads from now on, from the offsets that were committed."""
        with self._lock:
            for partition in partitions:
                self._offsets.pop(partition.partition, None)
                self._to_commit.pop(partition.partition, None)
                self._paused.discard(partition.partition)
                self._running.discard(partition.partition)  # the client keeps it paused if it comes back


def taken_of(message: Any) -> Taken:
    """Return a message of Kafka as it would come from Pub/Sub: its headers are the attributes."""
    place = f"{message.partition()}:{message.offset()}"
    _, milliseconds = message.timestamp()
    try:
        published = datetime.fromtimestamp(max(milliseconds, 0) / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # whoever sent it may have stated anything
        published = datetime.fromtimestamp(0, UTC)
    return Taken(
        f"{place}:{milliseconds}",  # a topic that is made anew has the same offsets again
        Message(
            message.value() or b"",
            _attributes(_headers(message)),
            f"{message.topic()}:{place}",
            published.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        ),
    )


def _headers(message: Any) -> Sequence[tuple[str, bytes | str | None]]:
    """Return a message's headers; none if the client cannot read them, as where a name is not UTF-8."""
    try:
        return message.headers() or ()
    except (SystemError, UnicodeError) as error:
        _log.warning("the headers of message %s:%s cannot be read: %s", message.partition(), message.offset(), error)
        return ()


def _attributes(headers: Sequence[tuple[str, bytes | str | None]]) -> Mapping[str, str]:
    return {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or "" for name, value in headers
    }


def _place(taken: Taken) -> tuple[int, int, int]:
    """Return the partition, offset and time of a message."""
    partition, offset, milliseconds = map(int, taken.id.split(":"))
    return partition, offset, milliseconds
