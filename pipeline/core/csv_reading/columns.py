"""The roles of a file's columns: found by name, then by content, or named by an option; never guessed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.core.dates.recognise_dates import SHARE_OF_DATES, looks_like_dates
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
# Cells of a numeric column that mean a missing value, in any case; not in ids, where NA is Namibia.
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "<na>", "\\n", ".", "..", "?", ":"})
DASHES = ("-", "–", "—", "−")  # zero in many accounts, missing elsewhere
SHARE_OF_NUMBERS = 0.5  # of a column's cells; the others may mean a missing value: "closed" at weekends
SHARE_OF_NAMED_NUMBERS = 0.2  # of the cells of a column whose name is a value's
PART_NAMES = ("month", "mon", "monat", "quarter", "qtr", "quartal", "week", "kw", "woche", "day", "half")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
CALENDAR_WORDS = frozenset(
    {"spring", "summer", "autumn", "fall", "winter", *(f"q{i}" for i in range(1, 5))}
    | {short for name in (*_WEEKDAYS, *_MONTHS) for short in (name, name[:3])}
)
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


def is_missing(cell: str) -> bool:
    """Return whether a cell of a numeric column is a missing value, or may be one."""
    bare = cell.strip()
    return bare in DASHES or bare.lower() in MISSING


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
        self._missing = missing
        self.left = dict.fromkeys(header)  # ordered, with fast removal
        self._header = header
        self._sample = sample
        self._line = line
        self._unnamed = unnamed
        self._known_cells: dict[str, list[str]] = {}  # what several questions need, by column
        self._shares: dict[str, float] = {}

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
            [name for name in by_name if not self._numbers(name)]
            or [name for name in by_name if self._dates_as_numbers(name)]
            or by_name
            or [name for name in self.left if looks_like_dates(self._sample[name], SHARE_OF_DATES)]
        )
        if len(candidates) > 1:  # `day` may hold weekdays, and an export may add its own date
            candidates = [name for name in candidates if looks_like_dates(self._sample[name])] or candidates
            candidates = [name for name in candidates if len(set(self._sample[name])) > 1] or candidates
        if all(self._years(name) or self._is_part_of_date(name) for name in candidates):
            candidates = [
                name for name in self.left if looks_like_dates(self._sample[name]) and not self._years(name)
            ] or candidates
            self._refuse_parts_of_dates(candidates)
        times = [name for name in self._with_names(TIME_NAMES) if name not in candidates and self._times(name)]
        if len(candidates) == 1 and len(times) == 1 and not any(":" in cell for cell in self._sample[candidates[0]]):
            candidates = [*candidates, *times]
        return self._only(candidates, "DATE", "date_column")

    def _refuse_parts_of_dates(self, candidates: list[str]) -> None:
        """Raise if the date is spread over a column of years and others."""
        years = [name for name in self.left if self._years(name) and (name in candidates or name.lower() in DATE_NAMES)]
        parts = [name for name in self.left if self._is_part_of_date(name)]
        if not years or not parts or len(set(self._sample[years[0]])) == len(self._sample[years[0]]):
            return
        joined = "2024-W05" if self._has(parts, "w") else "2024Q1" if self._has(parts, "q") else "2024-05"
        raise RecordError(
            "NO_DATE_COLUMN",
            f"The date is spread over the columns {', '.join([years[0], *parts])}.",
            f"Join them into one column, for example {joined}{' or 2024-05-31' if joined == '2024-05' else ''}.",
            line=self._line,
        )

    def _all_are(self, name: str, pattern: re.Pattern[str]) -> bool:
        """Return whether a column has cells, and all that are not empty match a pattern."""
        cells = [cell.strip() for cell in self._sample[name] if cell.strip()]
        return bool(cells) and all(pattern.fullmatch(cell) for cell in cells)

    def _years(self, name: str) -> bool:
        return self._all_are(name, _YEAR)

    def _is_part_of_date(self, name: str) -> bool:
        cells = {cell.strip().lower() for cell in self._sample[name] if cell.strip()}
        if not cells or self._years(name) or looks_like_dates([*cells]):
            return False
        named = name.lower() in PART_NAMES and all(cell.isdigit() and int(cell) <= 53 for cell in cells)
        return named or all(cell in CALENDAR_WORDS or _PART_OF_YEAR.fullmatch(cell) for cell in cells)

    def _has(self, parts: list[str], kind: str) -> bool:
        """Return whether one of the parts of a date is a week (w) or quarter (q)."""
        names = {"w": ("week", "kw", "woche"), "q": ("quarter", "qtr", "quartal")}[kind]
        letters = {"w": ("w", "kw"), "q": ("q",)}[kind]
        return any(
            name.lower() in names or all(cell.strip().lower().startswith(letters) for cell in self._sample[name])
            for name in parts
        )

    def value(self) -> tuple[str]:
        by_name = self._with_names(VALUE_NAMES)
        candidates = (
            [name for name in by_name if self._share_of_numbers(name) >= SHARE_OF_NAMED_NUMBERS]
            or [name for name in self.left if self._is_value(name)]
            or by_name
        )
        return (self._only(candidates, "VALUE", "value_column"),)

    def all_values(self) -> tuple[str, ...]:
        columns = [
            name for name in self.left
            if self._is_value(name) and name.lower() not in DATE_NAMES and not self._all_are(name, _COMPACT_DATE)
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
            counts = _counts_up(self._sample[name]) and len(set(self._sample[date])) > 1
            if counts and name.lower() not in ROW_NUMBER_NAMES:
                raise id_of_each_row(names, name, self._line)
        return tuple(self._take(name) for name in names)

    def numbers_rows(self, ids: tuple[str, ...]) -> bool:
        return any(name.lower() in ROW_NUMBER_NAMES and _counts_up(self._sample[name]) for name in ids)

    def _clock(self, name: str) -> bool:
        return self._all_are(name, _CLOCK)

    def codes(self) -> tuple[str, ...]:
        """Return columns of numbers or dates that may be codes of series because their texts recur."""
        return tuple(
            name for name in self.left
            if not self._text(name) and 1 < len(set(self._sample[name])) <= len(self._sample[name]) / 3
        )  # fmt: skip

    def undecided_texts(self, date: str, joined: bool) -> tuple[str, ...]:
        """Return text columns whose role needs all rows to decide; `joined` if the date already has its time."""
        texts = tuple(name for name in self.left if self._text(name) and not (joined and self._clock(name)))
        for name in texts:
            if len(set(self._sample[date])) < len(self._sample[date]) and self._clock(name):
                raise RecordError(
                    "AMBIGUOUS_DATE_COLUMN",
                    f"{name!r} has times of day: they may belong to the dates, or each may be its own series.",
                    f"Use --date_column={shlex.quote(f'{date},{name}')} to join them, or {option('id_columns', name)}.",
                    line=self._line,
                    assume={"date_column": f"{date},{name}"},
                )
            if name.lower() in TIME_NAMES:
                cell = next(cell for cell in self._sample[name] if cell.strip())
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
        found = []
        for name in self.left:
            cells = {cell.strip() for cell in self._sample[name]}
            if all(map(is_missing, cells)):
                found.append((name, ""))
            elif len(cells) == 1 and not self._numbers(name) and not looks_like_dates([*cells]):
                found.append((name, cells.pop()))
        return tuple(found)

    def _only(self, candidates: list[str], role: str, name: str) -> str:
        if len(candidates) == 1:
            return self._take(candidates[0])
        if not candidates:
            raise self._none(role, name)
        listed = ", ".join(repr(name) for name in candidates)
        times = [name for name in candidates if self._times(name)]
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

    def _times(self, name: str) -> bool:
        return self._all_are(name, _TIME_OF_DAY) and not self._all_are(name, _SHORT_DATE)

    def _take(self, name: str) -> str:
        del self.left[name]
        return name

    def _with_names(self, names: tuple[str, ...]) -> list[str]:
        return [column for column in self.left if column.lower() in names]

    def _known(self, name: str) -> list[str]:
        """Return the cells of a column that are not missing."""
        if name not in self._known_cells:
            bare = map(str.strip, self._sample[name])
            self._known_cells[name] = [cell for cell in bare if cell not in self._missing and not is_missing(cell)]
        return self._known_cells[name]

    def _share_of_numbers(self, name: str) -> float:
        """Return the share of a column's cells that are numbers, however they are written; 1 if it has none."""
        if name not in self._shares:
            self._shares[name] = self._share_of_known(name)
        return self._shares[name]

    def _share_of_known(self, name: str) -> float:
        cells = self._known(name)
        if not cells or looks_like_dates(cells):
            return float(not cells)
        share = sum(bool(_PLAIN_NUMBER.fullmatch(cell) or _NUMBER.fullmatch(cell)) for cell in cells) / len(cells)
        return 1.0 if share < 1 and _have_a_unit(cells) else share

    def _numbers(self, name: str) -> bool:
        """Return whether a column is one of numbers; a few cells may be something else."""
        return self._share_of_numbers(name) >= SHARE_OF_NUMBERS

    def _dates_as_numbers(self, name: str) -> bool:
        cells = [cell.strip() for cell in self._sample[name] if cell.strip()]
        return all(len(cell.lstrip("-")) >= 4 for cell in cells)

    def _is_value(self, name: str) -> bool:
        """Return whether a column has numbers that do not just number rows or items."""
        numbered = name in self._unnamed and _counts_up(self._sample[name])
        named_as_id = bool(_ID_NAME.fullmatch(name))
        filled = bool(self._known(name))
        return filled and self._numbers(name) and not numbered and not named_as_id

    def _text(self, name: str) -> bool:
        """Return whether a column has text that is neither numbers nor dates, and not the same in each row."""
        cells = self._known(name)
        if not cells or self._numbers(name) or looks_like_dates(cells):
            return False
        return len({cell.strip() for cell in self._sample[name]}) > 1


def _have_a_unit(cells: list[str]) -> bool:
    """Return whether cells are numbers with the same unit behind them, or the same sign before them."""
    found = [_WITH_UNIT.fullmatch(cell) for cell in cells]
    parts = {(match[1], match[3]) for match in found if match}
    return all(found) and len(parts) == 1 and len({match[2] for match in found if match}) > 1


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


def _counts_up(cells: list[str]) -> bool:
    """Return whether cells are whole numbers that go up by one from row to row."""
    if len(cells) < 4 or not all(cell.isdigit() for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return all(after == before + 1 for before, after in pairwise(numbers))


_TIME_OF_DAY = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2})?( ?[ap]m)?|\d{1,2}", re.IGNORECASE)
_SHORT_DATE = re.compile(r"(0[1-9]|[12]\d|3[01])\.(0[1-9]|1[0-2])\.\d\d")
_CURRENCY = r"(?:[€$£¥₹]|EUR|USD|CHF|GBP|Rs\.?|kr\.?)"
# Anything a person would call a number: with currency, per cent, thousands separators, a trailing minus, brackets.
_DIGITS = r"(?:\d{1,3}(?:[.,'’_ \u00a0\u2009\u202f]\d{2,3})+(?:[.,]\d*)?|\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?"
_NUMBER = re.compile(
    rf"\(?[+\-−]?\s?(?:{_CURRENCY}\s?[+\-−]?)?{_DIGITS}\s?(?:%|{_CURRENCY})?-?\)?|[+-]?inf(?:inity)?", re.IGNORECASE
)
_PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?")  # what most are, and quickly told
# 12 kWh, A$12, ~12; but only letters before a number make a code: SKU12
_WITH_UNIT = re.compile(
    rf"([^\w\s(]?|[A-Z]{{0,2}}[€$£¥₹₺]\s?)([+\-−]?{_DIGITS})(\s?[^\d\s][^\d]{{0,7}}|)", re.IGNORECASE
)
_YEAR = re.compile(r"[12]\d{3}")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_COMPACT_DATE = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_PART_OF_YEAR = re.compile(r"(q|h|kw ?|w|m)[0-5]?\d")
