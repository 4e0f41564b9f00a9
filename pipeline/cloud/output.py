"""A bucket, and a dataset if one is named, as the place for forecasts.

CSVs stand under their inputs' names below the output prefix. Below _dropcast/ there lie receipts/ (the ledger),
dead_letters/, and work/ (what is needed until a request's receipt is written). Rows go to BigQuery before the CSV,
the receipt comes last of all, and its object last of that: it alone says that a request is done.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import storage

from pipeline.cloud import objects
from pipeline.cloud.clients import storage_client
from pipeline.cloud.objects import ObjectReader
from pipeline.cloud.retry import CALL, again
from pipeline.cloud.tables import PARTS_A_JOB, ROW_BYTES, LoadRefusedError, Tables, job_name, may_be_streamed, row_id
from pipeline.core.block_bytes import block_from_bytes, block_to_bytes
from pipeline.core.elements import DeadLetter, ForecastBlock, Outcome, Receipt, Request
from pipeline.core.errors import DoneError, RecordError, SupersededError, shorten
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.io_faults import io
from pipeline.core.ndjson import from_ndjson, to_ndjson
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows
from pipeline.core.outputs.outcomes import SOFTWARE, block_summary, cut_of, failed_at, letters_of, receipt_of
from pipeline.core.outputs.tables import element_rows, forecast_rows, history_rows
from pipeline.core.requests.names import INTERNAL, receipts_place
from pipeline.core.requests.uris import folder_prefix, generation_number, split_uri, uri_of
from pipeline.core.scratch import process_folder, scratch_folder
from pipeline.core.series.layout import Layout

STREAMED_ROWS = 20_000  # of a block; more go by a load job
_MAY_BE_DONE_AGAIN = ("failed", "superseded")  # by a receipt that says otherwise
GZIP_TYPE, PARQUET_TYPE = "application/gzip", "application/vnd.apache.parquet"
TEXT_TYPE, ARROW_TYPE = "text/plain; charset=utf-8", "application/vnd.apache.arrow.stream"
_TOLD_APART = {"forecasts": ("step", "confidence_level"), "history": ("history_timestamp",)}  # rows of a series
_MOST = 256 << 20  # bytes of one of our objects


@dataclass(frozen=True)
class _Part:
    """What is written of one block: rows of forecasts and history, what the receipt counts, lines of the CSV."""

    rows: pa.Table
    past: pa.Table | None
    summary: dict[str, Any]
    body: bytes


@dataclass(frozen=True)
class _Waiting:
    """A part whose rows wait to be loaded: of which request, by place and key; where; its number."""

    position: int
    key: str
    prefix: str
    number: int


class OutputBucket:
    """Writes forecasts, dead letters and receipts below a prefix of a bucket.

    Args:
        prefix: gs://bucket/prefix.
        dataset: PROJECT.DATASET, or "" for no tables.
        batch: whether the run ends: then rows are loaded by few jobs, at its end.
        history: whether to write the values from which forecasts are made.
    """

    def __init__(self, prefix: str, dataset: str, batch: bool, history: bool = False) -> None:
        self.history = history and bool(dataset)
        self._bucket, root = split_uri(folder_prefix(prefix))
        self._root = root
        self._internal = f"{root}{INTERNAL}/"
        self._tables = Tables(dataset) if dataset else None
        self._batch = batch

    # ------------------------------------------------------------------------------------- sources

    def open_source(self, request: Request) -> AbstractContextManager[ObjectReader]:
        """Open a request's CSV; see output.Output."""
        return objects.open_object(request.source, request.version)

    def refuse_taken_output(self, request: Request) -> None:
        """Refuse a request that may not write its output; see output.Output."""
        if request.source == uri_of(self._bucket, self._target(request)):
            raise _taken(request)
        if self._is_done(request):
            raise DoneError(f"{request.output} is done: attempt {request.attempt} has a receipt")
        self._may_write(objects.look(self._bucket, self._target(request)), request)

    def _target(self, request: Request) -> str:
        return f"{self._root}{request.output}"

    def _may_write(self, current: storage.Blob | None, request: Request) -> bool:
        """Return whether a forecast is still to be written, given what is there.

        Raises:
            RecordError: OUTPUT_TAKEN.
            SupersededError: if the forecast of a newer version is there.
        """
        if current is None:
            return True
        there = current.metadata or {}
        if there.get("dropcast-source") != request.source:
            raise _taken(request)
        if there.get("dropcast-key") == request.key:
            return there.get("dropcast-software") != SOFTWARE
        if _rank(there) > _rank(self._metadata(request)):  # of two with other options the later holds
            raise SupersededError(f"{request.output} holds the forecast of a newer version of {request.source}")
        return True

    def _metadata(self, request: Request) -> dict[str, str]:
        return {
            "dropcast-key": request.key,
            "dropcast-source": request.source,
            "dropcast-version": request.version,
            "dropcast-source-time": request.source_time,
            "dropcast-attempt": str(request.attempt),
            "dropcast-software": SOFTWARE,
        }

    def keep_traceback(self, error_id: str, text: str) -> str:
        """Keep the traceback of our own fault, beside the log, which has it too; see output.Output."""
        name = f"{self._internal}errors/{error_id}.txt"
        objects.put(self._bucket, name, text.encode(errors="backslashreplace"), TEXT_TYPE)
        return ""

    # ---------------------------------------------------------------------------------- work files

    def begin(self, request: Request, step: str) -> bool:
        """Leave a marker that a step of a request is being done; see output.Output."""
        return objects.create(self._bucket, self._marker(request, step), b"", TEXT_TYPE)

    def end(self, request: Request, step: str) -> None:
        """Remove the marker of a step."""
        objects.delete(self._bucket, [self._marker(request, step)])

    def _marker(self, request: Request, step: str) -> str:
        return f"{self._internal}work/{request.key}/markers/{step}"

    def _work_prefix(self, request: Request, load: str) -> str:
        return f"{self._internal}work/{request.key}/{load}/"

    def new_load(self) -> str:
        """Return a random name: the same request may be read twice at once, by a reconcile beside the pipeline."""
        return uuid.uuid4().hex[:12]

    def work(self, request: Request, load: str) -> Path:
        """Return a local folder for the work files of a large request."""
        return process_folder(os.getpid()) / f"load-{load}"

    def discard_work_files(self, request: Request, load: str) -> None:
        """Remove what this worker has of them."""
        shutil.rmtree(self.work(request, load), ignore_errors=True)

    def keep_work_files(self, request: Request, load: str) -> None:
        """Put the work files into the bucket."""
        folder = self.work(request, load)
        with io():
            for path in sorted(folder.iterdir()):
                blob = storage.Blob(self._work_prefix(request, load) + path.name, storage_client().bucket(self._bucket))
                again(blob.upload_from_filename, str(path), timeout=CALL, retry=None)
            shutil.rmtree(folder)

    @contextmanager
    def work_file(self, request: Request, load: str, name: str) -> Iterator[Path]:
        """Return a copy of a work file."""
        blob = storage_client().bucket(self._bucket).blob(self._work_prefix(request, load) + name)
        with scratch_folder() as folder:
            path = folder / name
            with io():
                blob.download_to_filename(str(path), **objects.OPTIONS)
            yield path

    # ----------------------------------------------------------------------------------- forecasts

    def write_block(self, block: ForecastBlock) -> Outcome:
        """Write one block's rows, and the CSV if the block is the only one; see output.Output."""
        request, mine = block.request, block
        part = self._part(block)  # before anything is written: this may fail for a reason of our own
        block = self._first_try(block)
        if block is not mine:
            try:
                with contained(InternalErrors(request.key, self.keep_traceback)):
                    part = self._part(block)
            except RecordError:  # such as one that another state of this software has written
                block = mine
        rows, past, summary, body = part.rows, part.past, part.summary, part.body
        if self._tables is not None and rows.num_rows and not self._is_done(request):
            together = rows.num_rows + (past.num_rows if past is not None else 0)
            streamed = block.parts == 1 and together <= STREAMED_ROWS and may_be_streamed(request.source_time)
            if self._batch or not streamed:
                self._put_part(block, _rows_name("forecasts", block.part), _parquet(rows), PARQUET_TYPE)
                if past is not None:
                    self._put_part(block, _rows_name("history", block.part), _parquet(past), PARQUET_TYPE)
                summary["loaded"] = True
            else:
                self._note_refused(summary, request, rows, self._insert("forecasts", rows))
                if past is not None:
                    self._note_refused(summary, request, past, self._insert("history", past))
        if block.parts > 1:
            self._put_part(block, f"part-{block.part:06d}.csv", _packed(body, request), _content_type(request))
            self._put_part(block, f"part-{block.part:06d}.json", json.dumps(summary).encode(), "application/json")
            return Outcome(request, block.parts, block.part, load=block.load)
        outcome = Outcome(request, 1, summary=json.dumps(summary), load=block.load)
        if summary["failed"] == summary["series"]:
            return outcome

        def write(blob: storage.Blob, generation: int) -> None:
            data = _packed(body, request)
            objects.upload(blob, data, _content_type(request), self._metadata(request), generation)

        return self._published(outcome, write)

    def _part(self, block: ForecastBlock) -> _Part:
        layout, spec = Layout.from_json(block.layout), ForecastSpec.from_json(block.request.spec)
        rows = forecast_rows(block, spec)
        summary = {**block_summary(block, layout, spec, rows.num_rows), "first_try": self._first_try_name(block)}
        header = b"" if block.part else csv_header(layout, spec)
        past = history_rows(block) if self.history else None
        return _Part(rows, past, summary, header + csv_rows(block.batch, layout, spec))

    def _first_try(self, block: ForecastBlock) -> ForecastBlock:
        """Return the part as the first try of its request had it; it is written if this is the first one."""
        name = self._first_try_name(block)
        if objects.create(self._bucket, name, block_to_bytes(block), ARROW_TYPE):
            return block
        content = objects.read_small(self._bucket, name, _MOST)
        if content is None:  # the request was finished just now
            return block
        first = block_from_bytes(ForecastBlock, content)
        return dataclasses.replace(first, load=block.load, work_files=block.work_files)

    def _first_try_name(self, block: ForecastBlock) -> str:
        return f"{self._internal}work/{block.request.key}/first/{block.part:06d}-{cut_of(block)}.arrow"

    def _insert(self, table: str, rows: pa.Table) -> dict[int, str]:
        assert self._tables is not None
        names = ["request_key", "series_id", *_TOLD_APART[table]]
        ids = [row_id(*row.values()) for row in rows.select(names).to_pylist()]
        return self._tables.insert(table, rows, ids)

    def _insert_own(self, table: str, elements: list[Any], ids: list[str]) -> None:
        """Insert dead letters or receipts, none of which BigQuery may refuse."""
        if self._tables is None:
            return
        refused = self._tables.insert(table, element_rows(table, elements), ids)
        if refused:
            raise RuntimeError(f"BigQuery refused rows of {table}: {next(iter(refused.values()))}")

    def publish(self, outcome: Outcome) -> Outcome:
        """Compose the CSV of a request of several parts, once all are written; see output.Output."""
        request = outcome.request
        whole = dataclasses.replace(outcome, part=-1)
        parts = self._summaries(outcome) if outcome.part >= 0 else None
        if parts is None or all(part["failed"] == part["series"] for part in parts):
            return whole
        prefix = self._work_prefix(request, outcome.load)
        names = [f"{prefix}part-{number:06d}.csv" for number in range(outcome.parts)]

        def write(blob: storage.Blob, generation: int) -> None:
            blob.metadata, blob.content_type = self._metadata(request), _content_type(request)
            objects.compose(self._bucket, names, blob, generation, prefix)

        return self._published(whole, write)

    def _published(self, outcome: Outcome, write: Any) -> Outcome:
        request = outcome.request
        try:
            objects.compare_and_set(
                self._bucket, self._target(request), lambda current: self._may_write(current, request), write
            )
        except SupersededError:
            return dataclasses.replace(outcome, superseded=True)
        except RecordError as error:
            return failed_at(outcome, "WriteForecasts", error)
        return outcome

    def load_rows(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Load the rows of requests that wait as Parquet parts, in as few jobs as may be; see output.Output."""
        if self._tables is None:
            return outcomes
        failed: dict[int, RecordError] = {}
        waiting: list[_Waiting] = []
        for position, outcome in enumerate(outcomes):
            try:
                with contained(InternalErrors(outcome.request.key, self.keep_traceback)):
                    numbers = self._waiting(outcome)
            except RecordError as error:
                failed[position] = error
                continue
            prefix = uri_of(self._bucket, self._work_prefix(outcome.request, outcome.load))
            waiting += [_Waiting(position, outcome.request.key, prefix, number) for number in numbers]
        for start in range(0, len(waiting), PARTS_A_JOB):
            failed |= self._load(waiting[start : start + PARTS_A_JOB])
        return [
            failed_at(outcome, "LoadRows", failed[position]) if position in failed else outcome
            for position, outcome in enumerate(outcomes)
        ]

    def _load(self, parts: list[_Waiting]) -> dict[int, RecordError]:
        """Load parts, those of one request apart if they are refused together; return faults by the request's place."""
        assert self._tables is not None
        name = job_name(f"{part.key} {part.number}" for part in parts)
        try:
            for table in ("forecasts", "history") if self.history else ("forecasts",):
                self._tables.load(table, [part.prefix + _rows_name(table, part.number) for part in parts], name)
        except LoadRefusedError as refused:
            requests = sorted({part.position for part in parts})
            if len(requests) == 1:
                return {requests[0]: _refused_load(str(refused))}
            middle = requests[len(requests) // 2]
            halves = ([part for part in parts if (part.position < middle) is side] for side in (True, False))
            return {position: error for half in halves for position, error in self._load(half).items()}
        return {}

    def _waiting(self, outcome: Outcome) -> list[int]:
        """Return which of a request's parts wait to be loaded."""
        if outcome.failure or outcome.superseded:
            return []
        parts = self._summaries(outcome) or []
        waiting = [number for number, part in enumerate(parts) if part.get("loaded")]
        # a runner may repeat this after its parts were removed
        return [] if waiting and self._is_done(outcome.request) else waiting

    def _note_refused(self, summary: dict[str, Any], request: Request, rows: pa.Table, refused: dict[int, str]) -> None:
        """Count rows that BigQuery refused, and make dead letters of their series."""
        names = rows.column("series_id")
        by_series: dict[str, list[str]] = {}
        for position, why in sorted(refused.items()):
            by_series.setdefault(names[position].as_py(), []).append(why)
        for name, reasons in by_series.items():
            error = RecordError(
                "ROW_REFUSED",
                f"BigQuery refused {len(reasons):,} rows of the series: {reasons[0]}",
                "The forecast is in the CSV. Fix the table, then replay.",
            )
            summary["letters"].append(DeadLetter.of(request, "series", "WriteForecasts", name, error).to_json())
        summary["rows"] -= len(refused) if "step" in rows.column_names else 0
        summary["refused"] += len(by_series)

    def _put_part(self, block: ForecastBlock, name: str, data: bytes, content_type: str) -> None:
        objects.put(self._bucket, self._work_prefix(block.request, block.load) + name, data, content_type)

    # -------------------------------------------------------------------------------- dead letters

    def write_dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        """Write a request's dead letters, or remove those of an earlier run; see output.Output."""
        key = outcome.request.key
        letters = self._letters(outcome, self._parts(outcome))
        if letters is None or (not outcome.superseded and self._is_done(outcome.request)):
            return self.dead_letters(key)
        if letters:
            self._write_letters(key, letters)
        else:
            objects.delete(self._bucket, [self._letters_name(key)])
        return letters

    def _is_done(self, request: Request) -> bool:
        """Return whether a request was forecast before, which a later refusal of it does not take back."""
        before = self.receipt(request)
        return before is not None and before.status not in _MAY_BE_DONE_AGAIN

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request."""
        self._write_letters(f"message-{letter.request_key}", [letter])

    def remove_stray_dead_letter(self, source: str) -> None:
        """Do nothing: a manifest that was fixed is a new generation, and the old one's dead letter stays true."""

    def _letters_name(self, name: str) -> str:
        return f"{self._internal}dead_letters/{name}.ndjson"

    def _write_letters(self, name: str, letters: list[DeadLetter]) -> None:
        short = [
            letter if len(letter.request) < ROW_BYTES else dataclasses.replace(letter, request="") for letter in letters
        ]  # what is too long for a row stands in the object
        ids = [row_id(letter.request_key, letter.scope, letter.series_id, letter.code) for letter in letters]
        self._insert_own("dead_letters", short, ids)
        first = letters[0]
        metadata = {
            "dropcast-code": first.code,
            "dropcast-scope": first.scope,
            "dropcast-source": first.source,
            "dropcast-version": first.version,
            "dropcast-source-time": first.source_time,
        }
        objects.put(self._bucket, self._letters_name(name), to_ndjson(letters), "application/x-ndjson", metadata)

    def dead_letters(self, request_key: str) -> list[DeadLetter]:
        """Return the dead letters of a request."""
        content = objects.read_small(self._bucket, self._letters_name(request_key), _MOST)
        return from_ndjson(content or b"")

    def _parts(self, outcome: Outcome) -> list[dict[str, Any]] | None:
        """Return what the blocks of a request tell that its receipt counts; None as of _summaries."""
        return [] if outcome.failure else self._summaries(outcome)

    def _letters(self, outcome: Outcome, parts: list[dict[str, Any]] | None) -> list[DeadLetter] | None:
        """Return the dead letters of a request, or None if it is done and they are written."""
        if outcome.superseded:
            return []
        if outcome.failure:
            return [DeadLetter.from_json(outcome.failure)]
        return None if parts is None else letters_of(outcome.request, parts)

    # ------------------------------------------------------------------------------------ receipts

    def write_receipt(self, outcome: Outcome) -> Receipt:
        """Write the receipt, which ends a request, and remove its work files; see output.Output."""
        request = outcome.request
        summaries = self._parts(outcome)
        letters = self._letters(outcome, summaries)
        if letters is None or summaries is None:
            done = self.receipt(request)
            assert done is not None
            return done
        receipt, before = receipt_of(request, summaries, letters, outcome.superseded), self.receipt(request)
        if before is not None and before.status not in _MAY_BE_DONE_AGAIN:
            receipt = before  # what was done first stands
        else:
            self._insert_own("receipts", [receipt], [row_id(receipt.request_key, receipt.status)])
            self._put_receipt(receipt, request)
        if outcome.parts > 1 or outcome.failure or any(part.get("loaded") or part["work_files"] for part in summaries):
            prefix = self._work_prefix(request, outcome.load)
            objects.delete(self._bucket, [blob.name for blob in objects.listed(self._bucket, prefix)])
        if outcome.failure and outcome.parts:
            summaries = self._summaries(outcome) or []
        objects.delete(self._bucket, [part["first_try"] for part in summaries if "first_try" in part])
        return receipt

    def _put_receipt(self, receipt: Receipt, request: Request) -> None:
        content = json.dumps(dataclasses.asdict(receipt), sort_keys=True).encode()
        metadata = {**self._metadata(request), "dropcast-output": receipt.output}
        metadata |= {"dropcast-status": receipt.status, "dropcast-id": receipt.id}

        def decide(current: storage.Blob | None) -> bool:
            there = "" if current is None else (current.metadata or {}).get("dropcast-status", "")
            return receipt.status not in _MAY_BE_DONE_AGAIN or there in ("", *_MAY_BE_DONE_AGAIN)

        def write(blob: storage.Blob, generation: int) -> None:
            objects.upload(blob, content, "application/json", metadata, generation)

        objects.compare_and_set(self._bucket, self._receipt_name(request), decide, write)

    def receipt(self, request: Request) -> Receipt | None:
        """Return a request's receipt, or None if it has none."""
        content = objects.read_small(self._bucket, self._receipt_name(request), _MOST)
        return None if content is None else Receipt(**json.loads(content))

    def _receipt_name(self, request: Request) -> str:
        return f"{self._internal}receipts/{receipts_place(request.source, request.output)}/{request.key}.json"

    def _summaries(self, outcome: Outcome) -> list[dict[str, Any]] | None:
        """Return what a request's blocks tell; None if it is done and they are removed, as after a repeated step."""
        if outcome.summary:
            return [json.loads(outcome.summary)]
        prefix = self._work_prefix(outcome.request, outcome.load)
        found = []
        for number in range(outcome.parts):
            content = objects.read_small(self._bucket, f"{prefix}part-{number:06d}.json", _MOST)
            if content is None:
                if self.receipt(outcome.request) is None:
                    raise RuntimeError(f"{prefix}part-{number:06d}.json is gone before the request was done")
                return None
            found.append(json.loads(content))
        return found


def _refused_load(why: str) -> RecordError:
    return RecordError(
        "ROW_REFUSED",
        f"BigQuery refused the rows of this file: {shorten(why, 500)}",
        "The forecast is in the CSV. Fix the table, then replay.",
    )


def _rank(metadata: dict[str, str]) -> tuple[Any, ...]:
    """Return by what a newer forecast of a source is told from an older one."""
    names = ("dropcast-version", "dropcast-attempt")
    return tuple(generation_number(metadata.get(name, "")) for name in names)


def _rows_name(table: str, part: int) -> str:
    return f"{table}-{part:06d}.parquet"


def _taken(request: Request) -> RecordError:
    return RecordError(
        "OUTPUT_TAKEN",
        f"The forecast would overwrite {request.output!r}, which is no forecast of this file.",
        "Choose another output in a manifest, or remove what is there and replay.",
    )


def _content_type(request: Request) -> str:
    if request.output.endswith(".gz"):
        return GZIP_TYPE
    encoding = ForecastSpec.from_json(request.spec).encoding  # a forecast is written as its source is
    return f"text/csv; charset={encoding.removesuffix('-sig')}"


def _packed(body: bytes, request: Request) -> bytes:
    """Return a CSV's bytes as they are stored; gzip members one after the other are gzip again."""
    return gzip.compress(body, mtime=0) if request.output.endswith(".gz") else body


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
