"""The whole pipeline on one page."""

from __future__ import annotations

import apache_beam as beam

from pipeline.core.outputs.outcomes import Outcome
from pipeline.runs import Run
from pipeline.transforms.deduplicate import Deduplicate
from pipeline.transforms.forecast import Forecast
from pipeline.transforms.load_rows import LoadRows
from pipeline.transforms.load_series import LoadSeries
from pipeline.transforms.publish_receipts import PublishReceipts
from pipeline.transforms.read_requests import ReadRequests
from pipeline.transforms.write_dead_letters import WriteDeadLetters, WriteStrayDeadLetters
from pipeline.transforms.write_forecasts import WriteForecasts
from pipeline.transforms.write_receipts import WriteReceipts


def build(pipeline: beam.Pipeline, run: Run) -> beam.PCollection:
    """Apply the whole graph; return the receipts, one for each request."""
    limits, destination = run.limits, run.destination

    read = pipeline | "ReadRequests" >> ReadRequests(run)
    requests = read["requests"] | "Deduplicate" >> Deduplicate(destination.batch)
    loaded = requests | "LoadSeries" >> LoadSeries(limits, destination, run.range_bytes)
    forecasts = loaded["blocks"] | "Forecast" >> Forecast(limits, destination)
    written = forecasts | "WriteForecasts" >> WriteForecasts(destination) | "LoadRows" >> LoadRows(destination)

    outcomes = (written, loaded["unreadable"]) | "AllOutcomes" >> beam.Flatten().with_output_types(Outcome)
    read["bad"] | "WriteStrayDeadLetters" >> WriteStrayDeadLetters(destination)
    lettered = outcomes | "WriteDeadLetters" >> WriteDeadLetters(destination)
    receipts = lettered | "WriteReceipts" >> WriteReceipts(destination)
    return receipts | "PublishReceipts" >> PublishReceipts(run.output_topic)
