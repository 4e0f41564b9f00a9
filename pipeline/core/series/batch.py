"""A block of series as one record batch, one row per series: sorted, checked, with the dates to forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.arrays import Floats
from pipeline.core.csv_reading.row_reader import Rows
from pipeline.core.dates.aggregate import aggregated, period_calendar, period_starts_on_wall, zero_filled
from pipeline.core.dates.calendars import DAY, MINUTE, Dates, FixedSteps, format_date
from pipeline.core.dates.date_style import WITHOUT_DAYS, DateStyle
from pipeline.core.dates.frequencies import EXAMPLES, parse_frequency
from pipeline.core.dates.infer_frequency import FrequencyUnclearError, calendar_of, infer_calendar
from pipeline.core.dates.timezones import second_of_equals, utc_of_wall, wall_of_utc, without_marks, zone_named
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors
from pipeline.core.faults.narrowing import narrowed
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.arrow_lists import NUMBERS, TIMESTAMPS, list_column, number_lists, timestamp_lists, timestamps
from pipeline.core.series.duplicates import one_row_per_date
from pipeline.core.series.layout import Layout

FIRST_DATE, LAST_DATE = np.array(["0001-01-01", "9999-12-31"], "datetime64[us]").astype(np.int64).tolist()
# Limits on filling with zeros: blocks are cut by the rows that are read, and must not grow without bound.
MAX_FILLED_ROWS, MAX_FILLED_PER_ROW = 20_000, 20


def series_schema(extras: Sequence[str]) -> pa.Schema:
    """Return the schema of a batch of series.

    Columns: series_id, the ids as written in the CSV, the frequency's name, ds and y (the history
    without missing values), future (the dates to forecast), for each extra column its numbers on ds and
    then on future, note: what the owner should know about the series, and fault: a RecordError as JSON for a series
    that cannot be forecast.
    """
    return pa.schema([
        ("series_id", pa.string()), ("ids", pa.list_(pa.string())), ("frequency", pa.string()),
        ("ds", TIMESTAMPS), ("y", NUMBERS), ("future", TIMESTAMPS),
        *((f"extra_{name}", NUMBERS) for name in extras), ("note", pa.string()), ("fault", pa.string()),
    ])  # fmt: skip


def series_id(ids: Sequence[str], value_name: str) -> str:
    """Return one name for a series: its ids joined by slashes, with slashes within an id escaped."""
    if not ids:
        return value_name
    if len(ids) == 1:
        return ids[0]
    return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in ids)


def reference_batch(ids: Sequence[tuple[str, ...]], faults: dict[int, RecordError], first: int) -> pa.RecordBatch:
    """Return ids and known errors of series whose rows are in a work file."""
    known = [faults[first + i].to_json() if first + i in faults else None for i in range(len(ids))]
    return pa.record_batch({
        "ids": pa.array([list(i) for i in ids], pa.list_(pa.string())), "fault": pa.array(known, pa.string()),
    })  # fmt: skip


def faulty_series(ids: pa.Array, faults: pa.Array, error: RecordError, layout: Layout) -> pa.RecordBatch:
    """Return series without rows that all have an error.

    Args:
        ids: ids of each series.
        faults: errors that they already have, which they keep, as JSON.
        error: the error of the others.
        layout: of the file.
    """
    names = [series_id(each, layout.value_name) for each in ids.to_pylist()]
    columns = {field.name: _no_lists(field.type, len(ids)) for field in series_schema(layout.extras)}
    columns |= {"series_id": pa.array(names, pa.string()), "ids": ids, "fault": pc.fill_null(faults, error.to_json())}
    return pa.record_batch(columns, schema=series_schema(layout.extras))


def _no_lists(kind: pa.DataType, rows: int) -> pa.Array:
    """Return a column of empty lists, or of nulls for other types."""
    if not pa.types.is_list(kind):
        return pa.nulls(rows, kind)
    return pa.ListArray.from_arrays(pa.array([0] * (rows + 1), pa.int32()), pa.array([], kind.value_type))


def series_batch(
    rows: Rows,
    ids: Sequence[tuple[str, ...]],
    faults: dict[int, RecordError],
    first: int,
    layout: Layout,
    spec: ForecastSpec,
    limits: Limits,
    errors: InternalErrors = InternalErrors(),  # noqa: B008 - frozen
) -> pa.RecordBatch:
    """Return a block of series from its rows; a series that raises an unexpected exception gets an error.

    Args:
        rows: rows of these series, sorted by series, date and line.
        ids: ids of each series.
        faults: errors known from reading, by number of the series.
        first: number of the first series.
        layout: of the file.
        spec: what to forecast.
        limits: for max_rows.
        errors: turns an unexpected exception into an error of the series.
    """

    def do(start: int, end: int) -> pa.RecordBatch:
        return _series_batch(rows, ids[start:end], faults, first + start, layout, spec, limits)

    def blamed(row: int, error: BaseException) -> pa.RecordBatch:
        fault = errors(error, series_id(ids[row], layout.value_name))
        one = pa.array([list(ids[row])], pa.list_(pa.string()))
        return faulty_series(one, pa.nulls(1, pa.string()), fault, layout)

    return narrowed(len(ids), do, blamed)


def _series_batch(
    rows: Rows,
    ids: Sequence[tuple[str, ...]],
    faults: dict[int, RecordError],
    first: int,
    layout: Layout,
    spec: ForecastSpec,
    limits: Limits,
) -> pa.RecordBatch:
    """Return a block of series from its rows; arguments as for series_batch."""
    bounds = np.searchsorted(rows.codes, np.arange(first, first + len(ids) + 1))
    builder = _Builder(spec, limits, layout)
    as_it_is = (
        not layout.extras and not layout.style.timezone and spec.aggregate is None and spec.fill_missing == "none"
    )
    if as_it_is and not any(first + i in faults for i in range(len(ids))):
        batch = builder.plain_batch(ids, rows, bounds)
        if batch is not None:
            return batch
    for i, series_ids in enumerate(ids):
        builder.append(series_ids, faults.get(first + i), rows, int(bounds[i]), int(bounds[i + 1]))
    return builder.finish()


class _Builder:
    """Appends one series after another to flat arrays."""

    def __init__(self, spec: ForecastSpec, limits: Limits, layout: Layout) -> None:
        self._spec, self._limits, self._layout, self._style = spec, limits, layout, layout.style
        shifted = self._style.in_utc and not self._style.timezone
        self._offset = (self._style.offset_minutes or 0) * MINUTE if shifted else 0
        self._calendar_of = calendar_of(spec.frequency or spec.aggregate, layout.style.has_days)
        self._periods = period_calendar(spec.aggregate) if spec.aggregate is not None else None
        self._last_inferred: tuple[Dates, str, Dates] | None = None
        self._names: list[str] = []
        self._ids: list[list[str]] = []
        self._frequencies: list[str | None] = []
        self._notes: list[str | None] = []
        self._faults: list[str | None] = []
        self._dates: list[Dates] = []
        self._values: list[Floats] = []
        self._futures: list[Dates] = []
        self._extras: list[Floats] = []

    def plain_batch(self, ids: Sequence[tuple[str, ...]], rows: Rows, bounds: Dates) -> pa.RecordBatch | None:
        """Return the block if each series is plain: sorted dates, a value on each, a clear frequency; else None."""
        counts = np.diff(bounds)
        part = slice(int(bounds[0]), int(bounds[-1]))
        dates, values = rows.dates[part] + self._offset, rows.values[part]
        repeated = np.diff(dates) == 0
        repeated[bounds[1:-1] - bounds[0] - 1] = False
        if counts.min() < 2 or counts.max() > self._limits.max_rows or repeated.any() or not np.isfinite(values).all():
            return None
        futures: list[tuple[str, Dates]] = []
        offsets = bounds - bounds[0]
        try:
            same = (counts == counts[0]).all() and (dates.reshape(len(ids), -1) == dates[: counts[0]]).all()
            for start, end in pairwise(offsets.tolist()):
                futures.append(futures[0] if same and futures else self._future(dates[start:end], int(dates[end - 1])))
        except RecordError:
            return None  # the series are then built one by one, to find which and why
        columns = [
            pa.array([series_id(i, self._layout.value_name) for i in ids]),
            pa.array([list(i) for i in ids], pa.list_(pa.string())),
            pa.array([frequency for frequency, _ in futures], pa.string()),
            list_column(offsets, timestamps(dates)),
            list_column(offsets, pa.array(values)),
            timestamp_lists([future for _, future in futures]),
            pa.nulls(len(ids), pa.string()),
            pa.nulls(len(ids), pa.string()),
        ]
        return pa.record_batch(columns, schema=series_schema(()))

    def append(self, ids: tuple[str, ...], fault: RecordError | None, rows: Rows, start: int, end: int) -> None:
        self._names.append(series_id(ids, self._layout.value_name))
        self._ids.append(list(ids))
        frequency = note = None
        empty = np.empty(0, dtype=np.int64)
        dates, values, future, extras = empty, np.empty(0), empty, np.empty((0, len(self._layout.extras)))
        try:
            if fault is not None:
                raise fault
            dates, values, frequency, future, extras, note = self._series(rows, start, end)
        except RecordError as error:
            fault = error
            dates, values, future = empty, np.empty(0), empty
        self._frequencies.append(frequency)
        self._notes.append(note)
        self._faults.append(None if fault is None else fault.to_json())
        self._dates.append(dates)
        self._values.append(values)
        self._futures.append(future)
        self._extras.append(extras)

    def _series(self, rows: Rows, start: int, end: int) -> tuple[Dates, Floats, str, Dates, Floats, str | None]:
        limit = self._limits.max_rows
        if end - start > limit:
            raise too_many_rows(limit)
        part = slice(start, end)
        rows = rows.take(part)
        clock = _Clock.of(rows, self._style, self._spec) if self._style.timezone else None
        if clock is not None:
            rows = Rows(rows.codes, clock.dates, rows.values, rows.lines, rows.extras).take(clock.order)
        dates, values, extras = rows.dates + self._offset, rows.values, rows.extras
        note = None
        if self._periods is None:
            before = len(dates)
            dates, values, extras = one_row_per_date(dates, values, extras, rows.lines, self._spec.duplicates)
            if len(dates) < before and self._spec.duplicates == "error":
                dropped = before - len(dates)
                repeated = f"{dropped:,} row{'s' if dropped > 1 else ''}"
                note = f"{repeated} repeating a date, with the same value or none, did not count"
        else:
            periods_of = None
            if clock is not None and not clock.on_wall and self._periods.step < DAY:
                wall = without_marks(self._style.from_utc(dates), zone_named(self._style.timezone))
                periods_of = period_starts_on_wall(dates, wall, self._periods, self._style.to_utc)
            whole = aggregated(dates, values, extras, self._periods, self._spec.aggregation, periods_of)
            self._refuse_finer_periods(dates, whole.dates)
            dates, values, extras, note = whole.dates, whole.values, whole.extras, "; ".join(whole.notes) or None
        present = np.isfinite(values)
        if not present.any():
            raise RecordError("ALL_MISSING", "The series has no value.", "Add values, or remove the series.")
        last = int(np.flatnonzero(present)[-1])
        history = present
        if history.sum() < 2:
            raise RecordError(
                "TOO_FEW_ROWS",
                "The series has one value; a forecast needs at least two.",
                "Add history; a useful forecast needs two seasons or more.",
            )
        frequency, future = self._future(dates, int(dates[last]))
        if self._spec.fill_missing == "zero":
            calendar = self._calendar_of(dates)
            most = min(limit, max(MAX_FILLED_ROWS, MAX_FILLED_PER_ROW * len(dates)))
            filled = zero_filled(dates, values, extras, calendar, int(dates[last]), most)
            if filled is None:
                raise RecordError(
                    "TOO_MANY_ROWS",
                    f"Filled with zeros, {len(dates):,} rows would become more than {most:,}.",
                    "Use a coarser --frequency, or add up the rows with --aggregate=W-MON or MS.",
                )
            dates, values, extras = filled
            history = np.isfinite(values)
        wanted = self._extra_numbers(dates, extras, history, future)
        dates, values = dates[history], values[history]
        if clock is not None and not clock.on_wall:
            dates, future = self._style.from_utc(dates), self._style.from_utc(future)
            order = np.argsort(dates)  # where an hour occurs twice, the dates of both interleave
            dates, values = dates[order], values[order]
            wanted = np.vstack([wanted[: len(order)][order], wanted[len(order) :]])
        return dates, values, frequency, future, wanted, note

    def _refuse_finer_periods(self, dates: Dates, periods: Dates) -> None:
        """Raise if rows would be added up by periods that are shorter than the steps between them."""
        if len(np.unique(dates)) > len(periods) or self._periods is None or len(periods) < 3:
            return
        slots = self._periods.slots(periods[[0, -1]])
        if 2 * len(periods) > slots[1] - slots[0]:
            return
        try:
            own = infer_calendar(np.unique(dates), self._style.has_days)
        except FrequencyUnclearError:
            return
        raise RecordError(
            "FREQUENCY_UNCLEAR",
            f"There is nothing to add up by {self._periods.name}: the dates have the frequency {own.name}.",
            "Leave out --aggregate, or choose longer periods.",
        )

    def _future(self, dates: Dates, last: int) -> tuple[str, Dates]:
        known = self._last_inferred
        if known is not None and int(known[0][-1]) == last and np.array_equal(known[0], dates):
            return known[1], known[2]
        try:
            calendar = self._calendar_of(dates)
        except FrequencyUnclearError as error:
            if self._layout.mixed_offsets:
                raise RecordError(
                    "FREQUENCY_UNCLEAR",
                    "The frequency is unclear because the dates have several UTC offsets.",
                    "Use --timezone=Europe/Berlin, or whichever time zone it is.",
                ) from None
            options = " or ".join(f"--frequency={option}" for option in error.options)
            raise RecordError(
                "FREQUENCY_UNCLEAR",
                f"The frequency is unclear: {error.reason}.",
                error.advice
                or (
                    f"Use {options}."
                    if options
                    else f"Use --frequency: {EXAMPLES}; or add up the rows by period, such as with --aggregate=MS."
                ),
            ) from None
        try:
            future = calendar.after(last, self._spec.horizon)
        except OverflowError:
            future = np.array([LAST_DATE + 1])
        if dates[0] < FIRST_DATE or future[-1] > LAST_DATE:
            raise RecordError(
                "DATE_OUT_OF_RANGE",
                "Dates, and dates to forecast, must be within the years 1 to 9999.",
                "Fix the dates, or shorten the horizon.",
            )
        self._refuse_dates_that_look_alike(last, future)
        if int(dates[-1]) == last:
            self._last_inferred = (dates, calendar.name, future)
        return calendar.name, future

    def _refuse_dates_that_look_alike(self, last: int, future: Dates) -> None:
        """Raise if the CSV's date format cannot tell the dates to forecast apart."""
        style = self._layout.style
        if style.form not in ("format", *WITHOUT_DAYS) or style.timezone:
            return
        dates = np.concatenate([[last], future])
        if style.form == "quarter":
            months = dates.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
            dates = (months - months % 3).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
        elif style.form != "format":
            unit = "Y" if style.form == "year" else "M"
            dates = (
                dates.astype("datetime64[us]").astype(f"datetime64[{unit}]").astype("datetime64[us]").astype(np.int64)
            )
        written = style.write(dates).to_pylist()
        if len(set(written)) < len(written):
            raise RecordError(
                "FREQUENCY_UNCLEAR",
                f"Two dates to forecast would both be written {written[-1]!r}.",
                "Use a --frequency whose dates differ in the CSV's date format, such as MS for months.",
            )

    def _extra_numbers(self, dates: Dates, extras: Floats, history: np.ndarray, future: Dates) -> Floats:
        names = self._layout.extras
        if not names:
            return np.empty((len(future) + int(history.sum()), 0))
        at = np.searchsorted(dates, future)
        found = (at < len(dates)) & (dates[np.minimum(at, len(dates) - 1)] == future)
        ahead = np.where(found[:, None], extras[np.minimum(at, len(dates) - 1)], np.nan)
        if not self._layout.extras_ahead and history.any():
            ahead = np.where(np.isfinite(ahead), ahead, extras[history][-1])
        numbers = np.vstack([extras[history], ahead])
        missing = np.argwhere(~np.isfinite(numbers))
        if len(missing):
            row, column = missing[0]
            past = int(history.sum())
            date = dates[history][row] if row < past else future[row - past]
            kind = "in the history" if row < past else "to forecast"
            raise RecordError(
                "REGRESSOR_MISSING",
                f"{names[column]!r} has no value on {format_date(int(date))}, which is {kind}.",
                "Fill it in: a regressor, cap or floor needs a number in each row with a value, and for each date of "
                "the horizon in a row without a value.",
                column=names[column],
            )
        return numbers

    def finish(self) -> pa.RecordBatch:
        histories = [len(dates) for dates in self._dates]
        horizons = [len(future) for future in self._futures]
        columns = [
            pa.array(self._names), pa.array(self._ids, pa.list_(pa.string())),
            pa.array(self._frequencies, pa.string()), timestamp_lists(self._dates), number_lists(self._values),
            timestamp_lists(self._futures),
        ]  # fmt: skip
        lengths = [a + b for a, b in zip(histories, horizons, strict=True)]
        for i in range(len(self._layout.extras)):
            flat = [
                extras[:, i] if length else np.empty(0) for extras, length in zip(self._extras, lengths, strict=True)
            ]
            columns.append(number_lists(flat))
        columns += [pa.array(self._notes, pa.string()), pa.array(self._faults, pa.string())]
        return pa.record_batch(columns, schema=series_schema(self._layout.extras))


@dataclass(frozen=True)
class _Clock:
    """How the dates of a series in a time zone continue: days and longer steps in local time, hours in UTC.

    Attributes:
        dates: of the rows, shape (n,).
        order: rows by date, shape (n,).
        on_wall: whether dates are in local time; otherwise in UTC.
    """

    dates: Dates
    order: Dates
    on_wall: bool

    @classmethod
    def of(cls, rows: Rows, style: DateStyle, spec: ForecastSpec) -> _Clock:
        """Return how the dates of rows continue; the rows are as read, sorted by date and line.

        Raises:
            RecordError: BAD_DATE if the clock never showed one of the dates.
        """
        zone, dates = zone_named(style.timezone), rows.dates
        utc = dates
        if not style.in_utc:
            # in a file in descending order, the lower one of two equal hours is the earlier
            backwards = len(dates) > 1 and rows.lines[0] > rows.lines[-1]
            order = np.lexsort((-rows.lines, dates)) if backwards else np.arange(len(dates))
            utc = np.empty_like(dates)
            utc[order] = utc_of_wall(second_of_equals(dates[order], zone), zone)
            skipped = np.flatnonzero(without_marks(wall_of_utc(utc, zone), zone) != dates)
            if len(skipped) and len(np.unique(dates % DAY)) > 1:  # days begin at 1:00 where there is no midnight
                raise RecordError(
                    "BAD_DATE",
                    f"The clocks of {style.timezone} never showed {format_date(int(dates[skipped[0]]))}.",
                    "Use the --timezone whose clock showed it, such as Etc/GMT-1 for UTC+1 all year; or write dates "
                    "with their offset.",
                    line=int(rows.lines[skipped[0]]),
                )
        wall = without_marks(wall_of_utc(utc, zone), zone)
        stated = spec.frequency or spec.aggregate
        if stated is not None:
            calendar = parse_frequency(stated)
            on_wall = not isinstance(calendar, FixedSteps) or calendar.step % DAY == 0
        else:
            on_wall = len(np.unique(wall % DAY)) == 1 or (not style.in_utc and len(np.unique(dates % DAY)) == 1)
        counted = (wall if style.in_utc else dates) if on_wall else utc
        return cls(counted, np.argsort(counted, kind="stable"), on_wall)


def too_many_rows(limit: int) -> RecordError:
    """Return the error for a series that is longer than allowed."""
    return RecordError(
        "TOO_MANY_ROWS",
        f"The series has more than {limit:,} rows.",
        "Aggregate it, check --id_columns, or ask the operator to raise --max_rows.",
    )
