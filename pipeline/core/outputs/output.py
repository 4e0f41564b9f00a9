"""Where forecasts go: what a folder and a bucket have in common."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.outputs.outcomes import Outcome, WrittenPart, WrittenRequest
from pipeline.core.sources import Source


class WorkFiles(Protocol):
    """The work files of one reading of a large request; gone once its receipt is written."""

    @property
    def folder(self) -> Path:
        """The local folder into which a worker writes them."""
        ...

    def share(self) -> None:
        """Put them where other workers find them."""
        ...

    def discard(self) -> None:
        """Remove what this worker has of the work files of a request that cannot be read."""
        ...

    def open(self, name: str) -> AbstractContextManager[Path]:
        """Return a local copy of one, for reading."""
        ...


class Output(Protocol):
    """A place for forecasts, tables and the ledger. Whatever is written twice is there once."""

    @property
    def history(self) -> bool:
        """Whether the values from which forecasts are made are written too."""
        ...

    def open_source(self, request: Request) -> AbstractContextManager[Source]:
        """Open a request's CSV.

        Raises:
            RecordError: if it is gone or forbidden.
            SupersededError: if a newer version has taken its place.
        """
        ...

    def refuse_taken_output(self, request: Request) -> None:
        """Refuse a request whose forecast would overwrite something that is no forecast of its source.

        Raises:
            RecordError: OUTPUT_TAKEN.
            SupersededError: if the forecast of a newer version is there.
            DoneError: if the request is done already.
        """
        ...

    def begin(self, request: Request, step: str) -> bool:
        """Leave a marker that a step of a request is being done; return False if one was there already.

        One that was left behind makes the request suspect of having ended its process: no more, since that may have
        been killed, or a neighbour in it may have been the cause.
        """
        ...

    def end(self, request: Request, step: str) -> None:
        """Remove the marker of a step."""
        ...

    def keep_traceback(self, error_id: str, text: str) -> str:
        """Keep the traceback of our own fault under its id; return where, or "" if only the log has it."""
        ...

    def new_reading(self) -> str:
        """Return what tells a reading of a file from others, whose work files it must not touch."""
        ...

    def work_files(self, request: Request, reading: str) -> WorkFiles:
        """Return the work files of one reading of a request."""
        ...

    def write_block(self, block: ForecastBlock) -> WrittenPart | Outcome:
        """Write one block's rows, and the CSV if the block is the request's only one.

        While the request has no receipt, what an earlier try wrote of a part stands, rows and faults, whatever this
        one found: memory or time may have decided otherwise.
        """
        ...

    def publish(self, written: WrittenRequest) -> Outcome:
        """Put the CSV of a request of several parts in its place, once all are written."""
        ...

    def load_rows(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Load the rows of requests that wait, all at once; return their outcomes, failures if they were refused."""
        ...

    def write_dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        """Write a request's dead letters, or remove those of an earlier run of it that failed; return them."""
        ...

    def dead_letters(self, request_key: str) -> list[DeadLetter]:
        """Return the dead letters of a request."""
        ...

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request."""
        ...

    def remove_stray_dead_letter(self, source: str) -> None:
        """Remove the dead letter of a manifest that has been fixed."""
        ...

    def write_receipt(self, outcome: Outcome) -> Receipt:
        """Write the receipt, which ends a request, and remove its work files."""
        ...

    def for_us_alone(self) -> AbstractContextManager[None]:
        """Keep other runs on this machine from writing here meanwhile, where that could do harm.

        Raises:
            BusyError: if another run writes here.
        """
        ...

    def standing_receipt(self, request: Request) -> Receipt | None:
        """Return the receipt of a request that is done, and need not be done again; else None."""
        ...

    def write_problem_note(self, output: str, text: str) -> None:
        """Write a note beside the forecast of a file with problems, or remove it if there is no text."""
        ...
