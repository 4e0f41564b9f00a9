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
import shutil
import statistics
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import __version__
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
        """Return the folder for a request's work files; it is gone once the receipt is written."""
        return self._internal / "work" / request.key

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
        """Write one block's rows: its part of the table, and of the CSV, the dead letters and the counts."""
        request, part = block.request, f"part-{block.part:06d}"
        work = self.work(request)
        work.mkdir(parents=True, exist_ok=True)
        layout, levels = Layout.from_json(block.layout), ForecastSpec.from_json(request.spec).level
        rows = forecast_rows(block, levels)
        self._write_parquet(rows, self._part_of_table(request, block.part), work)
        header = b"" if block.part else csv_header(layout, levels)
        (work / f"{part}.csv").write_bytes(header + csv_rows(block.batch, layout, levels))
        faults = _faults(block)
        letters = [_series_letter(request, layout, name, error) for name, error in faults]
        summary = {
            "notes": layout.notes,
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
        (work / f"{part}.json").write_text(json.dumps(summary))
        return Outcome(request, block.parts, block.part)

    def publish(self, outcome: Outcome) -> Outcome:
        """Put the CSV of a request in its place, once all its parts are written."""
        request, work = outcome.request, self.work(outcome.request)
        if self._done_before(request):
            return dataclasses.replace(outcome, part=-1)
        parts = list(self._summaries(outcome))
        if any(part["series"] > part["failed"] for part in parts):
            names = [work / f"part-{number:06d}.csv" for number in range(outcome.parts)]
            composed = work / "forecast.csv"
            with composed.open("wb") as raw, _compressed(raw, request.output) as file:
                for name in names:
                    with name.open("rb") as rows:
                        shutil.copyfileobj(rows, file)
            target = self.root / request.output
            target.parent.mkdir(parents=True, exist_ok=True)
            composed.replace(target)
        # of an earlier run of this request under other limits, which cut it into more parts
        for number in itertools.count(outcome.parts):
            stale = self._part_of_table(request, number)
            if not stale.exists():
                break
            stale.unlink()
        return dataclasses.replace(outcome, part=-1)

    def _part_of_table(self, request: Request, part: int) -> Path:
        return self._internal / "forecasts" / f"{request.key}-{part:06d}.parquet"

    # --------------------------------------------------------------------------------- dead letters

    def write_dead_letters(self, outcome: Outcome) -> Outcome:
        """Write a request's dead letters, or remove those of an earlier run of it that failed."""
        request, work = outcome.request, self.work(outcome.request)
        if self._done_before(request) and not outcome.failure:
            return outcome
        work.mkdir(parents=True, exist_ok=True)
        folder = self._internal / "dead_letters"
        ndjson, parquet = folder / f"{request.key}.ndjson", folder / f"{request.key}.parquet"
        letters = self._dead_letters(outcome)
        if not letters:
            ndjson.unlink(missing_ok=True)
            parquet.unlink(missing_ok=True)
            return outcome
        self._write_parquet(element_rows("dead_letters", letters), parquet, work)
        composed = work / "dead_letters.ndjson"
        composed.write_text("".join(letter.to_json() + "\n" for letter in letters))
        composed.replace(ndjson)
        return outcome

    def write_stray_dead_letter(self, letter: DeadLetter) -> None:
        """Write the dead letter of something that never became a request, such as a bad manifest."""
        name = _stray_name(letter.source)
        folder, work = self._internal / "dead_letters", self._internal / "work" / name
        work.mkdir(parents=True, exist_ok=True)
        self._write_parquet(element_rows("dead_letters", [letter]), folder / f"{name}.parquet", work)
        composed = work / "dead_letters.ndjson"
        composed.write_text(letter.to_json() + "\n")
        composed.replace(folder / f"{name}.ndjson")
        _remove(work)

    def remove_stray_dead_letter(self, source: str) -> None:
        """Remove the dead letter of a manifest that has been mended."""
        for suffix in ("ndjson", "parquet"):
            (self._internal / "dead_letters" / f"{_stray_name(source)}.{suffix}").unlink(missing_ok=True)

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
        if self._done_before(request):
            return self._read_receipt(self._receipt_path(request))
        receipt = self._receipt(outcome)
        # Locally, what lies there now always wins, even if an older file was put back.
        for path, other in self._receipts_of(request):
            if other["request_key"] != request.key and _outranks(other, request):
                superseded = element_rows("receipts", []).schema
                other["status"] = "superseded"
                self._write_parquet(pa.Table.from_pylist([other], schema=superseded), path, work)
        path = self._receipt_path(request)
        # The same request, done before and now refused (by a lower limit, say), takes nothing back.
        if receipt.status != "failed" or not path.exists() or self._read_receipt(path).status == "failed":
            self._write_parquet(element_rows("receipts", [receipt]), path, work)
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
        for number in range(outcome.parts):
            yield json.loads((self.work(outcome.request) / f"part-{number:06d}.json").read_text())

    def _receipt_path(self, request: Request) -> Path:
        return self._internal / "receipts" / _place(request.source, request.output) / f"{request.key}.parquet"

    def _done_before(self, request: Request) -> bool:
        """Return whether the receipt is written already: a runner may repeat any step after the last one."""
        return not self.work(request).exists() and self._receipt_path(request).exists()

    def _read_receipt(self, path: Path) -> Receipt:
        row = pq.read_table(path).to_pylist()[0]
        for name in ("source_time", "finished_at"):
            row[name] = row[name].isoformat().replace("+00:00", "Z")
        return Receipt(**row)

    def _receipts_of(self, request: Request) -> list[tuple[Path, dict[str, Any]]]:
        """Return the receipts of all requests with the same source and output."""
        folder = self._receipt_path(request).parent
        return [(path, pq.read_table(path).to_pylist()[0]) for path in sorted(folder.glob("*.parquet"))]

    def _write_parquet(self, table: pa.Table, target: Path, work: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = work / f"{target.name}.whole"
        # neither compression nor dictionaries nor statistics pay for a few rows
        many = table.num_rows > 1000
        compression = "zstd" if many else "none"
        pq.write_table(table, whole, compression=compression, use_dictionary=many, write_statistics=many)
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
