"""PublishReceipts: a message for each receipt, for downstream systems."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from pipeline.core.elements import Receipt

LONGEST_ATTRIBUTE = 1024  # bytes, as Pub/Sub allows


@dataclass
class PublishReceipts(beam.PTransform):
    """Publishes each receipt: its fields as JSON; request_key, source, output and status as attributes too.

    Input and output: Receipt.

    Attributes:
        topic: projects/PROJECT/topics/NAME; "" publishes nothing.
    """

    topic: str

    def expand(self, receipts: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        if not self.topic:
            return receipts
        return receipts | "PublishReceipt" >> beam.ParDo(_Publish(self.topic)).with_output_types(Receipt)


class _Publish(beam.DoFn):
    def __init__(self, topic: str) -> None:
        self._topic = topic

    def process(self, receipt: Receipt) -> Iterator[Receipt]:
        from pipeline.cloud.topics import publish  # needs the extra `gcp`

        data = json.dumps(dataclasses.asdict(receipt), sort_keys=True).encode()
        names = ("request_key", "source", "output", "status")
        attributes = {name: getattr(receipt, name) for name in names}
        fitting = {name: text for name, text in attributes.items() if len(text.encode()) <= LONGEST_ATTRIBUTE}
        publish(self._topic, [(data, fitting)])
        yield receipt
