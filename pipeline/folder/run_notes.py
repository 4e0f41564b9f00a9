"""What one run has done, from its own notes: clocks may be set back, and files have the times they are given."""

from __future__ import annotations

import shutil
from pathlib import Path


class RunNotes:
    """A run's notes of what it has written.

    Args:
        folder: of the work files.
        run: id of this run; "" keeps no notes.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self._work = folder
        self._notes = folder / f"run-{run}" if run else None

    def add(self, name: str) -> None:
        """Note a name."""
        if self._notes is not None:
            self._notes.mkdir(parents=True, exist_ok=True)
            (self._notes / name).touch()

    def names(self) -> list[str]:
        """Return the names that this run has noted, sorted."""
        if self._notes is None or not self._notes.is_dir():
            return []
        return sorted(note.name for note in self._notes.iterdir())

    def forget_all(self) -> None:
        """Remove the notes of all runs; for whoever is alone here."""
        for notes in self._work.glob("run-*"):
            shutil.rmtree(notes, ignore_errors=True)
