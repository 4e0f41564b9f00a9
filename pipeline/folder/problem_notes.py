"""The notes about files with problems: beside their forecasts, or where these would be."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.core.outputs.problem_note import BEGINNING, SUFFIX

LONGEST = 200  # bytes of a name, to which the suffix is added; file systems allow 255


def note_of(forecast: Path) -> Path:
    """Return the path of a file's note: beside its forecast, or beside what blocks the forecast's path."""
    beside = next((folder for folder in reversed(forecast.parents) if folder.is_file()), forecast)
    name = beside.name
    if len(name.encode()) > LONGEST:
        name = (
            name.encode()[: LONGEST - 17].decode(errors="ignore") + "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
        )
    note = beside.with_name(name + SUFFIX)
    return note / f"note{SUFFIX}" if note.is_dir() else note


def write_note(forecast: Path, text: str) -> None:
    """Write the note of a file, or remove it if there is no text.

    Args:
        forecast: where the file's forecast is, or would be.
        text: what the note says.
    """
    note, content = note_of(forecast), text.encode()
    if not content:
        note.unlink(missing_ok=True)
    elif not note.exists() or note.read_bytes() != content:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(content)


def notes_below(folder: Path) -> set[Path]:
    """Return the notes below a folder; other files of that name are not notes."""
    found = set()
    for note in folder.rglob(f"*{SUFFIX}"):
        if note.is_file():
            with note.open("rb") as file:
                if file.read(len(BEGINNING)) == BEGINNING.encode():
                    found.add(note)
    return found
