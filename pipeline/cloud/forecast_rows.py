"""The rows of forecasts on their way to BigQuery: a few are inserted at once, many are loaded by jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cloud.tables import PARTS_A_JOB, LoadRefusedError, Tables, job_name, may_be_streamed, row_id
from pipeline.cloud.work_files import BucketWorkFiles
from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError, shorten
from pipeline.core.outputs.outcomes import BlockSummary
from pipeline.core.outputs.tables import ROWS_OF_BLOCKS

STREAMED_ROWS = 20_000  # of a block; more go by a load job
_TOLD_APART = {  # the rows of a series
    "forecasts": ("step", "confidence_level"),
    "history": ("history_timestamp",),
    "actuals": ("actual_timestamp",),
    "backtests": ("cutoff", "model", "confidence_level"),
}
_FIX = "The forecast is in the CSV. Fix the table, then replay."


@dataclass(frozen=True)
class WaitingPart:
    """A part whose rows wait to be loaded.

    Attributes:
        position: of its request among those that are loaded together.
        key: of its request.
        work_files: where the rows are.
        part: its number.
        tables: in which it has rows.
    """

    position: int
    key: str
    work_files: BucketWorkFiles
    part: int
    tables: tuple[str, ...]


class ForecastRows:
    """Brings rows to the tables.

    Args:
        tables: of the dataset.
        batch: whether the run is bounded: then all rows are loaded at its end, by few jobs.
    """

    def __init__(self, tables: Tables, batch: bool) -> None:
        self._tables, self._batch = tables, batch

    def write(
        self, block: ForecastBlock, rows: dict[str, pa.Table], summary: BlockSummary, work_files: BucketWorkFiles
    ) -> BlockSummary:
        """Insert a block's rows, or keep them for a load job; return the summary, which says what happened to them.

        Args:
            block: the forecasts.
            rows: by table.
            summary: of the block.
            work_files: where rows wait.
        """
        together = sum(table.num_rows for table in rows.values())
        streamed = block.parts == 1 and together <= STREAMED_ROWS and may_be_streamed(block.request.source_time)
        if self._batch or not streamed:
            for name, table in rows.items():
                work_files.write_rows(name, block.part, _parquet(table))
            return dataclasses.replace(summary, waits_to_load=tuple(rows))
        refused: dict[str, list[str]] = {}
        with ThreadPoolExecutor(len(rows)) as pool:  # each waits for BigQuery, longer than for all else
            found = dict(zip(rows, pool.map(self._insert, rows, rows.values()), strict=True))
        for name, table in rows.items():
            for position, why in sorted(found[name].items()):
                refused.setdefault(table.column("series_id")[position].as_py(), []).append(why)
                if name == "forecasts":
                    summary = dataclasses.replace(summary, rows=summary.rows - 1)
        return _with_refused(summary, block.request, refused)

    def _insert(self, table: str, rows: pa.Table) -> dict[int, str]:
        names = ["request_key", "series_id", *_TOLD_APART[table]]
        ids = [row_id(*row.values()) for row in rows.select(names).to_pylist()]
        return self._tables.insert(table, rows, ids)

    def load(self, waiting: Sequence[WaitingPart]) -> dict[int, RecordError]:
        """Load the rows of parts, in as few jobs as possible; return the errors by the requests' positions."""
        failed: dict[int, RecordError] = {}
        for table in ROWS_OF_BLOCKS:
            parts = [part for part in waiting if table in part.tables]
            for start in range(0, len(parts), PARTS_A_JOB):
                failed = self._load(table, parts[start : start + PARTS_A_JOB]) | failed
        return failed

    def _load(self, table: str, parts: Sequence[WaitingPart]) -> dict[int, RecordError]:
        """Load parts into a table; if they are refused, halve them by request until the request at fault is found."""
        name = job_name(f"{part.key} {part.part}" for part in parts)
        try:
            self._tables.load(table, [part.work_files.rows_uri(table, part.part) for part in parts], name)
        except LoadRefusedError as refused:
            requests = sorted({part.position for part in parts})
            if len(requests) == 1:
                why = f"BigQuery refused the rows of this file: {shorten(str(refused), 500)}"
                return {requests[0]: RecordError("ROW_REFUSED", why, _FIX)}
            middle = requests[len(requests) // 2]
            halves = ([part for part in parts if (part.position < middle) is side] for side in (True, False))
            return {position: error for half in halves for position, error in self._load(table, half).items()}
        return {}


def _with_refused(summary: BlockSummary, request: Request, refused: dict[str, list[str]]) -> BlockSummary:
    """Return a summary that counts series of which BigQuery refused rows, with a dead letter for each.

    Args:
        summary: of the block.
        request: of the block.
        refused: by series, why each of its rows was refused, in whichever tables.
    """
    letters = [
        DeadLetter.of(
            request, "series", "WriteForecasts", series,
            RecordError("ROW_REFUSED", f"BigQuery refused {len(reasons):,} rows of the series: {reasons[0]}", _FIX),
        )
        for series, reasons in refused.items()
    ]  # fmt: skip
    return dataclasses.replace(
        summary,
        letters=(*summary.letters, *letters),
        refused=summary.refused + len(refused),
    )


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
