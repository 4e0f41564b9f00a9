"""The roles of a file's columns: found by name, then by content, or named by an option; never guessed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.core.csv_reading.column_sample import ColumnSample
from pipeline.core.errors import RecordError, shorten
from pipeline.core.forecast_spec import ForecastSpec

DATE_NAMES = (
    "ds",
    "date",
    "datetime",
    "timestamp",
    "time",
    "day",
    "week",
    "month",
    "year",
    "period",
    "date_time",
    "datum",
    "fecha",
)
TIME_NAMES = ("time", "hour", "hour_of_day", "time_of_day", "uhrzeit", "zeit", "stunde", "heure", "hora", "ora")
VALUE_NAMES = ("y", "value", "values", "target", "sales", "demand", "quantity", "qty", "units")
ID_NAMES = (
    "unique_id",
    "series_id",
    "item_id",
    "series",
    "series_name",
    "id",
    "item",
    "sku",
    "product",
    "store",
    "shop",
    "region",
    "country",
    "state",
    "category",
    "location",
    "site",
    "customer",
    "department",
    "dept",
    "symbol",
    "ticker",
    "isin",
    "station",
    "sensor",
    "meter",
    "device",
    "machine",
    "asset",
    "account",
    "city",
    "county",
    "province",
    "zone",
    "market",
    "channel",
    "segment",
    "brand",
    "branch",
    "outlet",
    "warehouse",
    "plant",
    "facility",
    "family",
    "article",
    "material",
)
# These names with a suffix: store_nbr, item code, station_name.
_ID_NAME = re.compile(rf"({'|'.join(ID_NAMES)})([ _-]?(id|nbr|no|nr|num|number|code|key|name))?|.*_id", re.IGNORECASE)
ROW_NUMBER_NAMES = ("id", "row_id", "record_id")  # names of ids that are often just row numbers
SHARE_OF_NAMED_NUMBERS = 0.2  # of the cells of a column whose name is a value's
# Columns of the forecast CSV itself.
OUTPUT_COLUMNS = re.compile(r"date|prediction(_lower|_upper)?(_[0-9.]+)?")
WIDE_COLUMN = "series"


@dataclass(frozen=True)
class Columns:
    """The roles of a file's columns, by name.

    Attributes:
        date: the date.
        time: the time of day, if it has its own column; otherwise "".
        values: the values; several in a wide table.
        ids: columns that tell series apart; may be empty.
        extras: regressors, cap, floor.
        unused: the remaining columns.
        constants: columns with the same text in every row of the sample, and that text: if another text follows, they
            may tell series apart after all. Empty if the owner named the id columns.
        undecided: text columns whose role can be decided only from all rows.
        numbering: whether an id seems to be just a row number.
    """

    date: str
    values: tuple[str, ...]
    ids: tuple[str, ...]
    extras: tuple[str, ...]
    unused: tuple[str, ...]
    constants: tuple[tuple[str, str], ...] = ()
    time: str = ""
    undecided: tuple[str, ...] = ()
    numbering: bool = False

    @property
    def with_undecided_ids(self) -> Columns:
        """The same columns with all text of unknown role as ids, after the named ids, and only one value."""
        constants = [name for name, _ in self.constants]
        named = tuple(name for name in self.ids if name not in constants)
        unknown = {*self.undecided, *constants}
        others = tuple(name for name in (*self.ids, *self.unused) if name in unknown)  # as in the header
        return replace(
            self, values=self.values[:1], ids=(*named, *others), extras=(), constants=(), undecided=others
        )  # fmt: skip

    @property
    def wide(self) -> bool:
        """Whether each value column is its own series."""
        return len(self.values) > 1


def is_named_like_an_id(name: str) -> bool:
    """Return whether a column's name is that of an id: store, item_code, customer_id."""
    return bool(_ID_NAME.fullmatch(name))


def choose_columns(
    header: list[str], sample: dict[str, list[str]], spec: ForecastSpec, line: int, unnamed: frozenset[str]
) -> Columns:
    """Return the roles of the columns.

    Args:
        header: names of the columns.
        sample: some of each column's cells.
        spec: columns that the owner named.
        line: the header's line, for messages.
        unnamed: columns without a name in the header, which were given one.

    Raises:
        RecordError: if a column is missing, or several qualify.
    """
    found = _Chooser(header, sample, line, unnamed, frozenset(spec.missing_values))
    extras = tuple(found.named(name, "regressors, cap and floor") for name in spec.extra_columns())
    date, time = found.date_and_time(spec.date_column) if spec.date_column else (None, "")
    ids = None
    if spec.id_columns is not None:
        ids = tuple(found.named(name, "id_columns") for name in spec.id_columns)
    values = None
    if spec.value_column is not None and spec.value_column != ("*",):
        values = tuple(found.named(name, "value_column") for name in spec.value_column)
    date = date or found.date()
    if ids is None:
        ids = found.ids(date, taken_values=values is not None)
    if values is None:
        values = found.all_values() if spec.value_column == ("*",) else found.value()
    constants: tuple[tuple[str, str], ...] = ()
    undecided: tuple[str, ...] = ()
    numbering = False
    if spec.id_columns is None:
        undecided, constants = found.undecided_texts(date, joined=bool(time)), found.constant_texts()
        if spec.aggregate is not None:  # repeated values may tell apart series that must not be added up
            undecided = (*undecided, *found.codes())
        numbering = found.numbers_rows(ids)
        if not ids and not undecided:  # text that never changes names the file's only series
            ids = tuple(found.named(name, "id_columns") for name, text in constants if text)
    reserved = [name for name in ids if OUTPUT_COLUMNS.fullmatch(name) or (len(values) > 1 and name == WIDE_COLUMN)]
    if reserved:
        raise RecordError(
            "RESERVED_COLUMN",
            f"The forecast has its own column {reserved[0]!r}.",
            "Rename the id column.",
            line=line,
            column=reserved[0],
        )
    return Columns(date, values, ids, extras, tuple(found.left), constants, time, undecided, numbering)


class _Chooser:
    """Takes columns from the remaining ones, one role after another."""

    def __init__(
        self,
        header: list[str],
        sample: dict[str, list[str]],
        line: int,
        unnamed: frozenset[str],
        missing: frozenset[str],
    ) -> None:
        self.left = dict.fromkeys(header)  # ordered, with fast removal
        self._header = header
        self._sample = {name: ColumnSample(cells, missing) for name, cells in sample.items()}
        self._line = line
        self._unnamed = unnamed

    def named(self, name: str, option: str) -> str:
        exact = [column for column in self.left if column == name]
        similar = [column for column in self.left if column.lower() == name.lower()]
        if exact or len(similar) == 1:
            return self._take((exact or similar)[0])
        taken = any(column.lower() == name.lower() for column in self._header)
        problem = "has two roles" if taken else "is not in the file"
        raise RecordError(
            "UNKNOWN_COLUMN",
            f"The column {name!r} of --{option} {problem}; the file has: {', '.join(self._header)}.",
            "Fix the option, or the file's header.",
            line=self._line,
            column=name,
        )

    def date_and_time(self, name: str) -> tuple[str, str]:
        """Return the columns of the date and of the time of day, named as date,time; "" if there is no time column."""
        date, comma, time = (part.strip() for part in name.partition(","))
        if not comma or any(column.lower() == name.lower() for column in self._header):
            return self.named(name, "date_column"), ""
        return self.named(date, "date_column"), self.named(time, "date_column")

    def date(self) -> str:
        by_name = self._with_names(DATE_NAMES)
        # A name is not proof: `year` beside `date`, or `day` with numbers from 1 to 31, is not the date.
        candidates = (
            [name for name in by_name if not self._sample[name].are_numbers]
            or [name for name in by_name if self._sample[name].have_four_digits]
            or by_name
            or [name for name in self.left if self._sample[name].are_mostly_dates]
        )
        if len(candidates) > 1:  # `day` may hold weekdays, and an export may add its own date
            candidates = [name for name in candidates if self._sample[name].are_dates] or candidates
            candidates = [name for name in candidates if self._sample[name].varies] or candidates
        if all(self._sample[name].are_years or self._sample[name].are_part_of_date(name) for name in candidates):
            candidates = [
                name for name in self.left if self._sample[name].are_dates and not self._sample[name].are_years
            ] or candidates
            self._refuse_parts_of_dates(candidates)
        of_day = [name for name in self._with_names(TIME_NAMES) if self._sample[name].are_times]
        times = [name for name in of_day if name not in candidates]
        if len(candidates) == len(times) == 1 and ":" not in "".join(self._sample[candidates[0]].cells):
            candidates = [*candidates, *times]
        return self._only(candidates, "DATE", "date_column")

    def _refuse_parts_of_dates(self, candidates: list[str]) -> None:
        """Raise if the date is spread over a column of years and others."""
        years = [name for name in self.left if self._sample[name].are_years]
        years = [name for name in years if name in candidates or name.lower() in DATE_NAMES]
        parts = [name for name in self.left if self._sample[name].are_part_of_date(name)]
        if not years or not parts or not self._sample[years[0]].repeats:
            return
        joined = "2024-W05" if self._has(parts, "w") else "2024Q1" if self._has(parts, "q") else "2024-05"
        raise RecordError(
            "NO_DATE_COLUMN",
            f"The date is spread over the columns {', '.join([years[0], *parts])}.",
            f"Join them into one column, for example {joined}{' or 2024-05-31' if joined == '2024-05' else ''}.",
            line=self._line,
        )

    def _has(self, parts: list[str], kind: str) -> bool:
        """Return whether one of the parts of a date is a week (w) or quarter (q)."""
        names = {"w": ("week", "kw", "woche"), "q": ("quarter", "qtr", "quartal")}[kind]
        letters = {"w": ("w", "kw"), "q": ("q",)}[kind]
        return any(name.lower() in names or self._sample[name].all_start_with(letters) for name in parts)

    def value(self) -> tuple[str]:
        by_name = self._with_names(VALUE_NAMES)
        candidates = (
            [name for name in by_name if self._sample[name].share_of_numbers >= SHARE_OF_NAMED_NUMBERS]
            or [name for name in self.left if self._is_value(name)]
            or by_name
        )
        return (self._only(candidates, "VALUE", "value_column"),)

    def all_values(self) -> tuple[str, ...]:
        columns = [
            name for name in self.left
            if self._is_value(name) and name.lower() not in DATE_NAMES and not self._sample[name].are_compact_dates
        ]  # fmt: skip
        if not columns:
            raise self._none("VALUE", "value_column")
        return tuple(self._take(name) for name in columns)

    def ids(self, date: str, taken_values: bool) -> tuple[str, ...]:
        names = [
            name for name in self.left
            if is_named_like_an_id(name) and (taken_values or name.lower() not in VALUE_NAMES)
        ]  # fmt: skip
        for name in names:
            counts = self._sample[name].count_up and self._sample[date].varies
            if counts and name.lower() not in ROW_NUMBER_NAMES:
                raise id_of_each_row(names, name, self._line)
        return tuple(self._take(name) for name in names)

    def numbers_rows(self, ids: tuple[str, ...]) -> bool:
        return any(name.lower() in ROW_NUMBER_NAMES and self._sample[name].count_up for name in ids)

    def codes(self) -> tuple[str, ...]:
        """Return columns of numbers or dates that may be codes of series because their texts recur."""
        return tuple(name for name in self.left if self._sample[name].recur and not self._sample[name].are_texts)

    def undecided_texts(self, date: str, joined: bool) -> tuple[str, ...]:
        """Return text columns whose role needs all rows to decide; `joined` if the date already has its time."""
        texts = tuple(name for name in self.left if self._sample[name].are_texts)
        if joined:
            texts = tuple(name for name in texts if not self._sample[name].are_clock_times)
        for name in texts:
            if self._sample[date].repeats and self._sample[name].are_clock_times:
                raise RecordError(
                    "AMBIGUOUS_DATE_COLUMN",
                    f"{name!r} has times of day: they may belong to the dates, or each may be its own series.",
                    f"Use --date_column={shlex.quote(f'{date},{name}')} to join them, or {option('id_columns', name)}.",
                    line=self._line,
                    assume={"date_column": f"{date},{name}"},
                )
            if name.lower() in TIME_NAMES:
                cell = next(cell for cell in self._sample[name].cells if cell.strip())
                raise RecordError(
                    "BAD_DATE_FORMAT",
                    f"{shorten(cell)!r} is not a time of day in a known format.",
                    f"Write the hour as 00:00, and use --date_column=DATE,{name} with the date column's name.",
                    line=self._line,
                    column=name,
                    found=cell,
                )
        return texts

    def constant_texts(self) -> tuple[tuple[str, str], ...]:
        """Return the columns with the same text in each row of the sample, or with none, and that text."""
        found = ((name, self._sample[name].constant) for name in self.left)
        return tuple((name, text) for name, text in found if text is not None)

    def _only(self, candidates: list[str], role: str, name: str) -> str:
        if len(candidates) == 1:
            return self._take(candidates[0])
        if not candidates:
            raise self._none(role, name)
        listed = ", ".join(repr(name) for name in candidates)
        times = [name for name in candidates if self._sample[name].are_times]
        if role == "DATE" and len(times) == 1 and len(candidates) == 2:
            date = next(name for name in candidates if name != times[0])
            raise RecordError(
                "AMBIGUOUS_DATE_COLUMN",
                f"Date and time are in two columns, {date!r} and {times[0]!r}.",
                f"Use --{name}={shlex.quote(f'{date},{times[0]}')} to join them.",
                line=self._line,
                assume={name: f"{date},{times[0]}"},
            )
        every = f", or --{name}='*' to forecast each of them" if role == "VALUE" else ""
        raise RecordError(
            f"AMBIGUOUS_{role}_COLUMN",
            f"Any of {listed} could be the {role.lower()}.",
            f"Use {option(name, candidates[0])} or another{every}.",
            line=self._line,
            assume={name: candidates[0] if role == "DATE" else (candidates[0],)},
        )

    def _none(self, role: str, name: str) -> RecordError:
        return RecordError(
            f"NO_{role}_COLUMN",
            f"None of the columns {', '.join(self._header)} could be recognised as the {role.lower()}.",
            f"Use --{name} to name the column, or rename it to {'date' if role == 'DATE' else 'y'}.",
            line=self._line,
        )

    def _take(self, name: str) -> str:
        del self.left[name]
        return name

    def _with_names(self, names: tuple[str, ...]) -> list[str]:
        return [column for column in self.left if column.lower() in names]

    def _is_value(self, name: str) -> bool:
        """Return whether a column has numbers that do not just number rows or items."""
        numbered = name in self._unnamed and self._sample[name].count_up
        named_as_id = bool(_ID_NAME.fullmatch(name))
        filled = bool(self._sample[name].known)
        return filled and self._sample[name].are_numbers and not numbered and not named_as_id


def id_of_each_row(ids: Sequence[str], name: str, line: int | None) -> RecordError:
    """Return the error for an id column with a different value in each row."""
    others = [column for column in ids if column != name]
    return RecordError(
        "AMBIGUOUS_ID_COLUMN",
        f"The column {name!r} has a different value in each row, like a row number.",
        f"If it tells series apart, use {option('id_columns', *ids)}; if not, {option('id_columns', *others)}.",
        line=line,
        column=name,
        assume={"id_columns": tuple(others)},
    )


def option(name: str, *values: str) -> str:
    """Return an option as typed in a shell; "none" if there are no values."""
    text = json.dumps(values) if any("," in value for value in values) else ",".join(values) or "none"
    return f"--{name}={shlex.quote(text)}"
