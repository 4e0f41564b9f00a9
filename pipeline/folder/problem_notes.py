"""A note in plain words beside a forecast that is not there, or not whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.elements import DeadLetter
from pipeline.core.plain_text import printable
from pipeline.core.requests.names import INTERNAL

SUFFIX = ".problem.txt"
SHOWN = 20
LONGEST = 200  # bytes of a name, to which ours is added; file systems allow 255
_BEGIN = "Not forecast"


def note_of(forecast: Path) -> Path:
    """Return where the note of a file lies: beside its forecast, or beside what lies in the forecast's way."""
    beside = next((folder for folder in reversed(forecast.parents) if folder.is_file()), forecast)
    name = beside.name
    if len(name.encode()) > LONGEST:
        name = (
            name.encode()[: LONGEST - 17].decode(errors="ignore") + "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
        )
    note = beside.with_name(name + SUFFIX)
    return note / f"note{SUFFIX}" if note.is_dir() else note


def write_problem_note(forecast: Path, status: str, letters: Sequence[DeadLetter]) -> None:
    """Write the note of a file, or remove it if the file is whole.

    Args:
        forecast: where the file's forecast is, or would be.
        status: of its receipt.
        letters: its dead letters.
    """
    note, content = note_of(forecast), problem_note(forecast.name, status, letters).encode()
    if not content:
        note.unlink(missing_ok=True)
    elif not note.exists() or note.read_bytes() != content:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(content)


def notes_below(folder: Path) -> set[Path]:
    """Return the notes that lie below a folder; other files of that name are not notes."""
    found = set()
    for note in folder.rglob(f"*{SUFFIX}"):
        if note.is_file():
            with note.open("rb") as file:
                if file.read(len(_BEGIN)) == _BEGIN.encode():
                    found.add(note)
    return found


def problem_note(name: str, status: str, letters: Sequence[DeadLetter]) -> str:
    """Return what a note says; nothing if all is well."""
    if status not in ("failed", "partial"):
        return ""
    lines = [
        f"{_BEGIN}{'' if status == 'failed' else ' in part'}: {name}",
        "",
        *(line for letter in letters[:SHOWN] for line in _told(letter)),
    ]
    if len(letters) > SHOWN:
        lines.append(f"... and {len(letters) - SHOWN:,} more: {INTERNAL}/dead_letters/, or `dropcast query`")
    lines.append("This note goes away once the file is fixed and dropped again.")
    return "\n".join(printable(line) for line in lines) + "\n"


def _told(letter: DeadLetter) -> list[str]:
    about = f"series {letter.series_id!r} of " if letter.scope == "series" else ""
    return [f"{letter.code}  {about}{letter.message}", f"    {letter.hint}", ""]
