"""A folder as the place for forecasts: CSVs under their inputs' names, tables and the ledger under _dropcast/.

Every file appears whole, by a rename from the request's work folder. Names derive from the request, so that a
run that was killed is completed by running it again. The receipt comes last: it alone says that a request is done.
"""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pipeline.core.elements import DeadLetter, ForecastBlock, Outcome, Receipt, Request
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.io_faults import io, place
from pipeline.core.ndjson import from_ndjson, to_ndjson
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows, forecast_header
from pipeline.core.outputs.outcomes import block_summary, cut_of, letters_of, receipt_of
from pipeline.core.outputs.tables import element_rows, forecast_rows, history_rows
from pipeline.core.requests.names import INTERNAL, real_path, receipts_place
from pipeline.core.series.layout import Layout
from pipeline.core.sources import HashingReader, open_source

MARKERS = "markers"  # folder below that of the work files
_STRAY = "message-"  # begins the name of what never became a request


class BusyError(Exception):
    """Another process writes to the same folder."""


@place(OSError)
class OutputFolder:
    """Writes forecasts, dead letters and receipts below a folder.

    Args:
        root: the folder; it is made when something is written.
        history: whether to write the values from which forecasts are made.
        run: what tells this run from others, if it is to note what it has done; see `done_in_run`.
    """

    def __init__(self, root: Path, history: bool = False, run: str = "") -> None:
        self.root = root
        self.history = history
        self._internal = root / INTERNAL
        self._run = self._internal / "work" / f"run-{run}" if run else None

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
        return self._internal / "work" / MARKERS / f"{request.key}-{step}"

    def keep_traceback(self, error_id: str, text: str) -> str:
        """Keep the traceback of our own fault; see output.Output."""
        path = self._internal / "errors" / f"{error_id}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, errors="backslashreplace")
        return str(path)

    # -------------------------------------------------------------------------------------- one run

    def _note_done(self, name: str) -> None:
        """Note that this run has written the receipt or the dead letters of this name."""
        if self._run is not None:
            self._run.mkdir(parents=True, exist_ok=True)
            (self._run / name).touch()

    def done_in_run(self) -> tuple[list[Receipt], list[DeadLetter]]:
        """Return the receipts of the requests that this run has done, superseded ones left out, and all dead letters.

        What a run did is known from its own notes: clocks may be set back, and files have the times they are given.
        """
        receipts: list[Receipt] = []
        letters: list[DeadLetter] = []
        for note in sorted(self._run.iterdir()) if self._run is not None and self._run.is_dir() else ():
            if note.name.startswith(_STRAY):
                letters += self.dead_letters(note.name)
                continue
            place, _, key = note.name.partition("-")
            path = self._internal / "receipts" / place / f"{key}.parquet"
            receipt = self._read_receipt(path) if path.exists() else None
            if receipt is not None and receipt.status != "superseded":
                receipts.append(receipt)
                letters += self.dead_letters(key)
        return receipts, letters

    def forget_runs(self) -> None:
        """Remove the notes of all runs; for whoever is alone here."""
        for notes in (self._internal / "work").glob("run-*"):
            shutil.rmtree(notes, ignore_errors=True)

    def new_load(self) -> str:
        """Return "": two runs at the same time want two folders."""
        return ""

    def work(self, request: Request, load: str = "") -> Path:
        """Return the folder for the work files of a large request; it is gone once the receipt is written."""
        return self._internal / "work" / request.key

    def keep_work_files(self, request: Request, load: str) -> None:
        """Do nothing: the folder is there for all."""

    def discard_work_files(self, request: Request, load: str) -> None:
        """Do nothing: they are removed with the receipt."""

    @contextmanager
    def work_file(self, request: Request, load: str, name: str) -> Iterator[Path]:
        """Return a work file."""
        yield self.work(request) / name

    @contextmanager
    def open_source(self, request: Request) -> Iterator[HashingReader]:
        """Open a request's CSV; see output.Output."""
        with io(OSError):
            raw = open_source(Path(request.source))
        with raw:
            yield HashingReader(raw)

    def _whole(self, name: str) -> Path:
        """Return the path of a file that will be renamed into its place."""
        folder = self._internal / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.whole"

    def refuse_taken_output(self, request: Request) -> None:
        """Refuse a request whose forecast would overwrite something that is no forecast, such as its own source.

        Raises:
            RecordError: OUTPUT_TAKEN.
        """
        target = self.root / request.output
        hint = "Choose another --output, or another output in the manifest."
        above = [folder for folder in target.parents if folder != self.root and folder.is_relative_to(self.root)]
        in_the_way = next((folder for folder in above if os.path.isfile(folder)), None)  # noqa: PTH113
        if in_the_way is not None:
            name = in_the_way.relative_to(self.root).as_posix()
            raise RecordError("OUTPUT_TAKEN", f"The forecast would lie below {name!r}, which is a file.", hint)
        if os.path.isdir(target):  # noqa: PTH112 - False for a name that is too long
            raise RecordError("OUTPUT_TAKEN", f"The forecast would overwrite the folder {request.output!r}.", hint)
        owner = self._owner_of(request)
        if owner:
            raise RecordError("OUTPUT_TAKEN", f"{request.output!r} is the forecast of {owner}.", hint)
        exists = os.path.isfile(target)  # noqa: PTH113
        if real_path(target) != real_path(Path(request.source)) and (not exists or forecast_header(target) is not None):
            return
        raise RecordError(
            "OUTPUT_TAKEN", f"The forecast would overwrite {request.output!r}, which is no forecast.", hint
        )

    def _owner_of(self, request: Request) -> str:
        """Return the source, if it is still there, whose forecast lies where our first one would; or ""."""
        if self._receipt_path(request).parent.is_dir() or not (self.root / request.output).is_file():
            return ""
        columns = ["source", "output", "status"]
        for path in (self._internal / "receipts").glob("*/*.parquet"):
            try:
                row = pq.read_table(path, columns=columns).to_pylist()[0]
            except pa.ArrowInvalid:  # never reached the disk
                continue
            ours = row["output"] == request.output and row["status"] in ("complete", "partial")
            if ours and os.path.exists(row["source"]):  # noqa: PTH110 - False for a name that is too long
                return str(row["source"])
        return ""

    @contextmanager
    def for_us_alone(self) -> Iterator[None]:
        """Keep others from writing here meanwhile; a process that is killed gives the folder free.

        Raises:
            BusyError: if somebody else writes here.
        """
        lock = FileLock(self._internal / "lock", blocking=False)
        with io(OSError):
            self._internal.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:
                raise BusyError(f"another run of dropcast is writing to {self.root}") from None
        try:
            yield
        finally:
            for empty in (self._internal / "work" / MARKERS, self._internal / "work"):
                with suppress(OSError):
                    empty.rmdir()
            lock.release()

    def clear_unfinished(self) -> None:
        """Remove what killed runs left, rows of requests without a receipt among them; for whoever is alone here."""
        done = {path.stem for path in (self._internal / "receipts").glob("*/*.parquet")}
        for left in (self._internal / "work").glob("*"):
            if left.name != MARKERS:  # these tell what was being done when a run ended
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        for marker in (self._internal / "work" / MARKERS).glob("*"):
            if marker.name.partition("-")[0] in done:
                marker.unlink(missing_ok=True)
        for table in ("forecasts", "history"):
            for part in (self._internal / table).glob("*.parquet"):
                if part.stem.rpartition("-")[0] not in done:
                    part.unlink()

    # ------------------------------------------------------------------------------------ forecasts

    def write_block(self, block: ForecastBlock) -> Outcome:
        """Write one block's rows to the table and to the CSV, which is in its place if the block is the only one.

        Returns:
            The outcome of the request if the block is its only one, else that of one part of it, whose rows of the
            CSV, dead letters and counts wait among the work files until `publish`.
        """
        request = block.request
        layout, spec = Layout.from_json(block.layout), ForecastSpec.from_json(request.spec)
        work = self.work(request)
        told, body_of_part = work / f"part-{block.part:06d}.json", work / f"part-{block.part:06d}.csv"
        cut = cut_of(block)
        if block.parts > 1 and self._has_part(request, told, cut):
            return Outcome(request, block.parts, block.part)
        # all that may fail for a reason of our own comes before anything is written
        rows = forecast_rows(block, spec)
        past = history_rows(block) if self.history else None
        summary = block_summary(block, layout, spec, rows.num_rows)
        header = b"" if block.part else csv_header(layout, spec)
        body = header + csv_rows(block.batch, layout, spec)
        self._write_parquet(rows, self._part_of_table(request, block.part))
        if past is not None:
            self._write_parquet(past, self._part_of_table(request, block.part, "history"))
        if block.parts == 1:
            if summary["failed"] < summary["series"]:
                self._write_csv(request, [body])
            self._remove_parts_of_table(request, 1)
            return Outcome(request, 1, summary=json.dumps(summary))
        work.mkdir(parents=True, exist_ok=True)
        body_of_part.write_bytes(body)
        draft = told.with_suffix(".whole")
        draft.write_text(json.dumps({**summary, "cut": cut}))
        draft.replace(told)  # it comes last, and says that the part is there
        return Outcome(request, block.parts, block.part)

    def _has_part(self, request: Request, told: Path, cut: str) -> bool:
        """Return whether an earlier try has written a part of a request that has no receipt yet."""
        if self._receipt_path(request).exists() or not told.exists():
            return False
        return bool(json.loads(told.read_text()).get("cut") == cut)

    def publish(self, outcome: Outcome) -> Outcome:
        """Put the CSV of a request of several parts in its place, once all are written."""
        request, work = outcome.request, self.work(outcome.request)
        whole = dataclasses.replace(outcome, part=-1)
        if outcome.part < 0 or self._done_before(outcome):
            return whole
        if any(part["series"] > part["failed"] for part in self._summaries(outcome)):
            names = (work / f"part-{number:06d}.csv" for number in range(outcome.parts))
            self._write_csv(request, (name.read_bytes() for name in names))
        self._remove_parts_of_table(request, outcome.parts)
        return whole

    def _write_csv(self, request: Request, parts: Iterable[bytes]) -> None:
        composed = self._whole(f"{request.key}.csv")
        with composed.open("wb") as raw, _compressed(raw, request.output) as file:
            file.writelines(parts)
        target = self.root / request.output
        target.parent.mkdir(parents=True, exist_ok=True)
        composed.replace(target)

    def _remove_parts_of_table(self, request: Request, first: int) -> None:
        """Remove the parts of an earlier run of this request under other limits, which cut it into more."""
        for number in itertools.count(first):
            stale = self._part_of_table(request, number)
            if not stale.exists():
                return
            stale.unlink()
            self._part_of_table(request, number, "history").unlink(missing_ok=True)

    def _part_of_table(self, request: Request, part: int, table: str = "forecasts") -> Path:
        return self._internal / table / f"{request.key}-{part:06d}.parquet"

    # --------------------------------------------------------------------------------- dead letters

    def load_rows(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Do nothing: the parts are the table."""
        return outcomes

    def write_dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        """Write a request's dead letters, or remove those of an earlier run of it that failed; return them."""
        key = outcome.request.key
        if self._done_before(outcome):
            return self.dead_letters(key)
        letters = self._dead_letters(outcome)
        if letters:
            self._write_letters(key, letters)
        else:
            self._remove_letters(key)
        return letters

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request, such as a bad manifest."""
        self._write_letters(_stray_name(letter.source), [letter])

    def remove_stray_dead_letter(self, source: str) -> None:
        """Remove the dead letter of a manifest that has been fixed."""
        self._remove_letters(_stray_name(source))

    def _write_letters(self, name: str, letters: list[DeadLetter]) -> None:
        folder = self._internal / "dead_letters"
        self._write_parquet(element_rows("dead_letters", letters), folder / f"{name}.parquet")
        composed = self._whole(f"{name}.ndjson")
        composed.write_bytes(to_ndjson(letters))
        composed.replace(folder / f"{name}.ndjson")
        if name.startswith(_STRAY):
            self._note_done(name)

    def _remove_letters(self, name: str) -> None:
        for suffix in ("ndjson", "parquet", "replayed"):
            (self._internal / "dead_letters" / f"{name}.{suffix}").unlink(missing_ok=True)

    def dead_letters(self, request_key: str) -> list[DeadLetter]:
        """Return the dead letters of a request."""
        path = self._internal / "dead_letters" / f"{request_key}.ndjson"
        return from_ndjson(path.read_bytes()) if path.exists() else []

    def _dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        if outcome.failure:
            return [DeadLetter.from_json(outcome.failure)]
        return letters_of(outcome.request, list(self._summaries(outcome)))

    # ------------------------------------------------------------------------------------- receipts

    def write_receipt(self, outcome: Outcome) -> Receipt:
        """Write the receipt, which ends a request, and remove its work files."""
        request, work = outcome.request, self.work(outcome.request)
        self._note_done(f"{receipts_place(request.source, request.output)}-{request.key}")
        if self._done_before(outcome):
            return self._read_receipt(self._receipt_path(request))
        receipt = receipt_of(request, list(self._summaries(outcome)), self._dead_letters(outcome), outcome.superseded)
        # Locally, the current content always wins, even if an older file was put back.
        for path, other in self._receipts_of(request):
            if other["request_key"] != request.key and _outranks(other, request):
                superseded = element_rows("receipts", []).schema
                other["status"] = "superseded"
                self._write_parquet(pa.Table.from_pylist([other], schema=superseded), path)
        path = self._receipt_path(request)
        # The same request, done before and now refused (by a lower limit, say), takes nothing back.
        if receipt.status != "failed" or not path.exists() or self._read_receipt(path).status == "failed":
            self._write_parquet(element_rows("receipts", [receipt]), path)
        if work.exists():
            _remove(work)
        return receipt

    def _summaries(self, outcome: Outcome) -> Iterator[dict[str, Any]]:
        if outcome.summary:
            yield json.loads(outcome.summary)
            return
        for number in range(outcome.parts):
            yield json.loads((self.work(outcome.request) / f"part-{number:06d}.json").read_text())

    def _receipt_path(self, request: Request) -> Path:
        return self._internal / "receipts" / receipts_place(request.source, request.output) / f"{request.key}.parquet"

    def _done_before(self, outcome: Outcome) -> bool:
        """Return whether the receipt is written and the work files, of which it was made, are gone.

        A runner may repeat any step after the last one.
        """
        made_of_work_files = outcome.parts > 0 and not outcome.summary
        request = outcome.request
        return made_of_work_files and not self.work(request).exists() and self._receipt_path(request).exists()

    def standing(self, request: Request) -> Receipt | None:
        """Return the receipt of a request that is done and whose forecast is the one that lies here; else None."""
        path, receipts = self._receipt_path(request), self._receipts_of(request)
        ours = next((row for place, row in receipts if place == path), None)
        if ours is None or ours["status"] == "superseded":
            return None
        if ours["status"] != "failed" and not (self.root / request.output).is_file():
            return None
        rank = (ours["source_time"], ours["attempt"])
        others = [row for place, row in receipts if place != path and row["status"] != "superseded"]
        outranked = any((row["source_time"], row["attempt"]) > rank for row in others)
        return None if outranked else self._read_receipt(path)

    def stray_dead_letter(self, source: str) -> DeadLetter | None:
        """Return the dead letter of something that never became a request."""
        return next(iter(self.dead_letters(_stray_name(source))), None)

    def _read_receipt(self, path: Path) -> Receipt:
        row = pq.read_table(path).to_pylist()[0]
        for name in ("source_time", "finished_at"):
            row[name] = row[name].isoformat().replace("+00:00", "Z")
        return Receipt(**row)

    def _receipts_of(self, request: Request) -> list[tuple[Path, dict[str, Any]]]:
        """Return the receipts of all requests with the same source and output."""
        found = []
        for path in sorted(self._receipt_path(request).parent.glob("*.parquet")):
            try:
                found.append((path, pq.read_table(path).to_pylist()[0]))
            except pa.ArrowInvalid:  # the power went before it was on the disk: the request is not done
                path.unlink()
        return found

    def _write_parquet(self, table: pa.Table, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole(f"{target.parent.name}-{target.name}")
        # neither compression nor dictionaries nor statistics pay for a few rows, nor dictionaries for numbers
        many = table.num_rows > 1000
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        pq.write_table(
            table, whole, compression="zstd" if many else "none", compression_level=1 if many else None,
            use_dictionary=texts if many else False, write_statistics=many)  # fmt: skip
        whole.replace(target)


def _stray_name(source: str) -> str:
    return f"{_STRAY}{hashlib.sha256(source.encode()).hexdigest()[:32]}"


def _remove(work: Path) -> None:
    """Remove a work folder, which has no folders in it."""
    for path in work.iterdir():
        path.unlink()
    work.rmdir()


def _outranks(other: dict[str, Any], request: Request) -> bool:
    ours = datetime.fromisoformat(request.source_time)
    return bool((other["source_time"], other["attempt"]) > (ours, request.attempt))


def spec_of_forecast(forecast: Path, source: Path) -> dict[str, Any]:
    """Return the options, by name, with which a local file was forecast; none if there is no receipt of that."""
    for root in forecast.absolute().parents:
        if not (root / INTERNAL).is_dir():
            continue
        place = receipts_place(str(source.absolute()), forecast.absolute().relative_to(root).as_posix())
        paths = sorted((root / INTERNAL / "receipts" / place).glob("*.parquet"))
        rows = [row for path in paths for row in pq.read_table(path).to_pylist() if row["status"] != "failed"]
        latest = max(rows, key=lambda row: row["finished_at"], default=None)
        return {} if latest is None else dict(json.loads(latest["spec"]))
    return {}


def _compressed(raw: IO[bytes], name: str) -> AbstractContextManager[Any]:
    """Return what to write to: gzip, without a name or a time in it, if the name says so."""
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if name.endswith(".gz") else nullcontext(raw)
