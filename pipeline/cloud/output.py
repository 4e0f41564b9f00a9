"""A bucket, with a dataset if one is named, as the place for forecasts.

CSVs are under their inputs' names below the output prefix. Below _dropcast/ are receipts/ (the ledger),
dead_letters/, and work/ (needed until a request's receipt is written). Rows go to BigQuery before the CSV is
written. The receipt comes last, and its object after its row: only that object marks a request as done.
"""

from __future__ import annotations

import gzip
import itertools
import threading
import uuid
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pyarrow as pa
from google.cloud import storage

from pipeline.cloud import objects, sources
from pipeline.cloud.dead_letters import BucketDeadLetters
from pipeline.cloud.first_tries import FirstTries
from pipeline.cloud.forecast_rows import ForecastRows, WaitingPart
from pipeline.cloud.object_metadata import ObjectMetadata
from pipeline.cloud.receipts import BucketReceipts, is_final
from pipeline.cloud.tables import Tables
from pipeline.cloud.work_files import BucketWorkFiles
from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.errors import DoneError, RecordError, SupersededError
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows
from pipeline.core.outputs.outcomes import (
    SOFTWARE,
    BlockSummary,
    FailedRequest,
    Outcome,
    SupersededRequest,
    WrittenPart,
    WrittenRequest,
    block_summary,
    failed_at,
)
from pipeline.core.outputs.problem_note import SUFFIX
from pipeline.core.outputs.receipts import has_forecast, letters_of, receipt_of
from pipeline.core.outputs.tables import rows_of_block
from pipeline.core.requests.names import INTERNAL
from pipeline.core.requests.uris import folder_prefix, split_uri, uri_of
from pipeline.core.sources import Source

AT_ONCE = 16  # calls to Cloud Storage
_last_absent = threading.local()  # the forecast that this thread has looked for last, if there was none
GZIP_TYPE, TEXT_TYPE = "application/gzip", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class _Part:
    """The written results of one block.

    Attributes:
        rows: of each table.
        summary: what the receipt counts.
        csv: lines of the CSV.
    """

    rows: dict[str, pa.Table]
    summary: BlockSummary
    csv: bytes


class BucketOutput:
    """Writes forecasts, dead letters and receipts below a prefix of a bucket.

    Args:
        prefix: gs://bucket/prefix.
        dataset: PROJECT.DATASET, or "" for no tables.
        batch: whether the run ends: then rows are loaded by few jobs, at its end.
        history: whether to write the values from which forecasts are made.
        readable: datasets and tables of BigQuery that queries may read, as bigquery:PROJECT.DATASET.
    """

    def __init__(
        self, prefix: str, dataset: str, batch: bool, history: bool = False, readable: tuple[str, ...] = ()
    ) -> None:
        self.history = history and bool(dataset)
        self._dataset, self._tables = dataset, readable
        self._bucket, self._root = split_uri(folder_prefix(prefix))
        self._internal = f"{self._root}{INTERNAL}/"
        self._work = f"{self._internal}work/"
        tables = Tables(dataset) if dataset else None
        self._rows = ForecastRows(tables, batch) if tables is not None else None
        self._receipts = BucketReceipts(self._bucket, f"{self._internal}receipts/", tables)
        self._letters = BucketDeadLetters(self._bucket, f"{self._internal}dead_letters/", tables)
        self._first_tries = FirstTries(self._bucket, self._work)

    # ------------------------------------------------------------------------------------- sources

    def open_source(self, request: Request, limits: Limits) -> AbstractContextManager[Source]:
        """Open what a request reads; see output.Output."""
        return sources.open_source(request, self._dataset, self._tables, limits)

    def refuse_taken_output(self, request: Request) -> None:
        """Refuse a request that may not write its output; see output.Output."""
        if request.source == uri_of(self._bucket, self._target(request)):
            raise _taken(request)
        if self._receipts.is_done(request):
            raise DoneError(f"{request.output} is done: attempt {request.attempt} has a receipt")
        target = self._target(request)
        current = objects.look(self._bucket, target)
        _last_absent.target = (self._bucket, target) if current is None else None
        self._may_write(current, request)

    def _target(self, request: Request) -> str:
        return f"{self._root}{request.output}"

    def _may_write(self, current: storage.Blob | None, request: Request) -> bool:
        """Return whether a forecast has yet to be written, given the existing object.

        Raises:
            RecordError: OUTPUT_TAKEN.
            SupersededError: if the forecast of a newer version exists.
        """
        if current is None:
            return True
        there = ObjectMetadata.read(current)
        if there.source != request.source:
            raise _taken(request)
        if there.key == request.key:
            return there.software != SOFTWARE
        if there.rank > ObjectMetadata.of_forecast(request).rank:
            raise SupersededError(f"{request.output} holds the forecast of a newer version of {request.source}")
        return True

    # ------------------------------------------------------------------------------ while it is done

    def begin(self, request: Request, step: str) -> bool:
        """Leave a marker that a step of a request is being done; see output.Output."""
        return objects.create(self._bucket, self._marker(request, step), b"", TEXT_TYPE)

    def end(self, request: Request, step: str) -> None:
        """Remove the marker of a step."""
        objects.delete(self._bucket, [self._marker(request, step)])

    def _marker(self, request: Request, step: str) -> str:
        return f"{self._work}{request.key}/markers/{step}"

    def keep_traceback(self, error_id: str, text: str) -> str:
        """Store the traceback of an internal error, which is also in the log; see output.Output."""
        name = f"{self._internal}errors/{error_id}.txt"
        objects.put(self._bucket, name, text.encode(errors="backslashreplace"), TEXT_TYPE)
        return ""

    def new_reading(self) -> str:
        """Return a random name: the pipeline and a reconcile may read the same request at the same time."""
        return uuid.uuid4().hex[:12]

    def work_files(self, request: Request, reading: str) -> BucketWorkFiles:
        """Return the work files of one reading of a request."""
        return BucketWorkFiles(self._bucket, f"{self._work}{request.key}/", reading)

    # ----------------------------------------------------------------------------------- forecasts

    def write_block(self, block: ForecastBlock) -> WrittenPart | Outcome:
        """Write one block's rows, and the CSV if the block is the only one; see output.Output."""
        request, work_files = block.request, self.work_files(block.request, block.reading)
        part = self._part(block)  # before anything is written: this may raise an internal error
        first = self._first_tries.adopt(block)
        if first is not block:
            try:
                with contained(InternalErrors(request.key, self.keep_traceback)):
                    part = self._part(first)
            except RecordError:  # such as one written by another version of Dropcast
                first = block
        summary = part.summary
        if self._rows is not None and part.rows["forecasts"].num_rows and not self._receipts.is_done(request):
            summary = self._rows.write(first, part.rows, summary, work_files)
        csv, content_type = _packed(part.csv, request), _content_type(request)
        if block.parts > 1:
            work_files.write_part(block.part, csv, content_type, summary)
            return WrittenPart(request, block.part, block.parts, block.reading)
        written = WrittenRequest(request, 1, block.reading, summary)
        if not has_forecast([summary]):
            return written

        def write(blob: storage.Blob, generation: int) -> None:
            metadata = ObjectMetadata.of_forecast(request).to_dict()
            objects.upload(blob, csv, content_type, metadata, generation)

        return self._put_in_place(written, write)

    def _part(self, block: ForecastBlock) -> _Part:
        rows = rows_of_block(block, self.history)
        spec = block.request.parsed_spec
        header = b"" if block.part else csv_header(block.layout, spec)
        csv = header + csv_rows(block.batch, block.layout, spec)
        return _Part(rows, block_summary(block, rows["forecasts"].num_rows), csv)

    def publish(self, written: WrittenRequest) -> Outcome:
        """Compose the CSV of a request of several parts, once all are written; see output.Output."""
        if written.summary is not None:
            return written
        request, summaries = written.request, self._summaries(written)
        if summaries is None or not has_forecast(summaries):
            return written
        work_files = self.work_files(request, written.reading)
        names = [work_files.csv_name(part) for part in range(written.parts)]

        def write(blob: storage.Blob, generation: int) -> None:
            blob.metadata, blob.content_type = ObjectMetadata.of_forecast(request).to_dict(), _content_type(request)
            objects.compose(self._bucket, names, blob, generation, work_files.prefix)

        return self._put_in_place(written, write)

    def _put_in_place(self, written: WrittenRequest, write: Callable[[storage.Blob, int], None]) -> Outcome:
        request, target = written.request, self._target(written.request)
        absent = getattr(_last_absent, "target", None) == (self._bucket, target)
        _last_absent.target = None
        try:
            objects.compare_and_set(
                self._bucket, target, lambda current: self._may_write(current, request), write, absent
            )
        except SupersededError:
            return SupersededRequest(request, written)
        except RecordError as error:
            return failed_at(written, "WriteForecasts", error)
        return written

    def load_rows(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Load the rows that wait as Parquet parts, in as few jobs as possible; see output.Output."""
        if self._rows is None:
            return outcomes
        failed: dict[int, RecordError] = {}
        waiting: list[WaitingPart] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:  # a batch run asks for the receipts of all its requests here
            for position, found in enumerate(pool.map(self._waiting_or_error, itertools.count(), outcomes)):
                if isinstance(found, RecordError):
                    failed[position] = found
                else:
                    waiting += found
        failed |= self._rows.load(waiting)
        return [
            failed_at(outcome, "LoadRows", failed[position]) if position in failed else outcome
            for position, outcome in enumerate(outcomes)
        ]

    def _waiting_or_error(self, position: int, outcome: Outcome) -> list[WaitingPart] | RecordError:
        try:
            with contained(InternalErrors(outcome.request.key, self.keep_traceback)):
                return self._waiting(position, outcome)
        except RecordError as error:
            return error

    def _waiting(self, position: int, outcome: Outcome) -> list[WaitingPart]:
        """Return which of a request's parts are waiting to be loaded."""
        if not isinstance(outcome, WrittenRequest):
            return []
        parts = [
            (part, summary.waits_to_load)
            for part, summary in enumerate(self._summaries(outcome) or ())
            if summary.waits_to_load
        ]
        if not parts or self._receipts.is_done(outcome.request):  # a runner may repeat this after they were removed
            return []
        work_files = self.work_files(outcome.request, outcome.reading)
        return [WaitingPart(position, outcome.request.key, work_files, part, tables) for part, tables in parts]

    # -------------------------------------------------------------------------------- dead letters

    def write_dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        """Write a request's dead letters, or remove those of an earlier run; see output.Output."""
        request = outcome.request
        summaries = self._counted(outcome)
        if summaries is None or (not isinstance(outcome, SupersededRequest) and self._receipts.is_done(request)):
            return self._letters.read(request.key)
        letters = letters_of(outcome, summaries)
        self._letters.write(request.key, letters)
        return letters

    def dead_letters(self, request_key: str) -> list[DeadLetter]:
        """Return the dead letters of a request."""
        return self._letters.read(request_key)

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request."""
        self._letters.write(f"message-{letter.request_key}", [letter])

    def has_stray_dead_letter(self, letter: DeadLetter) -> bool:
        """Return whether the dead letter of something that never became a request exists already."""
        known = self._letters.read(f"message-{letter.request_key}")
        return any(other.message == letter.message for other in known)

    def remove_stray_dead_letter(self, source: str) -> None:
        """Do nothing: a fixed manifest is a new generation, and the dead letter of the old one remains valid."""

    # ------------------------------------------------------------------------------------ receipts

    def write_receipt(self, outcome: Outcome) -> Receipt:
        """Write the receipt, which completes a request, and remove its work files; see output.Output."""
        request = outcome.request
        summaries = self._counted(outcome)
        before = self._receipts.read(request)
        if summaries is None:
            assert before is not None
            return before
        if before is not None and is_final(before):
            receipt = before  # the first result counts
        else:
            receipt = receipt_of(outcome, summaries, letters_of(outcome, summaries))
            self._receipts.write(request, receipt, absent=before is None)
        self._remove_work(outcome)
        return receipt

    def _remove_work(self, outcome: Outcome) -> None:
        """Remove the work files of a request that has a receipt."""
        written = outcome.written
        if written is None:
            return
        summaries = self._summaries(written) or []
        if written.parts > 1 or any(summary.waits_to_load or summary.work_files for summary in summaries):
            self.work_files(outcome.request, written.reading).remove()
        self._first_tries.remove(outcome.request, summaries)

    def clear_work_of(self, finished: Set[str]) -> None:
        """Remove the work files of requests that are done: a run may have died just before it removed them."""
        there = (blob.name for blob in objects.listed(self._bucket, self._work))
        left = [name for name in there if name.removeprefix(self._work).partition("/")[0] in finished]
        objects.delete(self._bucket, left)

    def remove_leftovers(self, request: Request) -> None:
        """Remove the work files of a request that has a receipt, if whoever wrote that died before."""
        objects.delete_below(self._bucket, f"{self._work}{request.key}/")

    def for_us_alone(self) -> AbstractContextManager[None]:
        """Do nothing: objects are written by compare-and-set, so any number of runs may write."""
        return nullcontext()

    def standing_receipt(self, request: Request) -> Receipt | None:
        """Return the receipt of a request; see output.Output."""
        return self._receipts.read(request)

    def write_problem_note(self, output: str, text: str) -> None:
        """Write a note beside the forecast of a file with problems, or remove it; see output.Output."""
        name = f"{self._root}{output}{SUFFIX}"
        if text:
            objects.put(self._bucket, name, text.encode(), TEXT_TYPE)
        else:
            objects.delete(self._bucket, [name])

    def _counted(self, outcome: Outcome) -> list[BlockSummary] | None:
        """Return the summaries that the receipt counts: none if the request failed; None as for _summaries."""
        if outcome.written is None or isinstance(outcome, FailedRequest):
            return []
        return self._summaries(outcome.written)

    def _summaries(self, written: WrittenRequest) -> list[BlockSummary] | None:
        """Return the summaries of a request's blocks; None if it is done and they are removed, as after a repeat."""
        if written.summary is not None:
            return [written.summary]
        work_files = self.work_files(written.request, written.reading)
        summaries = []
        for part in range(written.parts):
            summary = work_files.summary(part)
            if summary is None:
                if self._receipts.read(written.request) is None:
                    raise RuntimeError(f"part {part} in {work_files.prefix} disappeared before the request was done")
                return None
            summaries.append(summary)
        return summaries


def _taken(request: Request) -> RecordError:
    return RecordError(
        "OUTPUT_TAKEN",
        f"The forecast would overwrite {request.output!r}, which is not a forecast of this file.",
        "Choose another output in a manifest, or remove the existing object and replay.",
    )


def _content_type(request: Request) -> str:
    if request.output.endswith(".gz"):
        return GZIP_TYPE
    encoding = request.parsed_spec.encoding  # a forecast is written like its source
    return f"text/csv; charset={encoding.removesuffix('-sig')}"


def _packed(body: bytes, request: Request) -> bytes:
    """Return a CSV's bytes as stored; concatenated gzip members are valid gzip."""
    return gzip.compress(body, mtime=0) if request.output.endswith(".gz") else body
