"""PublishReceipts: a message for each receipt, for downstream systems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from pipeline.core.elements import Receipt
from pipeline.kafka_topic import Topic


@dataclass
class PublishReceipts(beam.PTransform):
    """Publishes each receipt; see cloud/topics.publish_receipt.

    Input and output: Receipt.

    Attributes:
        topic: projects/PROJECT/topics/NAME, or a topic of Kafka; "" publishes nothing.
    """

    topic: Topic

    def expand(self, receipts: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        if not self.topic:
            return receipts
        return receipts | "PublishReceipt" >> beam.ParDo(_Publish(self.topic)).with_output_types(Receipt)


class _Publish(beam.DoFn):
    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def process(self, receipt: Receipt) -> Iterator[Receipt]:
        from pipeline.cloud.topics import publish_receipt  # needs the extra `gcp`

        publish_receipt(self._topic, receipt)
        yield receipt
