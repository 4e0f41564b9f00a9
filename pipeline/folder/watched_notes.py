"""The notes that a watched folder keeps beside the forecasts of files with problems."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.core.outputs.problem_note import write_notes
from pipeline.core.outputs.summary import RunOutcome
from pipeline.folder.output import FolderOutput
from pipeline.folder.problem_notes import note_of, notes_below


class WatchedNotes:
    """The notes of a watched folder.

    Args:
        folder: the output.
        output_of: returns the name of the forecast of a file in the inbox, by its path.
    """

    def __init__(self, folder: FolderOutput, output_of: Callable[[str], str]) -> None:
        self._folder, self._output_of = folder, output_of
        self._there = notes_below(folder.root)

    def write(self, outcome: RunOutcome) -> None:
        """Write a note beside the forecast of each file with problems, and remove those of files without any."""
        for output in write_notes(outcome, self._folder, self._output_of):
            self._there.add(note_of(self._folder.root / output))

    def remove(self, output: str) -> None:
        """Remove the note beside a forecast."""
        self._folder.write_problem_note(output, "")

    def remove_all_but(self, outputs: set[str]) -> None:
        """Remove notes about files that are no longer in the inbox."""
        if self._there:
            kept = {note_of(self._folder.root / output) for output in outputs}
            for note in self._there - kept:
                note.unlink(missing_ok=True)
            self._there &= kept
