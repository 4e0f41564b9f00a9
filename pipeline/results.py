"""What lies below an output: its latest receipts, dead letters, and the files that they speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.core.output_folder import OutputFolder
from pipeline.core.sources import content_version
from pipeline.core.uris import is_uri
from pipeline.elements import DeadLetter, Receipt
from pipeline.errors import RecordError


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    Attributes:
        receipt: its latest.
        letters: its dead letters.
    """

    receipt: Receipt
    letters: Sequence[DeadLetter]


class Results(Protocol):
    """An output folder or prefix, for reading."""

    def files(self) -> list[FileResult]:
        """Return the latest result of each source and output, by output."""
        ...

    def strays(self) -> list[DeadLetter]:
        """Return the dead letters of what never became a request."""
        ...

    def source(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the CSV that was forecast; None if it is gone or another by now."""
        ...

    def forecast(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the forecast; None if it is gone."""
        ...


def open_results(place: str, scratch: Path) -> Results:
    """Return the results below a folder or gs://bucket/prefix.

    Args:
        place: the output of a run.
        scratch: a folder for copies of objects.

    Raises:
        FileNotFoundError: if there are none.
    """
    if is_uri(place):
        from pipeline.cloud.bucket_results import BucketResults  # needs the extra `gcp`

        return BucketResults(place, scratch)
    return FolderResults(Path(place))


class FolderResults:
    """Results in a folder."""

    def __init__(self, root: Path) -> None:
        from pipeline.core.query import connect  # imports DuckDB

        self._root, self._folder = root, OutputFolder(root)
        self._tables = connect(root)

    def files(self) -> list[FileResult]:
        """Return the latest result of each source and output, by output."""
        found = self._tables.sql("SELECT * FROM latest_receipts ORDER BY output, source").to_arrow_table().to_pylist()
        return [FileResult(_receipt(row), self._folder.dead_letters(row["request_key"])) for row in found]

    def strays(self) -> list[DeadLetter]:
        """Return the dead letters of what never became a request."""
        sql = "SELECT source FROM dead_letters WHERE scope = 'message' ORDER BY source"
        found = (self._folder.stray_dead_letter(source) for (source,) in self._tables.sql(sql).fetchall())
        return [letter for letter in found if letter is not None]

    def source(self, receipt: Receipt) -> Path | None:
        """Return the CSV that was forecast; None if it is gone or another by now."""
        path = Path(receipt.source)
        try:
            return path if content_version(path) == receipt.version else None
        except RecordError:
            return None

    def forecast(self, receipt: Receipt) -> Path | None:
        """Return the forecast; None if it is gone."""
        path = self._root / receipt.output
        return path if path.is_file() else None


def _receipt(row: dict[str, Any]) -> Receipt:
    times = {name: row[name].isoformat().replace("+00:00", "Z") for name in ("source_time", "finished_at")}
    return Receipt(**{name: times.get(name, row[name]) for name in Receipt.__dataclass_fields__})
