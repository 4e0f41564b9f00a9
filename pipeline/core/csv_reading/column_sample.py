"""What a sample of a column's cells says: numbers, dates, years, times of day, text, row numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise

from pipeline.core.dates.recognise_dates import SHARE_OF_DATES, looks_like_dates

# Cells of a numeric column that mean a missing value, in any case; not in ids, where NA is Namibia.
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "<na>", "\\n", ".", "..", "?", ":"})
_LONGEST_MISSING = max(map(len, MISSING))
DASHES = ("-", "–", "—", "−")  # zero in many accounts, missing elsewhere
SHARE_OF_NUMBERS = 0.5  # of a column's cells; the others may mean a missing value: "closed" at weekends
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


def is_missing(cell: str) -> bool:
    """Return whether a cell of a numeric column is a missing value, or may be one."""
    bare = cell.strip()
    return bare in DASHES or bare.lower() in MISSING


class ColumnSample:
    """Some of a column's cells; each question about them is answered once.

    Args:
        cells: as written.
        missing: texts that the owner named as missing values.
    """

    def __init__(self, cells: Sequence[str], missing: frozenset[str] = frozenset()) -> None:
        self.cells = cells
        self._missing = missing

    @cached_property
    def stripped(self) -> list[str]:
        """The cells without spaces around them."""
        return [*map(str.strip, self.cells)]

    @cached_property
    def distinct(self) -> dict[str, None]:
        """Their different texts, in order of appearance; most questions are about these, and often they are few."""
        return dict.fromkeys(self.stripped)

    @cached_property
    def filled(self) -> list[str]:
        """The different texts that are not empty."""
        return [cell for cell in self.distinct if cell]

    @cached_property
    def _written(self) -> set[str]:
        """The different cells, spaces included."""
        return set(self.cells)

    @property
    def varies(self) -> bool:
        """Whether the cells, as written, are not all the same."""
        return len(self._written) > 1

    @property
    def repeats(self) -> bool:
        """Whether some cells, as written, are the same."""
        return len(self._written) < len(self.cells)

    @property
    def recur(self) -> bool:
        """Whether they differ, but each text is that of three rows or more on average."""
        return 1 < len(self._written) <= len(self.cells) / 3

    @cached_property
    def known(self) -> list[str]:
        """The cells that are not missing, without spaces around them."""
        if not self._missing and min(map(len, self.distinct), default=0) > _LONGEST_MISSING:
            return self.stripped
        short = (cell for cell in self.distinct if len(cell) <= _LONGEST_MISSING or cell in self._missing)
        unknown = {cell for cell in short if cell in self._missing or is_missing(cell)}
        return [cell for cell in self.stripped if cell not in unknown] if unknown else self.stripped

    def all_are(self, pattern: re.Pattern[str]) -> bool:
        """Return whether there are cells, and all that are not empty match a pattern."""
        return bool(self.filled) and all(map(pattern.fullmatch, self.filled))

    @cached_property
    def are_dates(self) -> bool:
        """Whether all that are not empty are dates of one form."""
        return looks_like_dates(self.filled)

    @cached_property
    def are_mostly_dates(self) -> bool:
        """Whether nearly all that are not empty are dates of one form."""
        return self.are_dates or looks_like_dates(self.stripped, SHARE_OF_DATES)

    @cached_property
    def are_years(self) -> bool:
        """Whether they are years."""
        return self.all_are(_YEAR)

    @cached_property
    def are_compact_dates(self) -> bool:
        """Whether they are dates without marks, such as 20240131."""
        return self.all_are(_COMPACT_DATE)

    @cached_property
    def are_times(self) -> bool:
        """Whether they are times of day, or hours."""
        return self.all_are(_TIME_OF_DAY) and not self.all_are(_SHORT_DATE)

    @cached_property
    def are_clock_times(self) -> bool:
        """Whether they are times of day with minutes."""
        return self.all_are(_CLOCK)

    @cached_property
    def have_four_digits(self) -> bool:
        """Whether those that are not empty have four characters at least, as dates written as numbers do."""
        return all(len(cell.lstrip("-")) >= 4 for cell in self.filled)

    @cached_property
    def count_up(self) -> bool:
        """Whether they are whole numbers that go up by one from row to row."""
        if len(self.cells) < 4 or not all(map(str.isdigit, self.cells)):
            return False
        return all(after == before + 1 for before, after in pairwise(map(int, self.cells)))

    @cached_property
    def constant(self) -> str | None:
        """The text that all cells have, unless it is a number or a date; "" if there is none; None if they differ."""
        if all(map(is_missing, self.distinct)):
            return ""
        if len(self.distinct) == 1 and not self.are_numbers and not self.are_dates:
            return next(iter(self.distinct))
        return None

    @cached_property
    def _known_are_dates(self) -> bool:
        """Whether those that are not missing are dates of one form."""
        return self.are_dates if self.known is self.stripped else looks_like_dates([*dict.fromkeys(self.known)])

    @cached_property
    def share_of_numbers(self) -> float:
        """The share of the cells that are numbers, however they are written; 1 if there is none."""
        cells = self.known
        if not cells or self._known_are_dates:
            return float(not cells)
        if all(map(_PLAIN_NUMBER.fullmatch, cells)):
            return 1.0
        counts = Counter(cells)  # of texts, such as ids, many are the same
        numbers = [cell for cell in counts if _PLAIN_NUMBER.fullmatch(cell) or _NUMBER.fullmatch(cell)]
        share = sum(counts[cell] for cell in numbers) / len(cells)
        return 1.0 if share < 1 and _have_a_unit([*counts]) else share

    @cached_property
    def are_numbers(self) -> bool:
        """Whether they are numbers; a few may be something else."""
        return self.share_of_numbers >= SHARE_OF_NUMBERS

    @cached_property
    def are_texts(self) -> bool:
        """Whether they are neither numbers nor dates, and not all the same."""
        cells = self.known
        return bool(cells) and not self.are_numbers and not self._known_are_dates and len(self.distinct) > 1

    def are_part_of_date(self, name: str) -> bool:
        """Return whether they are months, weeks, weekdays and the like.

        Args:
            name: of the column.
        """
        if not self.filled or self.are_years:
            return False
        named = name.lower() in PART_NAMES and all(cell.isdigit() and int(cell) <= 53 for cell in self.filled)
        cells = (cell.lower() for cell in self.filled)
        if not named and not all(cell in CALENDAR_WORDS or _PART_OF_YEAR.fullmatch(cell) for cell in cells):
            return False
        return not looks_like_dates([cell.lower() for cell in self.filled])

    def all_start_with(self, letters: Iterable[str]) -> bool:
        """Return whether each cell starts with some letters, in any case."""
        return all(cell.lower().startswith((*letters,)) for cell in self.distinct)


def _have_a_unit(cells: list[str]) -> bool:
    """Return whether cells are numbers with the same unit behind them, or the same sign before them."""
    found = [_WITH_UNIT.fullmatch(cell) for cell in cells]
    parts = {(match[1], match[3]) for match in found if match}
    return all(found) and len(parts) == 1 and len({match[2] for match in found if match}) > 1
