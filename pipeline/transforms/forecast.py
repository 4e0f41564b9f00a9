"""Forecast: blocks of series to blocks of forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.limits import Limits
from pipeline.core.output_folder import OutputFolder
from pipeline.core.process_request import forecast
from pipeline.elements import ForecastBlock, SeriesBlock
from pipeline.metrics import NAMESPACE, milliseconds


@dataclass
class Forecast(beam.PTransform):
    """Forecasts each block with the engine that its request names.

    Input: SeriesBlock. Output: ForecastBlock, in which each series has a forecast or a fault.

    Attributes:
        limits: what a series may cost.
        output: folder of the forecasts, below which large files have their work files.
    """

    limits: Limits
    output: str

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        fit = beam.ParDo(_FitAndForecast(self.limits, self.output)).with_output_types(ForecastBlock)
        return blocks | "FitAndForecast" >> fit


class _FitAndForecast(beam.DoFn):
    def __init__(self, limits: Limits, output: str) -> None:
        self._limits, self._output = limits, output
        self._seconds = Metrics.distribution(NAMESPACE, "fit_milliseconds")

    def process(self, block: SeriesBlock) -> Iterator[ForecastBlock]:
        forecasts = forecast(block, self._limits, OutputFolder(Path(self._output)))
        self._seconds.update(milliseconds(forecasts.fit_seconds))
        yield forecasts
