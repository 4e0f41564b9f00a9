"""The records of a run: requests, dead letters and receipts. coders.py has their Beam coders."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from pipeline.core.errors import CODES, RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.request_key import request_key

Status = Literal["complete", "partial", "failed", "superseded"]
"""Of a request: all series forecast, some not forecast, the whole file failed, or a newer version came first."""
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Request:
    """One thing to forecast.

    Attributes:
        source: URI of the CSV; an absolute path for a local file.
        version: the object's generation, or the SHA-256 of a local file's content.
        source_time: when that version was created, RFC 3339 in UTC.
        output: name of the forecast below the output prefix.
        spec: a ForecastSpec as canonical JSON of the fields that differ from their defaults.
        attempt: 0 at first; each replay or --again counts it up.
        id: the sender's own name for it, from a manifest; not part of the key.
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

    @cached_property
    def parsed_spec(self) -> ForecastSpec:
        """The parsed spec, cached."""
        return ForecastSpec.from_json(self.spec)

    def to_json(self) -> str:
        """Return everything that a replay needs."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


class OneOfParts:
    """One of the parts of something that is whole once all are done.

    Attributes:
        parts: how many there are.
    """

    parts: int

    def completes(self, done: Collection[int]) -> bool:
        """Return whether these are the numbers of all parts; a number may occur twice, after a retry."""
        return len(set(done)) == self.parts


@dataclass(frozen=True)
class DeadLetter:
    """Something that could not be forecast, with the reason and what a retry needs.

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
    """The result of one Request. Attributes are the columns of templates/bigquery/receipts.json."""

    request_key: str
    source: str
    version: str
    source_time: str
    attempt: int
    output: str
    id: str
    status: Status
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
    feed: str | None = None
