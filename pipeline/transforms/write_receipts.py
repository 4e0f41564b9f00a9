"""WriteReceipts: the ledger."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.elements import STATUSES, Receipt
from pipeline.core.outputs.outcomes import Outcome
from pipeline.core.process_request import write_receipt
from pipeline.destination import Destination
from pipeline.metrics import NAMESPACE
from pipeline.places import open_output

_log = logging.getLogger(__name__)


@dataclass
class WriteReceipts(beam.PTransform):
    """Writes the receipt of each request, the last step of it.

    Input: Outcome. Output: Receipt.

    Attributes:
        destination: where the forecasts go.
    """

    destination: Destination

    def expand(self, outcomes: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        return outcomes | "WriteReceipt" >> beam.ParDo(_WriteReceipt(self.destination)).with_output_types(Receipt)


class _WriteReceipt(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._statuses = {status: Metrics.counter(NAMESPACE, f"receipts_{status}") for status in STATUSES}
        self._forecast = Metrics.counter(NAMESPACE, "series_forecast")
        self._failed = Metrics.counter(NAMESPACE, "series_failed")

    def process(self, outcome: Outcome) -> Iterator[Receipt]:
        receipt = write_receipt(outcome, open_output(self._destination))
        self._statuses[receipt.status].inc()
        self._forecast.inc(receipt.series_forecast)
        self._failed.inc(receipt.series_failed)
        _log.info(
            "%s %s",
            receipt.status,
            receipt.source,
            extra={
                "request_key": receipt.request_key,
                "status": receipt.status,
                "code": receipt.code,
                "series": receipt.series,
                "rows": receipt.rows,
            },
        )
        yield receipt
