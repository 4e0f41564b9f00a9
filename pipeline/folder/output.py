"""A folder as the place for forecasts: CSVs under their inputs' names, tables and the ledger under _dropcast/.

Files are written completely and then renamed into place. Names derive from the request, so that running again
completes a run that was killed. The receipt comes last: only it marks a request as done.
"""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.errors import RecordError
from pipeline.core.io_faults import place
from pipeline.core.limits import Limits
from pipeline.core.local_inputs.open_input import open_input
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows, forecast_header
from pipeline.core.outputs.outcomes import (
    BlockSummary,
    FailedRequest,
    Outcome,
    WrittenPart,
    WrittenRequest,
    block_summary,
    cut_of,
)
from pipeline.core.outputs.receipts import has_forecast, letters_of, receipt_of
from pipeline.core.outputs.tables import ROWS_OF_BLOCKS, rows_of_block
from pipeline.core.requests.names import INTERNAL, real_path, receipts_place
from pipeline.core.sources import Source
from pipeline.folder.dead_letters import STRAY, FolderDeadLetters, stray_name
from pipeline.folder.lock import lock
from pipeline.folder.problem_notes import write_note
from pipeline.folder.receipts import FolderReceipts
from pipeline.folder.run_notes import RunNotes
from pipeline.folder.whole_files import WholeFiles
from pipeline.folder.work_files import FolderWorkFiles

MARKERS = "markers"  # in the folder of work files


@place(OSError)
class FolderOutput:
    """Writes forecasts, dead letters and receipts below a folder.

    Args:
        root: the folder; created on the first write.
        history: whether to also write the input values.
        run: id of this run, if it is to record what it has done; see `done_in_run`.
    """

    def __init__(self, root: Path, history: bool = False, run: str = "") -> None:
        self.root = root
        self.history = history
        self._internal = root / INTERNAL
        self._work = self._internal / "work"
        self._files = WholeFiles(self._work)
        self._receipts = FolderReceipts(self._internal / "receipts", self._files)
        self._letters = FolderDeadLetters(self._internal / "dead_letters", self._files)
        self._notes = RunNotes(self._work, run)

    # ------------------------------------------------------------------------------------- sources

    @contextmanager
    def open_source(self, request: Request, limits: Limits) -> Iterator[Source]:
        """Open what a request reads; see output.Output."""
        with open_input(Path(request.source), limits) as source:
            yield source

    def refuse_taken_output(self, request: Request) -> None:
        """Refuse a request whose forecast would overwrite something that is not a forecast, such as its own source.

        Raises:
            RecordError: OUTPUT_TAKEN.
        """
        target = self.root / request.output
        hint = "Choose another --output, or another output in the manifest."
        above = [folder for folder in target.parents if folder != self.root and folder.is_relative_to(self.root)]
        in_the_way = next((folder for folder in above if os.path.isfile(folder)), None)  # noqa: PTH113
        if in_the_way is not None:
            name = in_the_way.relative_to(self.root).as_posix()
            raise RecordError("OUTPUT_TAKEN", f"The forecast would be below {name!r}, which is a file.", hint)
        if os.path.isdir(target):  # noqa: PTH112 - False for a name that is too long
            raise RecordError("OUTPUT_TAKEN", f"The forecast would overwrite the folder {request.output!r}.", hint)
        owner = self._owner_of(request)
        if owner:
            raise RecordError("OUTPUT_TAKEN", f"{request.output!r} is the forecast of {owner}.", hint)
        exists = os.path.isfile(target)  # noqa: PTH113
        if real_path(target) != real_path(Path(request.source)) and (not exists or forecast_header(target) is not None):
            return
        raise RecordError(
            "OUTPUT_TAKEN", f"The forecast would overwrite {request.output!r}, which is not a forecast.", hint
        )

    def _owner_of(self, request: Request) -> str:
        """Return another existing source whose forecast has the same name, if this source has no receipt yet; or ""."""
        if self._receipts.path(request).parent.is_dir() or not (self.root / request.output).is_file():
            return ""
        for _, row in self._receipts.all(["source", "output", "status"]):
            same = row["output"] == request.output and row["status"] in ("complete", "partial")
            if same and os.path.exists(row["source"]):  # noqa: PTH110 - False for a name that is too long
                return str(row["source"])
        return ""

    # ------------------------------------------------------------------------------ while it is done

    def begin(self, request: Request, step: str) -> bool:
        """Leave a marker that a step of a request is being done; see output.Output."""
        marker = self._marker(request, step)
        for _ in range(2):
            try:
                marker.touch(exist_ok=False)
            except FileExistsError:
                return False
            except FileNotFoundError:
                marker.parent.mkdir(parents=True, exist_ok=True)
                continue
            return True
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(marker.parent))

    def end(self, request: Request, step: str) -> None:
        """Remove the marker of a step."""
        self._marker(request, step).unlink(missing_ok=True)

    def _marker(self, request: Request, step: str) -> Path:
        return self._work / MARKERS / f"{request.key}-{step}"

    def keep_traceback(self, error_id: str, text: str) -> str:
        """Store the traceback of an internal error; see output.Output."""
        path = self._internal / "errors" / f"{error_id}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, errors="backslashreplace")
        return str(path)

    def new_reading(self) -> str:
        """Return "": simultaneous runs need separate folders."""
        return ""

    def work_files(self, request: Request, reading: str = "") -> FolderWorkFiles:
        """Return the work files of a request."""
        return FolderWorkFiles(self._work / request.key)

    # -------------------------------------------------------------------------------------- one run

    def done_in_run(self) -> tuple[list[Receipt], list[DeadLetter]]:
        """Return the receipts of the requests that this run has done, without superseded ones, and all letters."""
        receipts: list[Receipt] = []
        letters: list[DeadLetter] = []
        for name in self._notes.names():
            if name.startswith(STRAY):
                letters += self._letters.read(name)
                continue
            place, _, key = name.partition("-")
            receipt = self._receipts.read_noted(place, key)
            if receipt is not None and receipt.status != "superseded":
                receipts.append(receipt)
                letters += self._letters.read(key)
        return receipts, letters

    def forget_runs(self) -> None:
        """Remove the notes of all runs; the caller must hold the lock."""
        self._notes.forget_all()

    def for_us_alone(self) -> AbstractContextManager[None]:
        """Keep others from writing here meanwhile; see lock."""
        return lock(self.root)

    def clear_work_of(self, finished: Set[str]) -> None:
        """Do nothing: whoever holds the lock removes all leftovers; see clear_unfinished."""

    def clear_markers(self) -> None:
        """Remove the markers of interrupted steps; the caller must hold the lock and have finished everything."""
        for marker in (self._work / MARKERS).glob("*"):
            marker.unlink(missing_ok=True)

    def clear_unfinished(self) -> None:
        """Remove leftovers of killed runs, including rows without a receipt; the caller must hold the lock."""
        done = self._receipts.keys()
        for left in self._work.glob("*"):
            if left.name != MARKERS:  # these show what was being done when a run died
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        for marker in (self._work / MARKERS).glob("*"):
            if marker.name.partition("-")[0] in done:
                marker.unlink(missing_ok=True)
        for table in ROWS_OF_BLOCKS:
            for part in (self._internal / table).glob("*.parquet"):
                if part.stem.rpartition("-")[0] not in done:
                    part.unlink()

    # ------------------------------------------------------------------------------------ forecasts

    def write_block(self, block: ForecastBlock) -> WrittenPart | Outcome:
        """Write one block's rows to the table, and to the CSV if the block is the only one; see output.Output."""
        request, work = block.request, self.work_files(block.request)
        part = WrittenPart(request, block.part, block.parts)
        if block.parts > 1 and not self._receipts.path(request).exists() and work.has_part(block.part, cut_of(block)):
            return part
        # everything that may raise an internal error comes before anything is written
        rows = rows_of_block(block, self.history)
        summary = block_summary(block, rows["forecasts"].num_rows)
        header = b"" if block.part else csv_header(block.layout, request.parsed_spec)
        csv = header + csv_rows(block.batch, block.layout, request.parsed_spec)
        # an earlier run's rows stay until it is known that some series has a forecast now
        if summary.rows or not self._receipts.tells_of_forecast(request):
            for table, own in rows.items():
                self._files.write_parquet(self._part_of_table(request, block.part, table), own)
        if block.parts > 1:
            work.write_part(block.part, csv, summary)
            return part
        if has_forecast([summary]):
            self._write_csv(request, [csv])
            self._remove_earlier_rows(request, [summary])
        return WrittenRequest(request, 1, summary=summary)

    def publish(self, written: WrittenRequest) -> Outcome:
        """Publish the CSV of a request with several parts, once all parts are written."""
        if written.summary is None and not self._done_before(written):
            work, summaries = self.work_files(written.request), self._summaries(written)
            if has_forecast(summaries):
                self._write_csv(written.request, (work.csv(part) for part in range(written.parts)))
                self._remove_earlier_rows(written.request, summaries)
        return written

    def _write_csv(self, request: Request, parts: Iterable[bytes]) -> None:
        with (
            self._files.draft(self.root / request.output, f"{request.key}.csv") as draft,
            draft.open("wb") as raw,
            _compressed(raw, request.output) as file,
        ):
            file.writelines(parts)

    def _remove_earlier_rows(self, request: Request, summaries: Sequence[BlockSummary]) -> None:
        """Remove the rows of an earlier run under other limits: of blocks that have none now or are no longer there."""
        empty = [number for number, summary in enumerate(summaries) if not summary.rows]
        for number in empty:
            self._remove_part_of_table(request, number)
        for number in itertools.count(len(summaries)):
            if not self._remove_part_of_table(request, number):
                return

    def _remove_part_of_table(self, request: Request, number: int) -> bool:
        """Remove a part's rows; return whether there were any."""
        part = self._part_of_table(request, number)
        was_there = part.exists()
        for table in ROWS_OF_BLOCKS:
            self._part_of_table(request, number, table).unlink(missing_ok=True)
        return was_there

    def _part_of_table(self, request: Request, part: int, table: str = "forecasts") -> Path:
        return self._internal / table / f"{request.key}-{part:06d}.parquet"

    def load_rows(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Do nothing: the parts are the table."""
        return outcomes

    # --------------------------------------------------------------------------------- dead letters

    def write_dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        """Write a request's dead letters, or remove those of an earlier failed run; return them."""
        key = outcome.request.key
        if self._done_before(outcome):
            return self._letters.read(key)
        letters = letters_of(outcome, self._summaries(outcome))
        if letters and letters[0].scope == "file" and self._receipts.tells_of_forecast(outcome.request):
            # an earlier run's forecast stays, and with it what is wrong with some of its series
            letters = [letters[0], *(letter for letter in self._letters.read(key) if letter.scope == "series")]
        self._letters.write(key, letters)
        return letters

    def dead_letters(self, request_key: str) -> list[DeadLetter]:
        """Return the dead letters of a request."""
        return self._letters.read(request_key)

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request, such as a bad manifest."""
        self._letters.write(stray_name(letter.source), [letter])
        self._notes.add(stray_name(letter.source))

    def remove_stray_dead_letter(self, source: str) -> None:
        """Remove the dead letter of a manifest that has been fixed."""
        self._letters.remove(stray_name(source))

    def has_stray_dead_letter(self, letter: DeadLetter) -> bool:
        """Return whether that dead letter of something that never became a request exists already."""
        known = self.stray_dead_letter(letter.source)
        return known is not None and (known.version, known.message) == (letter.version, letter.message)

    def stray_dead_letter(self, source: str) -> DeadLetter | None:
        """Return the dead letter of something that never became a request."""
        return next(iter(self._letters.read(stray_name(source))), None)

    # ------------------------------------------------------------------------------------- receipts

    def write_receipt(self, outcome: Outcome) -> Receipt:
        """Write the receipt, which completes a request, and remove its work files."""
        request = outcome.request
        self._notes.add(f"{receipts_place(request.source, request.output)}-{request.key}")
        if self._done_before(outcome):
            done = self._receipts.read(request)
            assert done is not None
            return done
        summaries = self._summaries(outcome)
        receipt = receipt_of(outcome, summaries, letters_of(outcome, summaries))
        self._receipts.write(request, receipt)
        self.work_files(request).remove()
        return receipt

    def _summaries(self, outcome: Outcome) -> list[BlockSummary]:
        """Return the summaries of a request's blocks; none if it failed as a whole.

        Raises:
            FileNotFoundError: if a part's summary is missing.
        """
        written = outcome.written
        if written is None or isinstance(outcome, FailedRequest):
            return []
        if written.summary is not None:
            return [written.summary]
        work = self.work_files(outcome.request)
        found = [work.summary(part) for part in range(written.parts)]
        summaries = [summary for summary in found if summary is not None]
        if len(summaries) < written.parts:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(work.folder))
        return summaries

    def _done_before(self, outcome: Outcome) -> bool:
        """Return whether the receipt is written and the work files, of which it was made, are gone.

        A runner may repeat any step after the last one.
        """
        written, request = outcome.written, outcome.request
        made_of_work_files = written is not None and written.summary is None
        return made_of_work_files and not self.work_files(request).exists() and self._receipts.path(request).exists()

    def standing_receipt(self, request: Request) -> Receipt | None:
        """Return the receipt of a request that is done and whose forecast is in place; otherwise None."""
        receipt = self._receipts.standing(request)
        if receipt is not None and receipt.status != "failed" and not (self.root / request.output).is_file():
            return None
        return receipt

    def write_problem_note(self, output: str, text: str) -> None:
        """Write a note beside the forecast of a file with problems, or remove it; see output.Output."""
        write_note(self.root / output, text)


def _compressed(raw: IO[bytes], name: str) -> AbstractContextManager[Any]:
    """Return the file to write to; gzip, without a name or time inside, if the name ends in .gz."""
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if name.endswith(".gz") else nullcontext(raw)
