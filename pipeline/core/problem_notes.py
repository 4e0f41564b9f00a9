"""A note in plain words beside a forecast that is not there, or not whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.naming import INTERNAL
from pipeline.elements import DeadLetter

SUFFIX = ".problem.txt"
SHOWN = 20


def write_problem_note(forecast: Path, status: str, letters: Sequence[DeadLetter]) -> None:
    """Write the note of a file, or remove it if the file is whole.

    Args:
        forecast: where the file's forecast is, or would be.
        status: of its receipt.
        letters: its dead letters.
    """
    # a file may lie where a folder would have to be: then beside that
    beside = next((folder for folder in reversed(forecast.parents) if folder.is_file()), forecast)
    note = beside.with_name(beside.name + SUFFIX)
    text = problem_note(forecast.name, status, letters)
    if not text:
        note.unlink(missing_ok=True)
    elif not note.exists() or note.read_text(encoding="utf-8") != text:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(text, encoding="utf-8")


def problem_note(name: str, status: str, letters: Sequence[DeadLetter]) -> str:
    """Return what a note says; nothing if all is well."""
    if status not in ("failed", "partial"):
        return ""
    lines = [
        f"{'Not forecast' if status == 'failed' else 'Not forecast in part'}: {name}",
        "",
        *(line for letter in letters[:SHOWN] for line in _told(letter)),
    ]
    if len(letters) > SHOWN:
        lines.append(f"... and {len(letters) - SHOWN:,} more: {INTERNAL}/dead_letters/, or `dropcast query`")
    lines.append("This note goes away once the file is mended and dropped again.")
    return "\n".join(lines) + "\n"


def _told(letter: DeadLetter) -> list[str]:
    about = f"series {letter.series_id!r} of " if letter.scope == "series" else ""
    return [f"{letter.code}  {about}{letter.message}", f"    {letter.hint}", ""]
