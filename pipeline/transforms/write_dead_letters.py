"""WriteDeadLetters: what could not be forecast, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam

from pipeline.core.output_folder import OutputFolder
from pipeline.elements import DeadLetter, Outcome
from pipeline.metrics import count_failure


@dataclass
class WriteDeadLetters(beam.PTransform):
    """Writes the dead letters of each request, before its receipt.

    Input and output: Outcome.

    Attributes:
        output: folder of the forecasts.
    """

    output: str

    def expand(self, outcomes: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        write = beam.ParDo(_WriteLetters(self.output)).with_output_types(Outcome)
        return outcomes | "WriteLetters" >> write


@dataclass
class WriteStrayDeadLetters(beam.PTransform):
    """Writes the dead letters of what never became a request.

    Input and output: DeadLetter.

    Attributes:
        output: folder of the forecasts.
    """

    output: str

    def expand(self, letters: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        return letters | "WriteStrayLetters" >> beam.ParDo(_WriteStray(self.output)).with_output_types(DeadLetter)


class _WriteLetters(beam.DoFn):
    def __init__(self, output: str) -> None:
        self._output = output

    def process(self, outcome: Outcome) -> Iterator[Outcome]:
        folder = OutputFolder(Path(self._output))
        result = folder.write_dead_letters(outcome)
        if not outcome.failure:
            for letter in folder.dead_letters(outcome.request.key):
                count_failure(letter.code)
        yield result


class _WriteStray(beam.DoFn):
    def __init__(self, output: str) -> None:
        self._output = output

    def process(self, letter: DeadLetter) -> Iterator[DeadLetter]:
        OutputFolder(Path(self._output)).write_stray_dead_letter(letter)
        yield letter
