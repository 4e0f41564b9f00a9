"""LoadRows: forecasts that wait as Parquet parts to the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam

from pipeline.core.outputs.outcomes import Outcome
from pipeline.destination import Destination
from pipeline.places import open_output


@dataclass
class LoadRows(beam.PTransform):
    """Loads rows that were not streamed; in a batch run, all rows in as few jobs as possible; none without a dataset.

    Input and output: Outcome.

    Attributes:
        destination: where the parts are, and the dataset.
    """

    destination: Destination

    def expand(self, outcomes: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        if not self.destination.dataset:
            return outcomes
        if not self.destination.batch:
            return outcomes | "LoadOne" >> beam.ParDo(_LoadOne(self.destination)).with_output_types(Outcome)
        return (
            outcomes
            | "AllTogether" >> beam.Map(lambda outcome: ("", outcome)).with_output_types(tuple[str, Outcome])
            | "GatherOutcomes" >> beam.GroupByKey()
            | "LoadAll" >> beam.ParDo(_LoadAll(self.destination)).with_output_types(Outcome)
            # later steps can be retried without the jobs
            | "AfterLoading" >> beam.Reshuffle().with_output_types(Outcome)
        )


class _LoadOne(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def process(self, outcome: Outcome) -> Iterator[Outcome]:
        yield from open_output(self._destination).load_rows([outcome])


class _LoadAll(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def process(self, element: tuple[str, Iterable[Outcome]]) -> Iterator[Outcome]:
        # in one order, so that a retry names the same jobs
        outcomes = sorted(element[1], key=lambda outcome: outcome.request.key)
        yield from open_output(self._destination).load_rows(outcomes)
