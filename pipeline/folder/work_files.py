"""The work files of a request in an output folder: rows of a large file, and parts of its forecast."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.io_faults import place
from pipeline.core.outputs.outcomes import BlockSummary
from pipeline.core.series.row_slices import OF_RANGES


@place(OSError)
class FolderWorkFiles:
    """The work files of one request, in a folder shared by all workers and removed once the receipt is written.

    Args:
        folder: where they are; it is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def share(self) -> None:
        """Do nothing: all workers see the folder."""

    def discard(self) -> None:
        """Do nothing: they are removed with the receipt."""

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        """Return a work file."""
        yield self.folder / name

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Make one that appears whole; see output.WorkFiles."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"{name}.{uuid.uuid4().hex}.whole"  # others may make it too
        try:
            write(draft)
            draft.replace(self.folder / name)
        finally:
            draft.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """Return the content of one; None if there is none."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def read_parts(self, parts: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Return parts of several; see output.WorkFiles."""
        found = []
        for name, start, size in parts:
            with (self.folder / name).open("rb") as file:
                file.seek(start)
                found.append(file.read(size))
        return found

    def remove_ranges(self) -> None:
        """Remove what was found in ranges; parts that an earlier try has written stay."""
        for path in self.folder.glob(f"{OF_RANGES}*"):
            path.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Return whether there are any."""
        return self.folder.exists()

    def remove(self) -> None:
        """Remove them, if there are any."""
        if self.exists():
            for path in self.folder.iterdir():
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def write_part(self, part: int, csv: bytes, summary: BlockSummary) -> None:
        """Keep a part's rows of the CSV and its summary, which comes last, and says that the part is written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._csv(part).write_bytes(csv)
        told = self._summary(part)
        draft = told.with_suffix(".whole")
        draft.write_text(summary.to_json())
        draft.replace(told)

    def has_part(self, part: int, cut: str) -> bool:
        """Return whether a part is written, by a try that cut the file in the same way; see BlockSummary."""
        told = self._summary(part)
        return told.exists() and json.loads(told.read_bytes()).get("cut") == cut

    def summary(self, part: int) -> BlockSummary | None:
        """Return the summary of a part; None if that is not written."""
        told = self._summary(part)
        return BlockSummary.from_json(told.read_bytes()) if told.exists() else None

    def csv(self, part: int) -> bytes:
        """Return a part's rows of the CSV."""
        return self._csv(part).read_bytes()

    def _summary(self, part: int) -> Path:
        return self.folder / f"part-{part:06d}.json"

    def _csv(self, part: int) -> Path:
        return self.folder / f"part-{part:06d}.csv"
