"""A forecast on request: a file in, its forecast out, and nothing kept."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import Request
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import forecast_block
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows
from pipeline.core.outputs.tables import forecast_rows
from pipeline.core.requests.local_files import OPERATORS_FIELDS
from pipeline.core.series.load import load_file
from pipeline.options import spec_from

CSV, JSON, ARROW = "text/csv", "application/json", "application/vnd.apache.arrow.stream"
COLUMNS = ("series_id", "step", "forecast_timestamp", "forecast_value", "confidence_level",
           "prediction_interval_lower_bound", "prediction_interval_upper_bound", "model")  # fmt: skip
"""Of answers as JSON and Arrow: those of the table forecasts that say something of a file alone."""


@dataclass
class Answer:
    """The forecast of a file.

    Attributes:
        media_type: CSV, JSON or ARROW.
        parts: of the body.
        series: how many the file has.
        faults: of those that could not be forecast.
        notes: what the owner should know about how the file was read.
    """

    media_type: str
    parts: list[bytes]
    series: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def spec_asked(given: Mapping[str, str], operators: ForecastSpec) -> ForecastSpec:
    """Return the options that a request states, over the operator's.

    Raises:
        RecordError: BAD_MANIFEST, with a line for each thing that is wrong.
    """
    problems = [f"{name}: is not an option of a forecast" for name in given
                if name not in ForecastSpec.model_fields or name in OPERATORS_FIELDS]  # fmt: skip
    known = {name: value for name, value in given.items() if name in ForecastSpec.model_fields}
    spec, _, more = spec_from(operators.under(known))
    problems += [line.removeprefix("--") for line in more]
    if problems:
        raise RecordError("BAD_MANIFEST", "; ".join(problems) + ".", "See docs/options.md.")
    return spec


def media_type_of(accepted: str) -> str | None:
    """Return the first media type of an Accept header that an answer can have, CSV by default; None if it has none."""
    for entry in accepted.split(",") if accepted.strip() else ["*/*"]:
        kind = entry.partition(";")[0].strip().lower()
        for offered in (CSV, JSON, ARROW):
            if kind in (offered, "*/*") or (kind.endswith("/*") and offered.startswith(kind[:-1])):
                return offered
    return None


def forecast_file(file: IO[bytes], spec: ForecastSpec, limits: Limits, media_type: str, seconds: float) -> Answer:
    """Forecast each series of a file.

    Args:
        file: a CSV or Parquet file, at its beginning.
        spec: how to read and forecast it.
        limits: of a file.
        media_type: of the answer.
        seconds: after which it is given up, between two blocks.

    Raises:
        RecordError: if it cannot be read, no series can be forecast, or it takes too long.
    """
    until, errors = time.monotonic() + seconds, InternalErrors("request")
    request = Request("request", "", "1970-01-01T00:00:00Z", "forecast.csv", spec.to_json())
    with tempfile.TemporaryDirectory(prefix="dropcast-") as work, contained(errors):
        loaded = load_file(file, spec, limits, Path(work) / "rows")
        engine = engine_named(spec.solver)
        answer = Answer(media_type, [], len(loaded.ids), notes=loaded.layout.notes)
        tables: list[pa.Table] = []
        if media_type == CSV:
            answer.parts.append(csv_header(loaded.layout, spec))
        for part, series in enumerate(loaded.batches(errors)):
            if time.monotonic() > until:
                raise RecordError("TOO_SLOW", f"The file takes longer than {seconds:g} seconds.", "Split it.")
            found = forecast_block(series, loaded.layout.extras, spec, limits, engine, errors)
            answer.faults += _faults(found)
            if media_type == CSV:
                answer.parts.append(csv_rows(found, loaded.layout, spec))
            else:
                block = ForecastBlock(request, part, loaded.parts, loaded.layout, found, 0.0, 0.0, engine.model)
                tables.append(forecast_rows(block).select(COLUMNS))
    if answer.series and len(answer.faults) == answer.series:
        first = answer.faults[0]
        raise RecordError(first["code"], first["message"], first["hint"], line=first["line"])
    if media_type == JSON:
        answer.parts = list(_json(tables, answer))
    elif media_type == ARROW:
        answer.parts = [_arrow(tables)]
    return answer


def _faults(found: pa.RecordBatch) -> list[dict[str, Any]]:
    faults = []
    for name, text in zip(found.column("series_id").to_pylist(), found.column("fault").to_pylist(), strict=True):
        if text is not None:
            error = RecordError.from_json(text)
            faults.append({"series_id": name, "code": error.code, "message": error.message, "hint": error.hint,
                           "line": error.line})  # fmt: skip
    return faults


def _json(tables: list[pa.Table], answer: Answer) -> Iterator[bytes]:
    yield b'{"forecasts": ['
    for number, table in enumerate(tables):
        rows = [{**row, "forecast_timestamp": row["forecast_timestamp"].isoformat()} for row in table.to_pylist()]
        text = json.dumps(rows)[1:-1]
        yield (", " if number and text else "").encode() + text.encode()
    rest = {"series": answer.series, "notes": list(answer.notes), "faults": answer.faults}
    yield b"], " + json.dumps(rest)[1:].encode()


def _arrow(tables: list[pa.Table]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
