"""The place that forecasts are written to: the interface of folders and buckets."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import Outcome, WrittenPart, WrittenRequest
from pipeline.core.sources import Source


class WorkFiles(Protocol):
    """The work files of one reading of a large request; removed once its receipt is written."""

    @property
    def folder(self) -> Path:
        """The local folder that a worker writes them into."""
        ...

    def share(self) -> None:
        """Make them available to other workers."""
        ...

    def discard(self) -> None:
        """Remove this worker's copies for a request that cannot be read."""
        ...

    def open(self, name: str) -> AbstractContextManager[Path]:
        """Return a local copy of one, for reading."""
        ...

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Make one that other workers see at once, and see whole.

        Args:
            name: of the file.
            write: writes it to a local path.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content of one; None if there is none: all are removed once a request is done."""
        ...

    def read_parts(self, parts: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Return parts of several, each given by the name of a file, its first byte, and the number of bytes."""
        ...

    def remove_ranges(self) -> None:
        """Remove what was found in ranges of the file, since it is read as a whole after all."""
        ...


class Output(Protocol):
    """A place for forecasts, tables and the ledger. Writes are idempotent."""

    @property
    def history(self) -> bool:
        """Whether the input values are written too."""
        ...

    def open_source(self, request: Request, limits: Limits) -> AbstractContextManager[Source]:
        """Open what a request reads.

        Args:
            request: the request.
            limits: of a file.

        Raises:
            RecordError: if it is gone or forbidden.
            SupersededError: if a newer version has replaced it.
        """
        ...

    def refuse_taken_output(self, request: Request) -> None:
        """Refuse a request whose forecast would overwrite something that is not a forecast of its source.

        Raises:
            RecordError: OUTPUT_TAKEN.
            SupersededError: if the forecast of a newer version exists.
            DoneError: if the request is done already.
        """
        ...

    def begin(self, request: Request, step: str) -> bool:
        """Leave a marker while a step of a request runs; return False if there was one already.

        A marker that was left behind makes the request suspect of having killed its process, but is no proof: the
        process may have been killed, or other work in it may have been the cause.
        """
        ...

    def end(self, request: Request, step: str) -> None:
        """Remove the marker of a step."""
        ...

    def keep_traceback(self, error_id: str, text: str) -> str:
        """Store the traceback of an internal error under its id; return where, or "" if only the log has it."""
        ...

    def new_reading(self) -> str:
        """Return an id for a reading of a file, which must not touch the work files of other readings."""
        ...

    def work_files(self, request: Request, reading: str) -> WorkFiles:
        """Return the work files of one reading of a request."""
        ...

    def write_block(self, block: ForecastBlock) -> WrittenPart | Outcome:
        """Write one block's rows, and the CSV if the block is the request's only one.

        While the request has no receipt, the rows and errors that an earlier attempt wrote for a part are kept,
        whatever this attempt found: the two may differ for lack of memory or time.
        """
        ...

    def publish(self, written: WrittenRequest) -> Outcome:
        """Publish the CSV of a request with several parts, once all parts are written."""
        ...

    def load_rows(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Load the waiting rows of requests, all at once; return their outcomes, which are failures if refused."""
        ...

    def write_dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        """Write a request's dead letters, or remove those of an earlier failed run; return them."""
        ...

    def dead_letters(self, request_key: str) -> list[DeadLetter]:
        """Return the dead letters of a request."""
        ...

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request."""
        ...

    def has_stray_dead_letter(self, letter: DeadLetter) -> bool:
        """Return whether that dead letter of something that never became a request exists already."""
        ...

    def remove_stray_dead_letter(self, source: str) -> None:
        """Remove the dead letter of a manifest that has been fixed."""
        ...

    def write_receipt(self, outcome: Outcome) -> Receipt:
        """Write the receipt, which completes a request, and remove its work files."""
        ...

    def clear_work_of(self, finished: Set[str]) -> None:
        """Remove what runs that died have left of requests that are done.

        Args:
            finished: keys of these requests.
        """
        ...

    def for_us_alone(self) -> AbstractContextManager[None]:
        """Keep other runs on this machine from writing here in the meantime, if that could do harm.

        Raises:
            BusyError: if another run writes here.
        """
        ...

    def standing_receipt(self, request: Request) -> Receipt | None:
        """Return the receipt of a request that is done and need not be repeated; otherwise None."""
        ...

    def write_problem_note(self, output: str, text: str) -> None:
        """Write a note beside the forecast of a file with problems, or remove it if there is no text."""
        ...


def is_settled(asked: Request | DeadLetter, output: Output) -> bool:
    """Return whether an output's ledger has what became of a request, or the dead letter of what is none."""
    if isinstance(asked, DeadLetter):
        return output.has_stray_dead_letter(asked)
    return output.standing_receipt(asked) is not None
