"""Dead letters in an output folder: for each request, or message, an NDJSON file for people and a Parquet one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.elements import DeadLetter
from pipeline.core.ndjson import from_ndjson, to_ndjson
from pipeline.core.outputs.tables import element_rows
from pipeline.folder.whole_files import WholeFiles

STRAY = "message-"  # begins the name of what never became a request
REPLAYED = ".replayed"


class FolderDeadLetters:
    """Reads and writes them.

    Args:
        folder: where they are.
        files: writes files whole.
    """

    def __init__(self, folder: Path, files: WholeFiles) -> None:
        self._folder, self._files = folder, files

    def read(self, name: str) -> list[DeadLetter]:
        """Return the dead letters of a request, by its key, or of what never became one, by `stray_name`."""
        path = self._folder / f"{name}.ndjson"
        return from_ndjson(path.read_bytes()) if path.exists() else []

    def write(self, name: str, letters: Sequence[DeadLetter]) -> None:
        """Write a request's letters; if there are none, remove existing ones."""
        if not letters:
            self.remove(name)
            return
        self._files.write_parquet(self._folder / f"{name}.parquet", element_rows("dead_letters", letters))
        self._files.write(self._folder / f"{name}.ndjson", to_ndjson(letters))

    def remove(self, name: str) -> None:
        """Remove them."""
        for suffix in (".ndjson", ".parquet", REPLAYED):
            (self._folder / f"{name}{suffix}").unlink(missing_ok=True)


def stray_name(source: str) -> str:
    """Return the name of the dead letter of something that never became a request."""
    return f"{STRAY}{hashlib.sha256(source.encode()).hexdigest()[:32]}"
