"""Receipts in an output folder: one Parquet file each, those of one source and output together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.elements import Receipt, Request
from pipeline.core.outputs.tables import element_rows, table_schema
from pipeline.core.requests.names import INTERNAL, receipts_place
from pipeline.folder.whole_files import WholeFiles


class FolderReceipts:
    """Reads and writes receipts.

    Args:
        folder: where they are.
        files: writes files whole.
    """

    def __init__(self, folder: Path, files: WholeFiles) -> None:
        self._folder, self._files = folder, files

    def path(self, request: Request) -> Path:
        """Return where the receipt of a request is."""
        return self._folder / receipts_place(request.source, request.output) / f"{request.key}.parquet"

    def read(self, request: Request) -> Receipt | None:
        """Return the receipt of a request; None if it has none."""
        return self.read_file(self.path(request))

    def read_noted(self, place: str, key: str) -> Receipt | None:
        """Return the receipt of a request by the name of its folder and its key; None if there is none."""
        return self.read_file(self._folder / place / f"{key}.parquet")

    @staticmethod
    def read_file(path: Path) -> Receipt | None:
        """Return the receipt in a file; None if there is none."""
        return receipt_of_row(pq.read_table(path).to_pylist()[0]) if path.exists() else None

    def write(self, request: Request, receipt: Receipt) -> None:
        """Write the receipt of a request; those of older versions of its source are superseded.

        If the same request was done before and is refused now, for example by a lower limit, nothing is undone.
        """
        # Locally, the current content always wins, even if an older file was put back.
        for path, other in self.rows(request):
            if other["request_key"] != request.key and _rank(other) > rank_of(request):
                row = {**other, "status": "superseded"}
                self._files.write_parquet(path, pa.Table.from_pylist([row], schema=table_schema("receipts")))
        if receipt.status != "failed" or not self.tells_of_forecast(request):
            self._files.write_parquet(self.path(request), element_rows("receipts", [receipt]))

    def tells_of_forecast(self, request: Request) -> bool:
        """Return whether the receipt of a request is about a forecast; not if it failed or has none."""
        receipt = self.read(request)
        return receipt is not None and receipt.status != "failed"

    def standing(self, request: Request) -> Receipt | None:
        """Return the receipt of a request if no other of its source and output came after it; else None."""
        others = {path: row for path, row in self.rows(request) if row["status"] != "superseded"}
        row = others.pop(self.path(request), None)
        if row is None or any(_rank(other) > _rank(row) for other in others.values()):
            return None
        return receipt_of_row(row)

    def rows(self, request: Request) -> list[tuple[Path, dict[str, Any]]]:
        """Return the receipts of all requests with the same source and output."""
        found = []
        for path in sorted(self.path(request).parent.glob("*.parquet")):
            try:
                found.append((path, pq.read_table(path).to_pylist()[0]))
            except pa.ArrowInvalid:  # a power failure before it reached the disk: the request is not done
                path.unlink()
        return found

    def all(self, columns: list[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield some columns of all receipts, by path; incomplete files are skipped."""
        for path in sorted(self._folder.glob("*/*.parquet")):
            try:
                yield path, pq.read_table(path, columns=columns).to_pylist()[0]
            except pa.ArrowInvalid:
                continue

    def keys(self) -> set[str]:
        """Return the keys of all requests that have a receipt."""
        return {path.stem for path in self._folder.glob("*/*.parquet")}


def receipt_of_row(row: dict[str, Any]) -> Receipt:
    """Return a receipt from a row of its table; further columns are ignored."""
    times = {name: row[name].isoformat().replace("+00:00", "Z") for name in ("source_time", "finished_at")}
    return Receipt(**{name: times.get(name, row[name]) for name in Receipt.__dataclass_fields__})


def _rank(row: dict[str, Any]) -> tuple[datetime, int]:
    return row["source_time"], row["attempt"]


def rank_of(request: Request) -> tuple[datetime, int]:
    """Return what orders the requests of a source from older to newer."""
    return datetime.fromisoformat(request.source_time), request.attempt


def spec_of_forecast(forecast: Path, source: Path) -> dict[str, Any]:
    """Return the options, by name, that a local file was forecast with; empty if it has no receipt."""
    for root in forecast.absolute().parents:
        if not (root / INTERNAL).is_dir():
            continue
        place = receipts_place(str(source.absolute()), forecast.absolute().relative_to(root).as_posix())
        paths = sorted((root / INTERNAL / "receipts" / place).glob("*.parquet"))
        rows = [row for path in paths for row in pq.read_table(path).to_pylist() if row["status"] != "failed"]
        latest = max(rows, key=lambda row: row["finished_at"], default=None)
        return {} if latest is None else dict(json.loads(latest["spec"]))
    return {}
