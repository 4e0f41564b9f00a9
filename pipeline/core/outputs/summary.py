"""What came of a run: receipts and dead letters, counted and told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.core.elements import DeadLetter, Receipt
from pipeline.core.plain_text import printable
from pipeline.core.requests.names import INTERNAL

SHOWN = 20  # dead letters told in full
DONE, DEAD_LETTERED = 0, 3


@dataclass(frozen=True)
class RunOutcome:
    """What came of a run.

    Attributes:
        receipts: one for each request, as rows of the table.
        letters: all dead letters.
    """

    receipts: tuple[dict[str, Any], ...]
    letters: tuple[DeadLetter, ...]

    @property
    def exit_code(self) -> int:
        """0 if all is forecast, 3 if something was dead-lettered."""
        return DEAD_LETTERED if self.letters else DONE

    def to_json(self) -> str:
        """Return receipts and dead letters as JSON."""
        letters = [dataclasses.asdict(letter) for letter in self.letters]
        return json.dumps({"receipts": self.receipts, "dead_letters": letters}, default=_as_text, indent=2)


def _as_text(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def outcome_of(receipts: Iterable[Receipt], letters: Iterable[DeadLetter]) -> RunOutcome:
    """Return what came of a run, by output."""
    rows = sorted((dict(vars(receipt)) for receipt in receipts), key=lambda row: str(row["output"]))
    return RunOutcome(tuple(rows), tuple(letters))


def told(outcome: RunOutcome, output: Path | str) -> list[str]:
    """Return what came of one file for a person, a line or more."""
    lines = [line for row in outcome.receipts for line in _told(row, output)]
    lines[:1] = [line.strip() for line in lines[:1]]
    letters = _letters(outcome.letters)
    if len(outcome.letters) > SHOWN:
        letters.append(f"  ... and {len(outcome.letters) - SHOWN:,} more in {output}/{INTERNAL}/dead_letters")
    return lines + letters


def describe(outcome: RunOutcome, output: Path | str) -> str:
    """Return the summary of a run for a person."""
    lines = [line for row in outcome.receipts for line in _told(row, output)]
    if outcome.letters:
        lines += ["", "Not forecast:", *_letters(outcome.letters)]
        if len(outcome.letters) > SHOWN:
            where = f"{str(output).rstrip('/')}/{INTERNAL}/dead_letters"
            lines.append(f"  ... and {len(outcome.letters) - SHOWN:,} more in {where}")
    receipts = outcome.receipts
    series = sum(row["series_forecast"] for row in receipts)
    rows = sum(row["rows"] for row in receipts)
    files = sum(row["status"] != "failed" for row in receipts)
    lines += [
        "",
        f"{_count(files, 'file')} and {series:,} series forecast, {rows:,} rows; "
        f"{_count(len(outcome.letters), 'dead letter')}.",
    ]
    if files:
        lines.append(f"Forecasts: {str(output).rstrip('/')}/   Tables: {str(output).rstrip('/')}/{INTERNAL}/")
    return "\n".join(lines)


def describe_counts(counts: dict[str, int], output: str) -> str:
    """Return the summary of a run between buckets for a person, from its counters."""
    receipts = {name: counts.get(f"receipts_{name}", 0) for name in ("complete", "partial", "failed", "superseded")}
    told = ", ".join(f"{number:,} {name}" for name, number in receipts.items() if number or name == "complete")
    failures = {name.removeprefix("failures_"): number for name, number in counts.items() if "failures_" in name}
    lines = [
        f"{_count(counts.get('requests', 0), 'request')}: {told}; {counts.get('series_forecast', 0):,} series.",
        *(f"  {number:,} x {code}" for code, number in sorted(failures.items())),
        f"Forecasts: {output}   Dead letters and receipts: {output.rstrip('/')}/{INTERNAL}/",
    ]
    return "\n".join(lines)


def exit_code_of_counts(counts: dict[str, int]) -> int:
    """Return 0 if all is forecast, 3 if something was dead-lettered."""
    return DEAD_LETTERED if any(number for name, number in counts.items() if "failures_" in name) else DONE


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _told(row: dict[str, Any], output: Path | str) -> list[str]:
    name = row["source"].rsplit("/", 1)[-1]
    name = row["output"] if row["output"].endswith(f"/{name}") else name  # with the folders that it lies in
    if row["status"] == "failed":
        return [printable(f"  failed    {name}: {row['code']}")]
    score = "" if row["score_mase"] is None else f", MASE {row['score_mase']:.2f}"
    failed = f", {row['series_failed']:,} series not" if row["series_failed"] else ""
    lines = [
        f"  {row['status']:<9} {name}: {row['series_forecast']:,} series ({row['frequencies']}){failed}{score} "
        f"-> {str(output).rstrip('/')}/{row['output']}",
        *(f"            {note}" for note in row["notes"].split("\n") if note),
    ]
    return [printable(line) for line in lines]


def _letters(letters: Iterable[DeadLetter]) -> list[str]:
    lines = []
    for letter in list(letters)[:SHOWN]:
        about = f"series {letter.series_id!r} of " if letter.scope == "series" else ""
        lines += [f"  {letter.code}  {about}{letter.message}", f"      {letter.hint}"]
    return [printable(line) for line in lines]
