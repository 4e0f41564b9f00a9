"""The unit of forecasting: some series of a request, and their forecasts, as Arrow record batches."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline.core.elements import Request
from pipeline.core.series.layout import Layout
from pipeline.core.series.row_slices import RowSlice

RANGES = "ranges"  # the work_file of a block whose rows are in slices


@dataclass(frozen=True)
class SeriesBlock:
    """Some series of one request, as one record batch (core/series/batch.py).

    Attributes:
        request: what this is a part of.
        part: number of this block, from 0.
        parts: how many blocks the request has.
        layout: how the forecast is to look.
        batch: the series, a row each; or, if `work_file` is set, no rows yet.
        work_file: where a large file's rows wait, relative to the work folder; "" for none, RANGES for `slices`.
        first: number of the block's first series in `work_file`'s numbering.
        last: number after the block's last series.
        load_seconds: what loading the file took; set on part 0 only.
        reading: identifies this reading of the file, which must not touch other readings' work files; "" in a folder.
        suspect: whether a process died while it worked on the request, before its blocks were there.
        slices: where its rows wait if the file was read in ranges.
    """

    request: Request
    part: int
    parts: int
    layout: Layout
    batch: pa.RecordBatch
    work_file: str = ""
    first: int = 0
    last: int = 0
    load_seconds: float = 0.0
    reading: str = ""
    suspect: bool = False
    slices: tuple[RowSlice, ...] = ()


@dataclass(frozen=True)
class ForecastBlock:
    """The forecasts of one SeriesBlock, one row per series, with a status each (core/engines/forecast_batch.py).

    Attributes:
        request, part, parts, layout, load_seconds, reading: as in the SeriesBlock.
        batch: the forecasts.
        fit_seconds: what the engine took.
        model: engine and version.
        work_files: whether the series came from work files.
    """

    request: Request
    part: int
    parts: int
    layout: Layout
    batch: pa.RecordBatch
    fit_seconds: float
    load_seconds: float
    model: str
    work_files: bool = False
    reading: str = ""
