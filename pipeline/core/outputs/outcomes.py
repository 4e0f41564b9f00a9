"""What came of a request: what its blocks tell of themselves, its dead letters, and its receipt."""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline import __version__
from pipeline.core.elements import DeadLetter, ForecastBlock, Outcome, Receipt, Request
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec, fallback_notes
from pipeline.core.request_key import canonical_json
from pipeline.core.series.layout import Layout

SOFTWARE = f"dropcast {__version__}"


def block_summary(block: ForecastBlock, layout: Layout, spec: ForecastSpec, rows: int) -> dict[str, Any]:
    """Return what the receipt will need to know of a block, ready for JSON.

    Args:
        block: the forecasts.
        layout: of the block.
        spec: of the request.
        rows: number of rows that the block has in the table.
    """
    column = block.batch.column("fault")
    names = block.batch.column("series_id")
    failed = np.flatnonzero(np.asarray(column.is_valid())).tolist()
    letters = [
        series_letter(block.request, layout, names[row].as_py(), RecordError.from_json(column[row].as_py()))
        for row in failed
    ]
    return {
        "notes": [*layout.notes, *fallback_notes(spec)],
        "series_notes": Counter(block.batch.column("note").drop_null().to_pylist()),
        "letters": [letter.to_json() for letter in letters],
        "series": len(block.batch),
        "failed": len(failed),  # in the fit
        "refused": 0,  # by the table
        "rows": rows,
        "frequencies": sorted(set(block.batch.column("frequency").drop_null().to_pylist())),
        "mase": block.batch.column("mase").drop_null().to_pylist(),
        "load_seconds": block.load_seconds,
        "fit_seconds": block.fit_seconds,
        "model": block.model,
        "work_files": block.work_files,
    }


def cut_of(block: ForecastBlock) -> str:
    """Return what tells a part of a request from one of the same number in a file that was cut otherwise."""
    names = block.batch.column("series_id")
    ends = [names[0].as_py(), names[len(names) - 1].as_py()]
    cut = canonical_json([SOFTWARE, block.parts, len(names), ends, block.layout])
    return hashlib.sha256(cut.encode()).hexdigest()[:16]


def series_letter(request: Request, layout: Layout, name: str, error: RecordError) -> DeadLetter:
    """Return a series' dead letter; the fault of a file's only series is the file's own."""
    scope = "series" if layout.id_columns else "file"
    return DeadLetter.of(request, scope, "Forecast", name if layout.id_columns else "", error)


def letters_of(request: Request, summaries: Sequence[dict[str, Any]]) -> list[DeadLetter]:
    """Return the dead letters of a request; if nothing is forecast, the file's own comes first."""
    letters = [DeadLetter.from_json(line) for part in summaries for line in part["letters"]]
    if letters and all(part["series"] == part["failed"] for part in summaries) and letters[0].scope == "series":
        name = letters[0].source.rsplit("/", 1)[-1]
        first = letters[0].message.removeprefix(name).lstrip(",: ")
        error = RecordError(
            "NOTHING_FORECAST",
            f"None of the {len(letters):,} series could be forecast; the first: {first}",
            letters[0].hint,
        )
        letters.insert(0, DeadLetter.of_file(request, "Forecast", error))
    return letters


def _note_of_series(text: str, times: int) -> str:
    return text if times == 1 else f"{text} ({times:,} series)"


def receipt_of(
    request: Request, summaries: Sequence[dict[str, Any]], letters: Sequence[DeadLetter], superseded: bool = False
) -> Receipt:
    """Return the receipt of a request.

    Args:
        request: what was to be forecast.
        summaries: what its blocks tell; none if it could not be read.
        letters: its dead letters.
        superseded: whether it gave way to a newer version of its source.
    """
    file_letter = next((letter for letter in letters if letter.scope == "file"), None)
    failed = sum(1 for letter in letters if letter.scope == "series")
    forecast = sum(part["series"] - part["failed"] - part["refused"] for part in summaries)
    status = "superseded" if superseded else "failed" if file_letter else "partial" if failed else "complete"
    scores = [score for part in summaries for score in part["mase"]]
    of_series = sum((Counter(part["series_notes"]) for part in summaries), Counter[str]())
    notes = (
        [*summaries[0]["notes"], *(_note_of_series(*note) for note in sorted(of_series.items()))] if summaries else []
    )
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
        rows=sum(part["rows"] for part in summaries),
        model=summaries[0]["model"] if summaries else "",
        frequencies=",".join(sorted({name for part in summaries for name in part["frequencies"]})),
        spec=request.spec,
        notes="\n".join(notes),
        score_mase=statistics.median(scores) if scores else None,
        score_series=len(scores),
        load_seconds=round(sum(part["load_seconds"] for part in summaries), 6),
        fit_seconds=round(sum(part["fit_seconds"] for part in summaries), 6),
        software=SOFTWARE,
        finished_at=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    )


def failed_at(outcome: Outcome, stage: str, error: RecordError) -> Outcome:
    """Return the outcome of a request whose file as a whole has a fault after all."""
    letter = DeadLetter.of_file(outcome.request, stage, error)
    return dataclasses.replace(outcome, part=-1, failure=letter.to_json())
