"""The cells of Parquet columns: as text, where the rules for a CSV's cells decide, and as numbers and dates."""

from __future__ import annotations

import re
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dates.calendars import DAY, SECOND
from pipeline.core.dates.timezones import zone_names

_FIRST_DATE, _LAST_DATE = -62_135_596_800 * SECOND, 253_402_300_799 * SECOND  # of the years 1 and 9999
_TICKS = {"s": 1_000_000, "ms": 1000}  # microseconds in units that reach further
_FIXED_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_MOST_OFFSET, _LEAST_OFFSET, _OFFSET_STEP = 14 * 60, -12 * 60, 15  # minutes, as for dates in a CSV
_UTC = frozenset({"utc", "etc/utc", "gmt", "z", "zulu"})


def is_text(kind: pa.DataType) -> bool:
    """Return whether cells of a type are texts; bytes may be, from writers that do not say so."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    kind = kind.storage_type if isinstance(kind, pa.JsonType) else kind
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )  # fmt: skip


def is_number(kind: pa.DataType) -> bool:
    """Return whether cells of a type are numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_date(kind: pa.DataType) -> bool:
    """Return whether cells of a type are dates, with a time or without."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def has_a_role(kind: pa.DataType) -> bool:
    """Return whether a column of a type can be a date, a value or an id: not lists, maps, structs and times of day."""
    plain = pa.types.is_boolean(kind) or pa.types.is_null(kind) or isinstance(kind, pa.UuidType)
    return is_text(kind) or is_number(kind) or is_date(kind) or plain


def as_text(column: pa.Array) -> pa.StringArray:
    """Return cells as a CSV would have them, shape (n,); "" for null and for NaN."""
    kind = column.type
    if is_date(kind):
        return _dates_as_text(column)
    if isinstance(kind, pa.UuidType):
        column = pa.array([value and str(uuid.UUID(bytes=value)) for value in column.storage.to_pylist()], pa.string())
    elif isinstance(kind, pa.JsonType):
        column = column.storage
    elif pa.types.is_float16(kind):
        column = pa.array([None if value is None else str(np.float16(value)) for value in column.to_pylist()])
        column = pc.if_else(pc.equal(column, "nan"), None, column)
    elif pa.types.is_floating(kind):
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
    """Return numbers as float64, shape (n,); null where a cell is null or NaN.

    Decimals and shorter floats are read as they would be written: 108.19, not the nearest binary fraction's digits.
    """
    kind = column.type
    if pa.types.is_decimal(kind) or pa.types.is_float32(kind) or pa.types.is_float16(kind):
        text = as_text(column)
        column = pc.if_else(pc.equal(text, ""), None, text)
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
    """Return the time zone of a type of timestamps, "" if it is UTC or a fixed offset, and that offset in minutes.

    Raises:
        ValueError: if it is neither a known zone nor an offset that a clock can have.
    """
    name = (kind.tz or "").strip()
    fixed = _FIXED_OFFSET.fullmatch(name)
    if fixed is not None:
        minutes = (60 * int(fixed[2]) + int(fixed[3])) * (-1 if fixed[1] == "-" else 1)
        if not _LEAST_OFFSET <= minutes <= _MOST_OFFSET or minutes % _OFFSET_STEP:
            raise ValueError(name)
        return "", minutes
    if name.lower() in _UTC:
        return "", 0
    known = {zone.lower(): zone for zone in zone_names()}
    return known[_bare(name, known)], 0


def _bare(name: str, known: dict[str, str]) -> str:
    """Return the name of a zone as it is in `known`, without the prefix of the library that wrote it."""
    for bare in (name.lower(), name.lower().removeprefix("dateutil/"), name.lower().removeprefix("pytz/")):
        if bare in known:
            return bare
    raise ValueError(name)


def bytes_of_rows(batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return how many bytes the cells of each row take when they are decoded, shape (n,)."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(_bytes(column.dictionary)).take(column.indices)
            total += np.asarray(pc.fill_null(lengths, 0)).astype(np.int64)
        elif is_text(column.type):
            total += np.asarray(pc.fill_null(pc.binary_length(_bytes(column)), 0)).astype(np.int64)
        total += 8
    return total


def has_nul(batch: pa.RecordBatch, and_bytes: bool) -> bool:
    """Return whether a text has a NUL character, which a CSV cannot have.

    Args:
        batch: some rows.
        and_bytes: whether bytes are texts too.
    """
    for column in batch.columns:
        if is_text(column.type):
            values = column.dictionary if pa.types.is_dictionary(column.type) else column
            is_bytes = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
            if is_bytes and not and_bytes:
                continue
            if pc.any(pc.match_substring(_bytes(values), "\0")).as_py():
                return True
    return False


def _bytes(column: pa.Array) -> pa.Array:
    column = column.storage if isinstance(column.type, pa.JsonType) else column
    return column.cast(pa.large_binary()) if pa.types.is_string_view(column.type) else column
