"""Series from Arrow tables, and forecasts as Arrow tables: what the library is made of; see dropcast.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.csv_reading.row_reader import Rows
from pipeline.core.dates.calendars import DAY
from pipeline.core.dates.date_style import DateStyle
from pipeline.core.dates.recognise_dates import recognise_dates
from pipeline.core.dates.timezones import without_marks, zone_named, zone_names
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import ends_of
from pipeline.core.outputs.frame_names import Names
from pipeline.core.series.arrow_lists import flat_list
from pipeline.core.series.batch import series_batch
from pipeline.core.series.layout import Layout
from pipeline.core.series.row_store import NEVER, BlockSizes, RowStore

ID, DATE, VALUE = "unique_id", "ds", "y"


@dataclass(frozen=True)
class Series:
    """The series of a table.

    Attributes:
        spec: how to forecast them.
        limits: what one may cost.
        id_columns: names of the columns that tell series apart; none for a single series.
        date_column: name of the date's column.
        keys: one row per series: its values in these columns, as they came.
        layout: what goes along with each block.
        date_type: of the date's column, as it came; None for texts.
        in_utc: whether dates within days were turned into UTC, where no hour is missing and none comes twice.
        store: rows by series.
        faults: of series, by number.
    """

    spec: ForecastSpec
    limits: Limits
    id_columns: tuple[str, ...]
    date_column: str
    keys: pa.Table
    layout: Layout
    date_type: pa.DataType | None
    in_utc: bool
    store: RowStore
    faults: dict[int, RecordError]

    def __len__(self) -> int:
        return self.keys.num_rows if self.id_columns else 1

    def blocks(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the number of each block's first series, and its batch (core/series/batch.py)."""
        names = [tuple(str(value) for value in row.values()) for row in self.keys.to_pylist()] or [()]
        for first, last, rows in self.store.read_all():
            ids = names[first:last]
            yield first, series_batch(rows, ids, self.faults, first, self.layout, self.spec, self.limits)

    def with_keys(self, series: npt.NDArray[np.int64], columns: dict[str, pa.Array]) -> pa.Table:
        """Return a table whose rows belong to series of these numbers, with their keys before the other columns."""
        keys = self.keys.take(pa.array(series)) if self.id_columns else None
        named = {} if keys is None else {name: keys.column(name) for name in self.id_columns}
        return pa.table({**named, **columns})

    def dates(self, microseconds: npt.NDArray[np.int64]) -> pa.Array:
        """Return dates of the type that the table had them in."""
        style, kind = self.layout.style, self.date_type
        if self.in_utc:
            microseconds = style.to_utc(microseconds)
        elif style.timezone:
            microseconds = without_marks(microseconds, zone_named(style.timezone))
        naive = pa.array(microseconds.astype("datetime64[us]"))
        if kind is None:
            return naive
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            if self.in_utc:
                return naive.cast(pa.timestamp("us", "UTC")).cast(kind)
            local = pc.assume_timezone(naive, kind.tz, ambiguous="earliest", nonexistent="latest")
            return local.cast(kind, safe=False)
        return naive.cast(kind, safe=False)

    def microseconds(self, dates: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Return what `dates` was made from."""
        if pa.types.is_timestamp(dates.type) and dates.type.tz is not None:
            if self.in_utc:
                return self.layout.style.from_utc(_microseconds(dates.cast(pa.timestamp("us", "UTC"))))
            dates = pc.local_timestamp(dates)
        return _microseconds(dates)


def used_columns(spec: ForecastSpec) -> set[str]:
    """Return the names of the columns that are used, whether they exist or not."""
    ids = (ID,) if spec.id_columns is None else spec.id_columns
    return {spec.date_column or DATE, (spec.value_column or (VALUE,))[0], *ids, *spec.extra_columns()}


def without_views(table: pa.Table) -> pa.Table:
    """Return a table whose types Arrow fully supports, which string views, as polars uses them, are not."""
    kinds = [(f.name, pa.large_string() if pa.types.is_string_view(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(kinds))


def series_of_table(table: pa.Table, spec: ForecastSpec, limits: Limits) -> Series:
    """Return the series of a table.

    The date's column is called ds, the value's y, and unique_id tells series apart if it is there, unless the spec's
    date_column, value_column or id_columns say otherwise. Rows may be in any order. Where extra columns are needed,
    rows without a value give theirs on the dates to come.

    Raises:
        RecordError: if a column is missing or of no use.
    """
    date, value, ids = spec.date_column or DATE, (spec.value_column or (VALUE,))[0], _id_columns(table, spec)
    extras = spec.extra_columns()
    for name in (date, value, *ids, *extras):
        if name not in table.column_names:
            raise RecordError(
                "UNKNOWN_COLUMN",
                f"There is no column {name!r}; there are {', '.join(map(repr, table.column_names)) or 'none'}.",
                "Rename the columns to ds, y and unique_id, or name them with date_column, value_column, id_columns.",
            )
    if not table.num_rows:
        raise RecordError("NO_ROWS", "The table has no rows.", "Add rows.")
    table = table.combine_chunks()
    codes, first = _numbered(table, ids)
    microseconds, kind, in_utc = _dates(table.column(date), date, spec)
    values = _numbers(table.column(value), value)
    columns = [_numbers(table.column(name), name) for name in extras]
    faults: dict[int, RecordError] = {}
    infinite = np.flatnonzero(np.isinf(values))
    for row in infinite[::-1].tolist():
        faults[int(codes[row])] = RecordError(
            "NOT_FINITE", "A value is infinite.", "Replace the value, or leave it out.", column=value
        )
    values = np.where(np.isfinite(values), values, np.nan)
    # nothing spills: the caller has all of it in memory already
    store = RowStore(Path(), len(extras), limits, BlockSizes.of(spec, len(extras)), spill_bytes=NEVER)
    rows = np.arange(len(codes))
    numbers = np.column_stack(columns) if columns else np.empty((len(codes), 0))
    store.add(Rows(codes, microseconds, values, rows + 1, numbers))
    store.finish(len(first))
    keys = table.select(list(ids)).take(pa.array(first)) if ids else pa.table({})
    named = kind.tz if in_utc and kind is not None and kind.tz in zone_names() else ""
    style = DateStyle("offset" if in_utc else "datetime", timezone=spec.timezone or named)
    layout = Layout(ids, value, style, extras)
    return Series(spec, limits, ids, date, keys, layout, kind, in_utc, store, faults)


def forecast_table(series: Series, first: int, forecasts: pa.RecordBatch, names: Names) -> pa.Table:
    """Return a block's forecasts as rows of a table.

    Args:
        series: what the block is of.
        first: number of its first series.
        forecasts: of core/engines/forecast_batch.py.
        names: of the columns.
    """
    dates, offsets = flat_list(forecasts, "ds")
    rows = first + np.repeat(np.arange(len(forecasts)), np.diff(offsets))
    columns = {series.date_column: series.dates(dates), names.forecast: forecasts.column("yhat").flatten()}
    columns |= zip(names.ends(series.spec), ends_of(forecasts, series.spec), strict=True)
    for name in series.spec.component_names:
        numbers = forecasts.column(f"component_{name}").flatten()
        columns[name] = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    return series.with_keys(rows, columns)


def _id_columns(table: pa.Table, spec: ForecastSpec) -> tuple[str, ...]:
    if spec.id_columns is not None:
        return () if spec.id_columns == ("none",) else spec.id_columns
    return (ID,) if ID in table.column_names else ()


def _numbered(table: pa.Table, ids: tuple[str, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each row's series, numbered as they appear, and the first row of each."""
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for name in ids:
        column = table.column(name)
        if column.null_count:
            raise RecordError("UNKNOWN_COLUMN", f"A row has no {name}.", "Fill it in, or drop the row.", column=name)
        encoded = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
        own = np.asarray(encoded.indices, dtype=np.int64)
        codes = codes * (len(encoded.dictionary) + 1) + own
        codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)  # so that the product stays small
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse], np.sort(first)


def _dates(
    column: pa.ChunkedArray, name: str, spec: ForecastSpec
) -> tuple[npt.NDArray[np.int64], pa.DataType | None, bool]:
    """Return microseconds, the column's type (None for texts), and whether they are in UTC; see Series.

    Raises:
        RecordError: if a date is missing, or the column has none.
    """
    if column.null_count:
        raise RecordError("BAD_DATE", "A row has no date.", "Fill it in, or drop the row.", column=name)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = column.cast(pa.string()).combine_chunks()
        style = recognise_dates(text[:100].to_pylist(), name, 1, spec.date_format)
        dates, bad, offsets = style.read(text)
        if bad.any():
            found = text[int(np.flatnonzero(bad)[0])].as_py()
            raise RecordError("BAD_DATE", f"{found!r} is not a date like the first.", "Fix it.", column=name)
        if offsets is not None:
            raise RecordError(
                "BAD_DATE_FORMAT", "The dates are texts with a UTC offset.", "Turn them into timestamps.", column=name
            )
        return dates, None, False
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise RecordError(
            "BAD_DATE_FORMAT", f"{name!r} has the type {kind}, not dates.", "Turn it into dates.", column=name
        )
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        return _microseconds(column), kind, False
    local = _microseconds(pc.local_timestamp(column))
    if not (local % DAY).any():  # whole days of the wall clock, which are not all of 24 hours
        return local, kind, False
    return _microseconds(column.cast(pa.timestamp("us", "UTC"), safe=False)), kind, True


def _microseconds(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    naive = column.cast(pa.timestamp("us", column.type.tz if pa.types.is_timestamp(column.type) else None), safe=False)
    return np.asarray(naive.combine_chunks().view(pa.int64()))


def _numbers(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    try:
        numbers = column.cast(pa.float64(), safe=False).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise RecordError(
            "BAD_NUMBER", f"{name!r} has the type {column.type}, not numbers.", "Turn it into numbers.", column=name
        ) from None
    return np.asarray(numbers.fill_null(np.nan))
