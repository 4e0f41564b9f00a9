"""The result of a run: receipts and dead letters, counted and described."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.elements import STATUSES, DeadLetter, Receipt
from pipeline.core.plain_text import printable
from pipeline.core.requests.names import INTERNAL

SHOWN = 20  # dead letters shown in full
DONE, DEAD_LETTERED = 0, 3


@dataclass(frozen=True)
class RunOutcome:
    """The result of a run.

    Attributes:
        receipts: one for each request.
        letters: all dead letters.
    """

    receipts: tuple[Receipt, ...]
    letters: tuple[DeadLetter, ...]

    @property
    def exit_code(self) -> int:
        """0 if all is forecast, 3 if something was dead-lettered."""
        return DEAD_LETTERED if self.letters else DONE

    def to_json(self) -> str:
        """Return receipts and dead letters as JSON."""
        letters = [dataclasses.asdict(letter) for letter in self.letters]
        receipts = [dataclasses.asdict(receipt) for receipt in self.receipts]
        return json.dumps({"receipts": receipts, "dead_letters": letters}, indent=2)


def outcome_of(receipts: Iterable[Receipt], letters: Iterable[DeadLetter]) -> RunOutcome:
    """Return the result of a run, sorted by output."""
    return RunOutcome(tuple(sorted(receipts, key=lambda receipt: receipt.output)), tuple(letters))


def told(outcome: RunOutcome, output: Path | str) -> list[str]:
    """Return a description of one file's result, one or more lines."""
    lines = [line for receipt in outcome.receipts for line in _told(receipt, output)]
    lines[:1] = [line.strip() for line in lines[:1]]
    letters = _letters(outcome.letters)
    if len(outcome.letters) > SHOWN:
        letters.append(f"  ... and {len(outcome.letters) - SHOWN:,} more in {output}/{INTERNAL}/dead_letters")
    return lines + letters


def describe(outcome: RunOutcome, output: Path | str) -> str:
    """Return the summary of a run for a person."""
    lines = [line for receipt in outcome.receipts for line in _told(receipt, output)]
    if outcome.letters:
        lines += ["", "Not forecast:", *_letters(outcome.letters)]
        if len(outcome.letters) > SHOWN:
            where = f"{str(output).rstrip('/')}/{INTERNAL}/dead_letters"
            lines.append(f"  ... and {len(outcome.letters) - SHOWN:,} more in {where}")
    receipts = outcome.receipts
    series = sum(receipt.series_forecast for receipt in receipts)
    rows = sum(receipt.rows for receipt in receipts)
    files = sum(receipt.status != "failed" for receipt in receipts)
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
    receipts = {name: counts.get(f"receipts_{name}", 0) for name in STATUSES}
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


def _told(receipt: Receipt, output: Path | str) -> list[str]:
    name = receipt.source.rsplit("/", 1)[-1]
    name = receipt.output if receipt.output.endswith(f"/{name}") else name  # with its folders
    if receipt.status == "failed":
        return [printable(f"  failed    {name}: {receipt.code}")]
    score = "" if receipt.score_mase is None else f", MASE {receipt.score_mase:.2f}"
    failed = f", {receipt.series_failed:,} series not" if receipt.series_failed else ""
    lines = [
        f"  {receipt.status:<9} {name}: {receipt.series_forecast:,} series ({receipt.frequencies}){failed}{score} "
        f"-> {str(output).rstrip('/')}/{receipt.output}",
        *(f"            {note}" for note in receipt.notes.split("\n") if note),
    ]
    return [printable(line) for line in lines]


def _letters(letters: Iterable[DeadLetter]) -> list[str]:
    lines = []
    for letter in list(letters)[:SHOWN]:
        about = f"series {letter.series_id!r} of " if letter.scope == "series" else ""
        lines += [f"  {letter.code}  {about}{letter.message}", f"      {letter.hint}"]
    return [printable(line) for line in lines]
