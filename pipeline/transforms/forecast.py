"""Forecast: blocks of series to blocks of forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.blocks import ForecastBlock, SeriesBlock
from pipeline.core.limits import Limits
from pipeline.core.process_request import forecast
from pipeline.destination import Destination
from pipeline.metrics import NAMESPACE, milliseconds
from pipeline.places import open_output


@dataclass
class Forecast(beam.PTransform):
    """Forecasts each block with the engine that its request names.

    Input: SeriesBlock. Output: ForecastBlock, in which each series has a forecast or a fault.

    Attributes:
        limits: the operator's limits.
        destination: where the forecasts go.
    """

    limits: Limits
    destination: Destination

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        fit = beam.ParDo(_FitAndForecast(self.limits, self.destination)).with_output_types(ForecastBlock)
        return blocks | "FitAndForecast" >> fit


class _FitAndForecast(beam.DoFn):
    def __init__(self, limits: Limits, destination: Destination) -> None:
        self._limits, self._destination = limits, destination
        self._seconds = Metrics.distribution(NAMESPACE, "fit_milliseconds")

    def process(self, block: SeriesBlock) -> Iterator[ForecastBlock]:
        forecasts = forecast(block, self._limits, open_output(self._destination))
        self._seconds.update(milliseconds(forecasts.fit_seconds))
        yield forecasts
