"""ReadRanges: ranges of large files, read by several workers, to blocks of series."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core.blocks import SeriesBlock
from pipeline.core.errors import DoneError
from pipeline.core.file_ranges import FileRange, RangedFile
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import FailedRequest, Outcome
from pipeline.core.outputs.output import Output
from pipeline.core.process_ranges import Step, blocks_of, number_series, read_one, sort_one
from pipeline.destination import Destination
from pipeline.metrics import NAMESPACE, count_failure
from pipeline.places import open_output
from pipeline.transforms.gather import gather, keyed

UNREADABLE, RANGES = "unreadable", "ranges"
ToBlocks = Callable[[RangedFile, Limits, Output], Iterator[SeriesBlock | FileRange | Outcome]]


@dataclass
class ReadRanges(beam.PTransform):
    """Reads ranges of files, each by any worker; sorts the rows of those in which series come in another order.

    Input: FileRange. Outputs, two collections of each: `blocks` (SeriesBlock), `unreadable` (Outcome).

    Attributes:
        limits: the operator's limits.
        destination: where the forecasts go.
    """

    limits: Limits
    destination: Destination

    def expand(self, ranges: beam.PCollection) -> dict[str, tuple[beam.PCollection, ...]]:
        """Apply the transform."""
        numbered = self._each(ranges, "ReadRange", read_one) | "NumberSeries" >> beam.ParDo(
            _ToBlocks(self.limits, self.destination, number_series)
        ).with_output_types(SeriesBlock, unreadable=Outcome, ranges=FileRange).with_outputs(
            UNREADABLE, RANGES, main="blocks"
        )
        listed = self._each(numbered[RANGES], "SortRange", sort_one) | "ListBlocks" >> beam.ParDo(
            _ToBlocks(self.limits, self.destination, blocks_of)
        ).with_output_types(SeriesBlock, unreadable=Outcome).with_outputs(UNREADABLE, main="blocks")
        return {name: (numbered[name], listed[name]) for name in ("blocks", UNREADABLE)}

    def _each(self, ranges: beam.PCollection, name: str, step: Step) -> beam.PCollection:
        """Do something to each range; return the files of which it is done to all."""
        return (
            ranges
            | f"{name}/Spread" >> beam.Reshuffle().with_output_types(FileRange)
            | name >> beam.ParDo(_Each(self.limits, self.destination, step)).with_output_types(FileRange)
            | f"{name}/KeyByRequest" >> beam.Map(keyed).with_output_types(tuple[str, FileRange])
            | f"{name}/Gather" >> beam.ParDo(gather(self.destination.batch)).with_output_types(RangedFile)
        )


class _Each(beam.DoFn):
    def __init__(self, limits: Limits, destination: Destination, step: Step) -> None:
        self._limits, self._destination, self._step = limits, destination, step

    def process(self, own: FileRange) -> Iterator[FileRange]:
        self._step(own, self._limits, open_output(self._destination))
        yield own


class _ToBlocks(beam.DoFn):
    def __init__(self, limits: Limits, destination: Destination, step: ToBlocks) -> None:
        self._limits, self._destination, self._step = limits, destination, step

    def process(self, file: RangedFile) -> Iterator[SeriesBlock | beam.pvalue.TaggedOutput]:
        yield from divided(self._step(file, self._limits, open_output(self._destination)))


def divided(
    steps: Iterator[SeriesBlock | FileRange | Outcome],
) -> Generator[SeriesBlock | beam.pvalue.TaggedOutput, None, bool]:
    """Yield blocks, and outcomes and ranges by their tags; count files; return whether a file was read as a whole."""
    whole = True
    try:
        for step in steps:
            if isinstance(step, SeriesBlock):
                yield step
                continue
            whole = False
            if isinstance(step, FailedRequest):
                count_failure(step.letter.code)
            yield beam.pvalue.TaggedOutput(RANGES if isinstance(step, FileRange) else UNREADABLE, step)
    except DoneError:
        Metrics.counter(NAMESPACE, "done_before").inc()
        return False
    if whole:
        Metrics.counter(NAMESPACE, "files_read").inc()
    return whole
