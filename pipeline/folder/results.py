"""The results in a folder, for reading."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.elements import DeadLetter, Receipt
from pipeline.core.errors import RecordError
from pipeline.core.local_inputs.open_input import version_of
from pipeline.core.outputs.results import FileResult, LiveAccuracy
from pipeline.folder.output import FolderOutput
from pipeline.folder.receipts import receipt_of_row


class FolderResults:
    """Results in a folder."""

    def __init__(self, root: Path) -> None:
        from pipeline.folder.query import connect  # imports DuckDB

        self._root, self._folder = root, FolderOutput(root)
        self._tables = connect(root)

    def files(self) -> list[FileResult]:
        """Return the latest result of each source and output, by output."""
        found = self._tables.sql("SELECT * FROM latest_receipts ORDER BY output, source").to_arrow_table().to_pylist()
        return [FileResult(receipt_of_row(row), self._folder.dead_letters(row["request_key"])) for row in found]

    def strays(self) -> list[DeadLetter]:
        """Return the dead letters of what never became a request."""
        sql = "SELECT source FROM dead_letters WHERE scope = 'message' ORDER BY source"
        found = (self._folder.stray_dead_letter(source) for (source,) in self._tables.sql(sql).fetchall())
        return [letter for letter in found if letter is not None]

    def live_accuracy(self) -> list[LiveAccuracy]:
        """Return how earlier forecasts did, as far as the values have come."""
        rows = self._tables.sql("""
            SELECT feed, model, confidence_level, count(DISTINCT (source, version)), count(*),
              sum(abs(error)) / nullif(sum(abs(actual_value)), 0), avg(CAST(inside_interval AS INTEGER))
            FROM live_accuracy GROUP BY ALL ORDER BY feed, model, confidence_level
        """).fetchall()
        return [LiveAccuracy(*row) for row in rows]

    def source(self, receipt: Receipt) -> Path | None:
        """Return the CSV that was forecast; None if it is gone or another by now."""
        path = Path(receipt.source)
        try:
            return path if version_of(path) == receipt.version else None
        except RecordError:
            return None

    def forecast(self, receipt: Receipt) -> Path | None:
        """Return the forecast; None if it is gone."""
        path = self._root / receipt.output
        return path if path.is_file() else None
