"""The cells of Parquet columns: as text, where the rules for a CSV's cells decide, and as numbers and dates."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dates.calendars import DAY, SECOND
from pipeline.core.dates.timezones import zone_names

_FIRST_DATE, _LAST_DATE = -62_135_596_800 * SECOND, 253_402_300_799 * SECOND  # of the years 1 and 9999
_TICKS = {"s": 1_000_000, "ms": 1000}  # microseconds in units that reach further
_FIXED_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_UTC = frozenset({"UTC", "Etc/UTC", "GMT", "Z", "Zulu"})


def is_text(kind: pa.DataType) -> bool:
    """Return whether cells of a type are texts."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Return whether cells of a type are numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_date(kind: pa.DataType) -> bool:
    """Return whether cells of a type are dates, with a time or without."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def has_a_role(kind: pa.DataType) -> bool:
    """Return whether a column of a type can be a date, a value or an id: not lists, maps, structs and bytes."""
    return is_text(kind) or is_number(kind) or is_date(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)


def as_text(column: pa.Array) -> pa.StringArray:
    """Return cells as a CSV would have them, shape (n,); "" for null and for NaN."""
    kind = column.type
    if is_date(kind):
        return _dates_as_text(column)
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    return pc.fill_null(pc.cast(column, pa.string()), "")


def _dates_as_text(column: pa.Array) -> pa.StringArray:
    dates = as_dates(column)
    ticks = np.asarray(pc.fill_null(dates.view(pa.int64()), 0))
    zone = "Z" if getattr(column.type, "tz", None) else ""
    if not zone and not (ticks % DAY).any():
        dates = dates.cast(pa.date32())
    elif not (ticks % SECOND).any():
        dates = dates.cast(pa.timestamp("s"))
    text = pc.fill_null(pc.cast(dates, pa.string()), "")
    return pc.if_else(pc.equal(text, ""), "", pc.binary_join_element_wise(text, zone, ""))


def as_numbers(column: pa.Array) -> pa.DoubleArray:
    """Return numbers as float64, shape (n,); null where a cell is null or NaN."""
    numbers = pc.cast(column, pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def as_dates(column: pa.Array) -> pa.TimestampArray:
    """Return dates as microseconds without a zone, in UTC if they have one, shape (n,).

    Dates beyond the years 1 to 9999 become null. What is finer than a microsecond is cut off.
    """
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("s")), pa.timestamp("s")
    ticks = column.view(pa.int64())
    if kind.unit in _TICKS:
        inside = pc.and_(
            pc.greater_equal(ticks, _FIRST_DATE // _TICKS[kind.unit]),
            pc.less_equal(ticks, _LAST_DATE // _TICKS[kind.unit]),
        )
        ticks = pc.multiply(pc.if_else(inside, ticks, None), _TICKS[kind.unit])
    elif kind.unit == "ns":
        ticks = pa.array(np.asarray(pc.fill_null(ticks, 0)) // 1000, mask=np.asarray(pc.is_null(ticks)))
    inside = pc.and_(pc.greater_equal(ticks, _FIRST_DATE), pc.less_equal(ticks, _LAST_DATE + SECOND - 1))
    return pc.if_else(inside, ticks, None).view(pa.timestamp("us"))


def zone_of(kind: pa.DataType) -> tuple[str, int]:
    """Return the time zone of a type of timestamps, "" if it is UTC or not known, and its fixed offset in minutes."""
    name = kind.tz or ""
    fixed = _FIXED_OFFSET.fullmatch(name)
    if fixed is not None:
        minutes = 60 * int(fixed[2]) + int(fixed[3])
        return "", -minutes if fixed[1] == "-" else minutes
    return (name if name in zone_names() and name not in _UTC else ""), 0


def bytes_of_rows(batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return how many bytes the cells of each row take when they are decoded, shape (n,)."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary.cast(pa.large_string())).take(column.indices)
            total += np.asarray(pc.fill_null(lengths, 0)).astype(np.int64)
        elif is_text(column.type):
            total += np.asarray(pc.fill_null(pc.binary_length(column), 0)).astype(np.int64)
        total += 8
    return total
