"""A folder as the place for forecasts: CSVs under their inputs' names, tables and the ledger under _dropcast/.

Every file appears whole, by a rename from the request's work folder. Names derive from the request, so that a
run that was killed is mended by running it again. The receipt comes last: it alone says that a request is done.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import hashlib
import io
import itertools
import json
import os
import statistics
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import __version__
from pipeline.core.engine import fallback_notes
from pipeline.core.forecast_csv import csv_header, csv_rows
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.naming import real_path
from pipeline.core.series_batch import Layout
from pipeline.core.tables import element_rows, forecast_rows
from pipeline.elements import DeadLetter, ForecastBlock, Outcome, Receipt, Request
from pipeline.errors import RecordError

INTERNAL = "_dropcast"


class OutputFolder:
    """Writes forecasts, dead letters and receipts below a folder.

    Args:
        root: the folder; it is made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._internal = root / INTERNAL

    def work(self, request: Request) -> Path:
        """Return the folder for the work files of a large request; it is gone once the receipt is written."""
        return self._internal / "work" / request.key

    def _work_file(self, name: str) -> Path:
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
        exists = os.path.isfile(target)  # noqa: PTH113 - False for a name that is too long
        if real_path(target) != real_path(Path(request.source)) and (not exists or _is_forecast(target)):
            return
        raise RecordError(
            "OUTPUT_TAKEN",
            f"The forecast would overwrite {request.output!r}, which is no forecast.",
            "Choose another --output, or another output in the manifest.",
        )

    # ------------------------------------------------------------------------------------ forecasts

    def write_block(self, block: ForecastBlock) -> Outcome:
        """Write one block's rows to the table and to the CSV, which is in its place if the block is the only one.

        Returns:
            The outcome of the request if the block is its only one, else that of one part of it, whose rows of the
            CSV, dead letters and counts wait among the work files until `publish`.
        """
        request = block.request
        layout, spec = Layout.from_json(block.layout), ForecastSpec.from_json(request.spec)
        rows = forecast_rows(block, spec)
        self._write_parquet(rows, self._part_of_table(request, block.part))
        faults = _faults(block)
        letters = [_series_letter(request, layout, name, error) for name, error in faults]
        summary = {
            "notes": [*layout.notes, *fallback_notes(spec)],
            "letters": [letter.to_json() for letter in letters],
            "series": len(block.batch),
            "failed": len(faults),
            "rows": rows.num_rows,
            "frequencies": sorted(set(block.batch.column("frequency").drop_null().to_pylist())),
            "mase": block.batch.column("mase").drop_null().to_pylist(),
            "load_seconds": block.load_seconds,
            "fit_seconds": block.fit_seconds,
            "model": block.model,
        }
        header = b"" if block.part else csv_header(layout, spec)
        body = header + csv_rows(block.batch, layout, spec)
        if block.parts == 1:
            if len(faults) < len(block.batch):
                self._write_csv(request, [body])
            self._remove_parts_of_table(request, 1)
            return Outcome(request, 1, summary=json.dumps(summary))
        work = self.work(request)
        work.mkdir(parents=True, exist_ok=True)
        (work / f"part-{block.part:06d}.csv").write_bytes(body)
        (work / f"part-{block.part:06d}.json").write_text(json.dumps(summary))
        return Outcome(request, block.parts, block.part)

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
        composed = self._work_file(f"{request.key}.csv")
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

    def _part_of_table(self, request: Request, part: int) -> Path:
        return self._internal / "forecasts" / f"{request.key}-{part:06d}.parquet"

    # --------------------------------------------------------------------------------- dead letters

    def write_dead_letters(self, outcome: Outcome) -> Outcome:
        """Write a request's dead letters, or remove those of an earlier run of it that failed."""
        if self._done_before(outcome):
            return outcome
        key, letters = outcome.request.key, self._dead_letters(outcome)
        if letters:
            self._write_letters(key, letters)
        else:
            self._remove_letters(key)
        return outcome

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request, such as a bad manifest."""
        self._write_letters(_stray_name(letter.source), [letter])

    def remove_stray_dead_letter(self, source: str) -> None:
        """Remove the dead letter of a manifest that has been mended."""
        self._remove_letters(_stray_name(source))

    def _write_letters(self, name: str, letters: list[DeadLetter]) -> None:
        folder = self._internal / "dead_letters"
        self._write_parquet(element_rows("dead_letters", letters), folder / f"{name}.parquet")
        composed = self._work_file(f"{name}.ndjson")
        composed.write_text("".join(letter.to_json() + "\n" for letter in letters))
        composed.replace(folder / f"{name}.ndjson")

    def _remove_letters(self, name: str) -> None:
        for suffix in ("ndjson", "parquet"):
            (self._internal / "dead_letters" / f"{name}.{suffix}").unlink(missing_ok=True)

    def dead_letters(self, request_key: str) -> list[DeadLetter]:
        """Return the dead letters of a request."""
        path = self._internal / "dead_letters" / f"{request_key}.ndjson"
        return [DeadLetter.from_json(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _dead_letters(self, outcome: Outcome) -> list[DeadLetter]:
        if outcome.failure:
            return [DeadLetter.from_json(outcome.failure)]
        parts = list(self._summaries(outcome))
        letters = [DeadLetter.from_json(line) for part in parts for line in part["letters"]]
        if letters and all(part["series"] == part["failed"] for part in parts) and letters[0].scope == "series":
            name = letters[0].source.rsplit("/", 1)[-1]
            first = letters[0].message.removeprefix(name).lstrip(",: ")
            error = RecordError(
                "NOTHING_FORECAST",
                f"None of the {len(letters):,} series could be forecast; the first: {first}",
                letters[0].hint,
            )
            letters.insert(0, DeadLetter.of_file(outcome.request, "Forecast", error))
        return letters

    # ------------------------------------------------------------------------------------- receipts

    def write_receipt(self, outcome: Outcome) -> Receipt:
        """Write the receipt, which ends a request, and remove its work files."""
        request, work = outcome.request, self.work(outcome.request)
        if self._done_before(outcome):
            return self._read_receipt(self._receipt_path(request))
        receipt = self._receipt(outcome)
        # Locally, what lies there now always wins, even if an older file was put back.
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

    def _receipt(self, outcome: Outcome) -> Receipt:
        request = outcome.request
        parts = list(self._summaries(outcome))
        letters = self._dead_letters(outcome)
        file_letter = next((letter for letter in letters if letter.scope == "file"), None)
        failed = sum(1 for letter in letters if letter.scope == "series")
        forecast = sum(part["series"] - part["failed"] for part in parts)
        status = "failed" if file_letter else "partial" if failed else "complete"
        scores = [score for part in parts for score in part["mase"]]
        notes = parts[0]["notes"] if parts else []
        return Receipt(
            request_key=request.key,
            source=request.source,
            version=request.version,
            source_time=request.source_time,
            attempt=request.attempt,
            output=request.output,
            id=request.id,
            status=status,
            code=file_letter.code if file_letter else "",
            series=forecast + failed,
            series_forecast=forecast,
            series_failed=failed,
            rows=sum(part["rows"] for part in parts),
            model=parts[0]["model"] if parts else "",
            frequencies=",".join(sorted({name for part in parts for name in part["frequencies"]})),
            spec=request.spec,
            notes="\n".join(notes),
            score_mase=statistics.median(scores) if scores else None,
            score_series=len(scores),
            load_seconds=round(sum(part["load_seconds"] for part in parts), 6),
            fit_seconds=round(sum(part["fit_seconds"] for part in parts), 6),
            software=f"dropcast {__version__}",
            finished_at=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        )

    def _summaries(self, outcome: Outcome) -> Iterator[dict[str, Any]]:
        if outcome.summary:
            yield json.loads(outcome.summary)
            return
        for number in range(outcome.parts):
            yield json.loads((self.work(outcome.request) / f"part-{number:06d}.json").read_text())

    def _receipt_path(self, request: Request) -> Path:
        return self._internal / "receipts" / _place(request.source, request.output) / f"{request.key}.parquet"

    def _done_before(self, outcome: Outcome) -> bool:
        """Return whether the receipt is written and the work files, of which it was made, are gone.

        A runner may repeat any step after the last one.
        """
        made_of_work_files = outcome.parts > 0 and not outcome.summary
        request = outcome.request
        return made_of_work_files and not self.work(request).exists() and self._receipt_path(request).exists()

    def _read_receipt(self, path: Path) -> Receipt:
        row = pq.read_table(path).to_pylist()[0]
        for name in ("source_time", "finished_at"):
            row[name] = row[name].isoformat().replace("+00:00", "Z")
        return Receipt(**row)

    def _receipts_of(self, request: Request) -> list[tuple[Path, dict[str, Any]]]:
        """Return the receipts of all requests with the same source and output."""
        folder = self._receipt_path(request).parent
        return [(path, pq.read_table(path).to_pylist()[0]) for path in sorted(folder.glob("*.parquet"))]

    def _write_parquet(self, table: pa.Table, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = self._work_file(f"{target.parent.name}-{target.name}")
        # neither compression nor dictionaries nor statistics pay for a few rows, nor dictionaries for numbers
        many = table.num_rows > 1000
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        pq.write_table(
            table, whole, compression="zstd" if many else "none", compression_level=1 if many else None,
            use_dictionary=texts if many else False, write_statistics=many)  # fmt: skip
        whole.replace(target)


def _stray_name(source: str) -> str:
    return f"message-{hashlib.sha256(source.encode()).hexdigest()[:32]}"


def _remove(work: Path) -> None:
    """Remove a work folder, which has no folders in it."""
    for path in work.iterdir():
        path.unlink()
    work.rmdir()


def _outranks(other: dict[str, Any], request: Request) -> bool:
    ours = datetime.fromisoformat(request.source_time)
    return bool((other["source_time"], other["attempt"]) > (ours, request.attempt))


def _faults(block: ForecastBlock) -> list[tuple[str, RecordError]]:
    faults = block.batch.column("fault")
    names = block.batch.column("series_id")
    rows = np.flatnonzero(np.asarray(faults.is_valid())).tolist()
    return [(names[row].as_py(), RecordError.from_json(faults[row].as_py())) for row in rows]


def _series_letter(request: Request, layout: Layout, name: str, error: RecordError) -> DeadLetter:
    """Return a series' dead letter; the fault of a file's only series is the file's own."""
    scope = "series" if layout.id_columns else "file"
    return DeadLetter.of(request, scope, "Forecast", name if layout.id_columns else "", error)


def spec_of_forecast(forecast: Path, source: Path) -> dict[str, Any]:
    """Return the options, by name, with which a local file was forecast; none if there is no receipt of that."""
    for root in forecast.absolute().parents:
        if not (root / INTERNAL).is_dir():
            continue
        place = _place(str(source.absolute()), forecast.absolute().relative_to(root).as_posix())
        paths = sorted((root / INTERNAL / "receipts" / place).glob("*.parquet"))
        rows = [row for path in paths for row in pq.read_table(path).to_pylist() if row["status"] != "failed"]
        latest = max(rows, key=lambda row: row["finished_at"], default=None)
        return {} if latest is None else dict(json.loads(latest["spec"]))
    return {}


def _place(source: str, output: str) -> str:
    """Return the name of the folder that holds all receipts of a source and an output."""
    return hashlib.sha256(f"{source}\n{output}".encode()).hexdigest()[:16]


def _is_forecast(path: Path) -> bool:
    """Return whether a file's header is that of a forecast."""
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            start = file.read(1 << 16).decode(errors="replace")
        header = next(csv.reader(io.StringIO(start, newline="\n")), [])
    except (EOFError, gzip.BadGzipFile, zlib.error, csv.Error):
        return False
    return ["date", "prediction"] in [header[i : i + 2] for i in range(len(header))]


def _compressed(raw: IO[bytes], name: str) -> AbstractContextManager[Any]:
    """Return what to write to: gzip, without a name or a time in it, if the name says so."""
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if name.endswith(".gz") else nullcontext(raw)
