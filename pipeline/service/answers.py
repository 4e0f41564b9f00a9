"""The forecast of a file in the format that was asked for, written block by block."""

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows
from pipeline.core.outputs.forecast_frame import forecast_frame
from pipeline.core.series.layout import Layout
from pipeline.service.bodies import ARROW, CSV, HTML, JSON, PARQUET

IN_MEMORY = 1 << 20  # bytes of a body or an answer; more is on disk
OFFERED = (CSV, JSON, ARROW, PARQUET, HTML)
MOST_FAULTS = 1000  # that an answer as JSON lists


def spooled() -> IO[bytes]:
    """Return a file for a body or an answer: in memory as long as it is small."""
    return tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # closed by whoever reads it


@dataclass(frozen=True)
class Wanted:
    """The form of an answer.

    Attributes:
        media_type: CSV, JSON, ARROW, PARQUET or HTML.
        names: of the columns, one of core/outputs/forecast_frame.NAMES; a CSV has its own.
        orient: of JSON, records or columns.
    """

    media_type: str = CSV
    names: str = "csv"
    orient: str = "records"


@dataclass
class Answer:
    """The forecast of a file.

    Attributes:
        media_type: of its content.
        charset: of a CSV: the file's own.
        body: the content, at its beginning.
        size: bytes of the content.
        series: how many the file has.
        faults: of those that could not be forecast.
        notes: what the owner should know about how the file was read, and how some series were forecast.
    """

    media_type: str
    charset: str = ""
    body: IO[bytes] = field(default_factory=spooled)
    size: int = 0
    series: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, found: pa.RecordBatch) -> None:
        """Take over what a block's series have to say, besides their forecasts."""
        names = found.column("series_id").to_pylist()
        for name, text, told in zip(names, *(found.column(c).to_pylist() for c in ("fault", "note")), strict=True):
            if text is not None:
                error = RecordError.from_json(text)
                self.faults.append({"series_id": name, "code": error.code, "message": error.message,
                                    "hint": error.hint, "line": error.line, "column": error.column})  # fmt: skip
            elif told is not None and len(self.notes) < MOST_FAULTS:
                self.notes.append(f"series {name!r}: {told}")


class Writer(ABC):
    """Writes forecasts into an answer.

    Args:
        answer: whose body is written.
        wanted: its form.
        layout: of the file.
        spec: what was asked.
    """

    def __init__(self, answer: Answer, wanted: Wanted, layout: Layout, spec: ForecastSpec) -> None:
        self.answer, self.wanted, self.layout, self.spec = answer, wanted, layout, spec

    @abstractmethod
    def add(self, found: pa.RecordBatch) -> None:
        """Write a block's forecasts."""

    @abstractmethod
    def end(self) -> None:
        """Write what comes after the last block."""

    def frame(self, found: pa.RecordBatch) -> pa.Table:
        """Return a block's forecasts as a table."""
        as_text = self.wanted.media_type == JSON
        return forecast_frame(found, self.layout, self.spec, self.wanted.names, as_text)


class CsvWriter(Writer):
    """Writes the CSV that the command line and the pipeline write."""

    def __init__(self, answer: Answer, wanted: Wanted, layout: Layout, spec: ForecastSpec) -> None:
        super().__init__(answer, wanted, layout, spec)
        answer.body.write(csv_header(layout, spec))
        answer.charset = layout.dialect.encoding.removesuffix("-sig")

    def add(self, found: pa.RecordBatch) -> None:
        """Write a block's forecasts."""
        self.answer.body.write(csv_rows(found, self.layout, self.spec))

    def end(self) -> None:
        """Do nothing: a CSV ends with its last row."""


class RecordsWriter(Writer):
    """Writes JSON: the forecasts as records, then what else there is to say."""

    _before = b'{"forecasts": ['

    def add(self, found: pa.RecordBatch) -> None:
        """Write a block's forecasts."""
        text = json.dumps(self.frame(found).to_pylist(), ensure_ascii=False)[1:-1]
        if text:
            self.answer.body.write(self._before + text.encode())
            self._before = b", "

    def end(self) -> None:
        """Write the rest."""
        start = self._before if self._before != b", " else b""
        self.answer.body.write(start + b"], " + _rest(self.answer))


class ColumnsWriter(Writer):
    """Writes JSON: the forecasts as columns by name, then what else there is to say."""

    def __init__(self, answer: Answer, wanted: Wanted, layout: Layout, spec: ForecastSpec) -> None:
        super().__init__(answer, wanted, layout, spec)
        self._tables: list[pa.Table] = []

    def add(self, found: pa.RecordBatch) -> None:
        """Keep a block's forecasts: each column needs all of them."""
        self._tables.append(self.frame(found))

    def end(self) -> None:
        """Write it all."""
        write = self.answer.body.write
        whole = pa.concat_tables(self._tables)
        for number, (name, column) in enumerate(zip(whole.column_names, whole.columns, strict=True)):
            write((", " if number else '{"forecasts": {').encode())
            write(f"{json.dumps(name)}: {json.dumps(column.to_pylist(), ensure_ascii=False)}".encode())
        write(b"}, " + _rest(self.answer))


class ArrowWriter(Writer):
    """Writes an Arrow stream, or a Parquet file."""

    _writer: Any = None

    def add(self, found: pa.RecordBatch) -> None:
        """Write a block's forecasts."""
        frame = self.frame(found)
        if self._writer is None:
            sink = pa.PythonFile(self.answer.body, mode="w")
            stream = self.wanted.media_type == ARROW
            self._writer = pa.ipc.new_stream(sink, frame.schema) if stream else pq.ParquetWriter(sink, frame.schema)
        self._writer.write_table(frame)

    def end(self) -> None:
        """Write the end of the format."""
        self._writer.close()


def writer_of(answer: Answer, wanted: Wanted, layout: Layout, spec: ForecastSpec) -> Writer:
    """Return what writes forecasts in the form that is wanted."""
    if wanted.media_type == CSV:
        return CsvWriter(answer, wanted, layout, spec)
    if wanted.media_type == JSON:
        of_orient = ColumnsWriter if wanted.orient == "columns" else RecordsWriter
        return of_orient(answer, wanted, layout, spec)
    return ArrowWriter(answer, wanted, layout, spec)


def media_type_of(accepted: str) -> str | None:
    """Return the media type of an Accept header that an answer can have, CSV by default; None if it has none.

    Of several the one with the highest weight counts, and of these the first.
    """
    best: tuple[float, str] | None = None
    for entry in accepted.split(",") if accepted.strip() else ["*/*"]:
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = next((_weight(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
        for offered in OFFERED:
            if kind in (offered, "*/*") or (kind.endswith("/*") and offered.startswith(kind[:-1])):
                if weight > (best[0] if best else 0):
                    best = (weight, offered)
                break
    return best[1] if best else None


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _rest(answer: Answer) -> bytes:
    rest = {"series": answer.series, "series_failed": len(answer.faults), "faults": answer.faults[:MOST_FAULTS],
            "notes": answer.notes}  # fmt: skip
    return json.dumps(rest, ensure_ascii=False)[1:].encode()
