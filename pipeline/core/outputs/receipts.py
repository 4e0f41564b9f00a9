"""The dead letters and the receipt of a request, from the summaries of its blocks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.core.elements import DeadLetter, Receipt, Status
from pipeline.core.engines.hint import hint_of
from pipeline.core.errors import RecordError
from pipeline.core.outputs.backtest_sums import backtest_notes
from pipeline.core.outputs.outcomes import SOFTWARE, BlockSummary, FailedRequest, Outcome, SupersededRequest


def letters_of(outcome: Outcome, summaries: Sequence[BlockSummary]) -> list[DeadLetter]:
    """Return the dead letters of a request; if no series is forecast, the file's own comes first.

    Args:
        outcome: of the request.
        summaries: of its blocks; not needed unless it is a WrittenRequest.
    """
    if isinstance(outcome, FailedRequest):
        return [outcome.letter]
    if isinstance(outcome, SupersededRequest):
        return []
    letters = [letter for part in summaries for letter in part.letters]
    if letters and all(part.series == part.failed for part in summaries) and letters[0].scope == "series":
        error = RecordError(
            "NOTHING_FORECAST",
            f"None of the {len(letters):,} series could be forecast; the first: {summaries[0].first_fault}",
            letters[0].hint,
        )
        letters.insert(0, DeadLetter.of_file(outcome.request, "Forecast", error))
    return letters


def receipt_of(outcome: Outcome, summaries: Sequence[BlockSummary], letters: Sequence[DeadLetter]) -> Receipt:
    """Return the receipt of a request.

    Args:
        outcome: of the request.
        summaries: of its blocks; empty if it failed as a whole.
        letters: its dead letters.
    """
    request = outcome.request
    file_letter = next((letter for letter in letters if letter.scope == "file"), None)
    failed = _series_failed(letters)
    forecast = sum(part.series - part.failed - part.refused for part in summaries)
    scores = [score for part in summaries for score in part.mase]
    return Receipt(
        request_key=request.key,
        source=request.source,
        version=request.version,
        source_time=request.source_time,
        attempt=request.attempt,
        output=request.output,
        id=request.id,
        status=status_of(outcome, letters),
        code=file_letter.code if file_letter else "",
        series=forecast + failed,
        series_forecast=forecast,
        series_failed=failed,
        rows=sum(part.rows for part in summaries),
        model=summaries[0].model if summaries else "",
        frequencies=",".join(sorted({name for part in summaries for name in part.frequencies})),
        spec=request.spec,
        notes="\n".join(_notes(summaries)),
        score_mase=statistics.median(scores) if scores else None,
        score_series=len(scores),
        load_seconds=round(sum(part.load_seconds for part in summaries), 6),
        fit_seconds=round(sum(part.fit_seconds for part in summaries), 6),
        software=SOFTWARE,
        finished_at=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        feed=request.parsed_spec.feed or request.source,
    )


def status_of(outcome: Outcome, letters: Sequence[DeadLetter]) -> Status:
    """Return the status of a request.

    Args:
        outcome: of the request.
        letters: its dead letters.
    """
    if isinstance(outcome, SupersededRequest):
        return "superseded"
    if any(letter.scope == "file" for letter in letters):
        return "failed"
    return "partial" if _series_failed(letters) else "complete"


def _series_failed(letters: Sequence[DeadLetter]) -> int:
    return sum(letter.scope == "series" for letter in letters)


def _notes(summaries: Sequence[BlockSummary]) -> list[str]:
    """Return the notes about a file, then those about its series, each with its number of series."""
    if not summaries:
        return []
    of_series = sum((Counter(part.series_notes) for part in summaries), Counter[str]())
    told = [text if times == 1 else f"{text} ({times:,} series)" for text, times in sorted(of_series.items())]
    backtests = backtest_notes([part.weights for part in summaries], [part.inside for part in summaries])
    hint = hint_of([pair for part in summaries for pair in part.tried])
    return [*summaries[0].notes, *backtests, *([hint] if hint else []), *told]


def has_forecast(summaries: Sequence[BlockSummary]) -> bool:
    """Return whether any series of these blocks is forecast, so that there is a CSV to write."""
    return any(part.failed < part.series for part in summaries)
