"""WriteDeadLetters: what could not be forecast, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from pipeline.core.elements import DeadLetter
from pipeline.core.outputs.outcomes import FailedRequest, Outcome
from pipeline.core.process_request import write_dead_letters
from pipeline.destination import Destination
from pipeline.metrics import count_failure
from pipeline.places import open_output

_log = logging.getLogger(__name__)


@dataclass
class WriteDeadLetters(beam.PTransform):
    """Writes the dead letters of each request, before its receipt.

    Input and output: Outcome.

    Attributes:
        destination: where the forecasts go.
    """

    destination: Destination

    def expand(self, outcomes: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        write = beam.ParDo(_WriteLetters(self.destination)).with_output_types(Outcome)
        return outcomes | "WriteLetters" >> write


@dataclass
class WriteStrayDeadLetters(beam.PTransform):
    """Writes the dead letters of what never became a request.

    Input and output: DeadLetter.

    Attributes:
        destination: where the forecasts go.
    """

    destination: Destination

    def expand(self, letters: beam.PCollection) -> beam.PCollection:
        """Apply the transform."""
        return letters | "WriteStrayLetters" >> beam.ParDo(_WriteStray(self.destination)).with_output_types(DeadLetter)


class _WriteLetters(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def process(self, outcome: Outcome) -> Iterator[Outcome]:
        counted = isinstance(outcome, FailedRequest) and outcome.written is None  # where its file could not be read
        lettered, letters = write_dead_letters(outcome, open_output(self._destination))
        for letter in letters if not counted else ():
            count_failure(letter.code)
        yield lettered


class _WriteStray(beam.DoFn):
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def process(self, letter: DeadLetter) -> Iterator[DeadLetter]:
        open_output(self._destination).write_stray_dead_letter(letter)
        _log.info("failed %s", letter.source or "message", extra={"code": letter.code})
        yield letter
