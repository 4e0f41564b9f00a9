"""Outcomes of requests, from the first written part to completion, and the summaries of their parts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import __version__
from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import DeadLetter, OneOfParts, Request
from pipeline.core.engines.hint import scores_of
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import fallback_notes
from pipeline.core.outputs.backtest_sums import Inside, summed_coverage, summed_weights
from pipeline.core.request_key import canonical_json
from pipeline.core.series.layout import Layout

SOFTWARE = f"dropcast {__version__}"


@dataclass(frozen=True)
class BlockSummary:
    """What dead letters and the receipt need to know of a written block.

    Attributes:
        notes: what the owner should know about how the file was read.
        series_notes: notes about single series, and how many series each is about.
        letters: dead letters of the block's series.
        first_fault: what is wrong with the first series that has no forecast; "" if all have one.
        series: number of series.
        failed: how many of them have no forecast.
        refused: how many more the table refused; these are in the CSV.
        rows: number of rows in the table.
        frequencies: of the series, each once.
        mase: scores of the series that have one.
        weights: of the members of --model=auto, each summed over the series.
        inside: for each level, the share of past values inside the interval, summed over the series that have any, and
            the number of these.
        tried: MASE of Prophet and of auto, for series on which auto was tried for the hint.
        load_seconds, fit_seconds, model, work_files: as in the ForecastBlock.
        cut: distinguishes this block from one with the same number if the file was cut into other blocks.
        waits_to_load: the tables whose rows are in Parquet files that a load job has yet to bring there.
    """

    notes: tuple[str, ...]
    series_notes: dict[str, int]
    letters: tuple[DeadLetter, ...]
    first_fault: str
    series: int
    failed: int
    refused: int
    rows: int
    frequencies: tuple[str, ...]
    mase: tuple[float, ...]
    weights: dict[str, float]
    inside: Inside
    tried: tuple[tuple[float, float], ...]
    load_seconds: float
    fit_seconds: float
    model: str
    work_files: bool
    cut: str
    waits_to_load: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the summary as JSON."""
        return json.dumps(_fields(self), default=_fields)

    @classmethod
    def from_json(cls, text: str | bytes) -> BlockSummary:
        """Return what `to_json` wrote."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> BlockSummary:
        """Return the summary with these fields, whose lists may be JSON's."""
        tuples = {name: tuple(fields[name]) for name in ("notes", "frequencies", "mase", "waits_to_load")}
        inside = {level: tuple(counted) for level, counted in fields["inside"].items()}
        letters = tuple(DeadLetter(**letter) for letter in fields["letters"])
        tried = tuple((prophet, auto) for prophet, auto in fields["tried"])
        return cls(**{**fields, **tuples, "inside": inside, "tried": tried, "letters": letters})


@dataclass(frozen=True)
class WrittenPart(OneOfParts):
    """One written part of a request that has several; the others may not be written yet.

    Attributes:
        request: the request that it is a part of.
        part, parts, reading: as in the ForecastBlock.
    """

    request: Request
    part: int
    parts: int
    reading: str = ""

    def whole(self) -> WrittenRequest:
        """Return the request, all parts of which are written."""
        return WrittenRequest(self.request, self.parts, self.reading)


@dataclass(frozen=True)
class Outcome:
    """The result of a request so far: one of the classes below.

    Attributes:
        request: the request.
    """

    request: Request

    @property
    def written(self) -> WrittenRequest | None:
        """The written parts of the request, if there are any."""
        raise NotImplementedError


@dataclass(frozen=True)
class WrittenRequest(Outcome):
    """All parts of a request are written.

    Attributes:
        parts: how many.
        reading: as in the ForecastBlock.
        summary: of the only part; None if there are several, whose summaries are in the work files.
    """

    parts: int
    reading: str = ""
    summary: BlockSummary | None = None

    @property
    def written(self) -> WrittenRequest:
        """Itself."""
        return self


@dataclass(frozen=True)
class FailedRequest(Outcome):
    """A request failed as a whole: its file cannot be read, or its forecast cannot be published.

    Attributes:
        letter: why.
        written: what had been written of it before that.
    """

    letter: DeadLetter
    written: WrittenRequest | None = None


@dataclass(frozen=True)
class SupersededRequest(Outcome):
    """A request was superseded by a newer version of its source.

    Attributes:
        written: what had been written of it before that.
    """

    written: WrittenRequest | None = None


def outcome_to_json(outcome: Outcome) -> str:
    """Return an outcome as JSON, with the name of its class."""
    named = [type(outcome).__name__, _fields(outcome)]
    return json.dumps(named, default=_fields, sort_keys=True, separators=(",", ":"))


def _fields(element: Any) -> dict[str, Any]:
    """Return a dataclass's fields by name; unlike asdict without copying the thousands of numbers in some."""
    return {field.name: getattr(element, field.name) for field in dataclasses.fields(element)}


def outcome_from_json(text: str | bytes) -> Outcome:
    """Return what `outcome_to_json` wrote."""
    name, fields = json.loads(text)
    if name == WrittenRequest.__name__:
        return _written(fields)
    request = Request(**fields["request"])
    written = None if fields["written"] is None else _written(fields["written"])
    if name == SupersededRequest.__name__:
        return SupersededRequest(request, written)
    return FailedRequest(request, DeadLetter(**fields["letter"]), written)


def _written(fields: dict[str, Any]) -> WrittenRequest:
    summary = None if fields["summary"] is None else BlockSummary.from_fields(fields["summary"])
    return WrittenRequest(Request(**fields["request"]), fields["parts"], fields["reading"], summary)


def failed_at(outcome: Outcome, stage: str, error: RecordError) -> FailedRequest:
    """Return the outcome of a request that failed as a whole at a later stage."""
    return FailedRequest(outcome.request, DeadLetter.of_file(outcome.request, stage, error), outcome.written)


def block_summary(block: ForecastBlock, rows: int) -> BlockSummary:
    """Return what the receipt needs to know of a block.

    Args:
        block: the forecasts.
        rows: number of rows that the block has in the table.
    """
    layout, batch = block.layout, block.batch
    names, faults = batch.column("series_id"), batch.column("fault")
    failed = np.flatnonzero(np.asarray(faults.is_valid())).tolist()
    errors = [RecordError.from_json(faults[row].as_py()) for row in failed]
    return BlockSummary(
        notes=(*layout.notes, *fallback_notes(block.request.parsed_spec)),
        series_notes=dict(Counter(batch.column("note").drop_null().to_pylist())),
        letters=tuple(
            _series_letter(block.request, layout, names[row].as_py(), error)
            for row, error in zip(failed, errors, strict=True)
        ),
        first_fault=str(errors[0]) if errors else "",
        series=len(batch),
        failed=len(failed),
        refused=0,
        rows=rows,
        frequencies=tuple(sorted(set(batch.column("frequency").drop_null().to_pylist()))),
        mase=tuple(batch.column("mase").drop_null().to_pylist()),
        weights=summed_weights(batch),
        inside=summed_coverage(batch),
        tried=scores_of(batch),
        load_seconds=block.load_seconds,
        fit_seconds=block.fit_seconds,
        model=block.model,
        work_files=block.work_files,
        cut=cut_of(block),
    )


def cut_of(block: ForecastBlock) -> str:
    """Return what distinguishes a part from one with the same number when the file was cut into different blocks."""
    names = block.batch.column("series_id")
    ends = [names[0].as_py(), names[len(names) - 1].as_py()]
    cut = canonical_json([SOFTWARE, block.parts, len(names), ends, block.layout.to_json()])
    return hashlib.sha256(cut.encode()).hexdigest()[:16]


def _series_letter(request: Request, layout: Layout, name: str, error: RecordError) -> DeadLetter:
    """Return a series' dead letter; the fault of a file's only series is the file's own."""
    scope = "series" if layout.id_columns else "file"
    return DeadLetter.of(request, scope, "Forecast", name if layout.id_columns else "", error)
