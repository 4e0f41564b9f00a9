"""The whole pipeline on one page."""

from __future__ import annotations

import apache_beam as beam

from pipeline.elements import Outcome
from pipeline.options import Settings
from pipeline.transforms.deduplicate import Deduplicate
from pipeline.transforms.forecast import Forecast
from pipeline.transforms.load_series import LoadSeries
from pipeline.transforms.read_requests import ReadRequests
from pipeline.transforms.write_dead_letters import WriteDeadLetters, WriteStrayDeadLetters
from pipeline.transforms.write_forecasts import WriteForecasts
from pipeline.transforms.write_receipts import WriteReceipts


def build(pipeline: beam.Pipeline, settings: Settings) -> beam.PCollection:
    """Apply the whole graph; return the receipts, one for each request."""
    limits, output = settings.limits, str(settings.output.absolute())
    allowed = tuple(str(folder.absolute()) for folder in settings.allowed)

    read = pipeline | "ReadRequests" >> ReadRequests(settings.files, settings.spec.to_json(), allowed, output)
    requests = read["requests"] | "Deduplicate" >> Deduplicate()
    loaded = requests | "LoadSeries" >> LoadSeries(limits, output)
    forecasts = loaded["blocks"] | "Forecast" >> Forecast(limits, output)
    written = forecasts | "WriteForecasts" >> WriteForecasts(output)

    outcomes = (written, loaded["unreadable"]) | "AllOutcomes" >> beam.Flatten().with_output_types(Outcome)
    read["bad"] | "WriteStrayDeadLetters" >> WriteStrayDeadLetters(output)
    return outcomes | "WriteDeadLetters" >> WriteDeadLetters(output) | "WriteReceipts" >> WriteReceipts(output)
