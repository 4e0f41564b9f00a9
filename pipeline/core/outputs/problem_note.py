"""A note in plain words for the owner of a file that was not forecast, or only in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from pipeline.core.elements import DeadLetter, Status
from pipeline.core.outputs.output import Output
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.plain_text import printable
from pipeline.core.requests.names import INTERNAL

SUFFIX = ".problem.txt"
SHOWN = 20
BEGINNING = "Not forecast"


def problem_note(name: str, status: Status, letters: Sequence[DeadLetter]) -> str:
    """Return the text of a file's note; empty if there is no problem.

    Args:
        name: of its forecast.
        status: of its receipt.
        letters: its dead letters.
    """
    if status not in ("failed", "partial"):
        return ""
    lines = [
        f"{BEGINNING}{'' if status == 'failed' else ' in part'}: {name}",
        "",
        *(line for letter in letters[:SHOWN] for line in _told(letter)),
    ]
    if len(letters) > SHOWN:
        lines.append(f"... and {len(letters) - SHOWN:,} more: {INTERNAL}/dead_letters/, or `dropcast query`")
    lines.append("This note disappears once the file is fixed and dropped again.")
    return "\n".join(printable(line) for line in lines) + "\n"


def write_notes(outcome: RunOutcome, output: Output, output_of: Callable[[str], str]) -> list[str]:
    """Write or remove the note of each file in an outcome; return the forecasts that now have a note beside them.

    Args:
        outcome: of a file; its dead letters are those of its receipt, if it has one.
        output: where the notes go.
        output_of: returns the name of the forecast of something that never became a request, by its source.
    """
    statuses: dict[str, Status] = {receipt.output: receipt.status for receipt in outcome.receipts}
    if not statuses:
        statuses = {output_of(letter.source): "failed" for letter in outcome.letters}
    return [name for name, status in statuses.items() if write_note(name, status, outcome.letters, output)]


def write_note(name: str, status: Status, letters: Sequence[DeadLetter], output: Output) -> bool:
    """Write or remove the note of a file; return whether there is one now.

    Args:
        name: of its forecast, below the output.
        status: of its receipt.
        letters: its dead letters.
        output: where the note goes.
    """
    text = problem_note(PurePosixPath(name).name, status, letters)
    output.write_problem_note(name, text)
    return bool(text)


def _told(letter: DeadLetter) -> list[str]:
    about = f"series {letter.series_id!r} of " if letter.scope == "series" else ""
    return [f"{letter.code}  {about}{letter.message}", f"    {letter.hint}", ""]
