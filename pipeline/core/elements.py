"""What flows through the pipeline. Nothing here imports Beam: coders.py teaches Beam these types."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.core.errors import CODES, RecordError
from pipeline.core.request_key import request_key


@dataclass(frozen=True)
class Request:
    """One thing to forecast.

    Attributes:
        source: URI of the CSV; an absolute path for a local file.
        version: the object's generation, or the SHA-256 of a local file's content.
        source_time: when that version was created, RFC 3339 in UTC.
        output: name of the forecast below the output prefix.
        spec: a ForecastSpec as canonical JSON of the fields that differ from their defaults.
        attempt: 0; a replay or an operator's "again" counts up.
        id: the sender's own name for it, from a manifest; no part of the key.
    """

    source: str
    version: str
    source_time: str
    output: str
    spec: str
    attempt: int = 0
    id: str = ""

    @property
    def key(self) -> str:
        """The hash from which every name, row id and job id of this request derives."""
        return request_key(self.source, self.version, self.output, self.attempt, self.spec)

    def to_json(self) -> str:
        """Return all that a replay needs."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


@dataclass(frozen=True)
class SeriesBlock:
    """Some series of one request, as one record batch (core/series/batch.py).

    Attributes:
        request: what this is a part of.
        part: number of this block, from 0.
        parts: how many blocks the request has.
        layout: how the forecast is to look, as JSON of a Layout.
        batch: the series, a row each; or, if `work_file` is set, no rows yet.
        work_file: where a large file's rows wait, relative to the work folder; "" for none.
        first: number of the block's first series in `work_file`'s numbering.
        last: number after the block's last series.
        load_seconds: what loading the file took; stands on part 0 only.
        load: tells this reading of the file from others, whose work files it must not touch; "" in a folder.
    """

    request: Request
    part: int
    parts: int
    layout: str
    batch: pa.RecordBatch
    work_file: str = ""
    first: int = 0
    last: int = 0
    load_seconds: float = 0.0
    load: str = ""


@dataclass(frozen=True)
class ForecastBlock:
    """The forecasts of one SeriesBlock, one row per series, with a status each (core/engines/forecast_batch.py).

    Attributes:
        request, part, parts, layout, load_seconds, load: as in the SeriesBlock.
        batch: the forecasts.
        fit_seconds: what the engine took.
        model: engine and version.
        work_files: whether the series came from work files.
    """

    request: Request
    part: int
    parts: int
    layout: str
    batch: pa.RecordBatch
    fit_seconds: float
    load_seconds: float
    model: str
    work_files: bool = False
    load: str = ""


@dataclass(frozen=True)
class Outcome:
    """A request whose forecasts are written, or whose file could not be read.

    Attributes:
        request: what it is about.
        parts: number of parts written; 0 if the file could not be read.
        part: the part just written, while parts are still gathered; -1 once all are there.
        failure: a DeadLetter as JSON if the file could not be read, else "".
        summary: what was written, as JSON, if the request has one part; those of several lie in work files.
        superseded: whether it gave way to a newer version of its source.
        load: as in the SeriesBlock.
    """

    request: Request
    parts: int
    part: int = -1
    failure: str = ""
    summary: str = ""
    superseded: bool = False
    load: str = ""


@dataclass(frozen=True)
class DeadLetter:
    """What could not be forecast, why, and what is needed to try again.

    Attributes are the columns of templates/bigquery/dead_letters.json, where each is described.
    """

    request_key: str
    source: str
    version: str
    source_time: str
    attempt: int
    output: str
    scope: str
    stage: str
    series_id: str
    code: str
    message: str
    hint: str
    line: int | None
    column: str | None
    found: str | None
    replayable: bool
    request: str

    @classmethod
    def of_file(cls, request: Request, stage: str, error: RecordError) -> DeadLetter:
        """Return the dead letter of a file that could not be read."""
        return cls.of(request, "file", stage, "", error)

    @classmethod
    def of(cls, request: Request, scope: str, stage: str, series_id: str, error: RecordError) -> DeadLetter:
        """Return the dead letter of a file or a series of `request`."""
        return cls(
            request_key=request.key,
            source=request.source,
            version=request.version,
            source_time=request.source_time,
            attempt=request.attempt,
            output=request.output,
            scope=scope,
            stage=stage,
            series_id=series_id,
            code=error.code,
            message=f"{request.source.rsplit('/', 1)[-1]}{', ' if error.place() else ': '}{error}",
            hint=error.hint,
            line=error.line,
            column=error.column,
            found=error.found,
            replayable=CODES[error.code].replayable,
            request=request.to_json(),
        )

    def to_json(self) -> str:
        """Return the dead letter as one line of NDJSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> DeadLetter:
        """Return what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)


@dataclass(frozen=True)
class Receipt:
    """What became of one Request. Attributes are the columns of templates/bigquery/receipts.json."""

    request_key: str
    source: str
    version: str
    source_time: str
    attempt: int
    output: str
    id: str
    status: str
    code: str
    series: int
    series_forecast: int
    series_failed: int
    rows: int
    model: str
    frequencies: str
    spec: str
    notes: str
    score_mase: float | None
    score_series: int
    load_seconds: float
    fit_seconds: float
    software: str
    finished_at: str
