"""Topics to which messages are sent; of those in Kafka, how their brokers are reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

IN_KAFKA = "kafka:"  # begins the name of a topic that is one of Kafka
GROUP = "dropcast"  # of consumers, whose committed offsets say where to go on, unless the file names another


@dataclass(frozen=True)
class KafkaTopic:
    """A topic, and how its brokers are reached.

    Attributes:
        brokers: HOST:PORT,...
        topic: its name.
        properties: path of a file with more settings of librdkafka, one NAME=VALUE on each line; "" for none.
    """

    brokers: str
    topic: str
    properties: str = ""

    @classmethod
    def of(cls, text: str, properties: str = "") -> KafkaTopic:
        """Return the topic that BROKERS/TOPIC names."""
        brokers, _, topic = text.rpartition("/")
        return cls(brokers, topic, properties)

    def __str__(self) -> str:
        return f"{self.brokers}/{self.topic}"

    @property
    def settings(self) -> dict[str, str]:
        """The client's settings.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if it has a line of another form.
        """
        more = read_properties(Path(self.properties)) if self.properties else {}
        return {"group.id": GROUP, **more, "bootstrap.servers": self.brokers, "client.id": GROUP}


Topic = str | KafkaTopic
"""projects/PROJECT/topics/NAME, or a topic of Kafka; "" for none."""


def topic_named(text: str, properties: str) -> Topic:
    """Return the topic that --output_topic names.

    Args:
        text: projects/PROJECT/topics/NAME, kafka:BROKERS/TOPIC, or "".
        properties: --kafka_properties.
    """
    return KafkaTopic.of(text.removeprefix(IN_KAFKA), properties) if text.startswith(IN_KAFKA) else text


def read_properties(path: Path) -> dict[str, str]:
    """Return the settings in a file of lines NAME=VALUE; blank lines, and those that begin with #, say nothing.

    Raises:
        ValueError: if a line has another form.
    """
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, mark, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not mark or not re.fullmatch(r"[a-z0-9_.]+", name.strip()):
            raise ValueError(f"line {number} is not NAME=VALUE")
        found[name.strip()] = value.strip()
    return found
