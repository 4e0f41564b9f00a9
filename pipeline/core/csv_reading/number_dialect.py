"""A file's decimal mark and thousands separator, inferred from all of its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.arrays import Floats
from pipeline.core.errors import RecordError, shorten

MARKS = (".", ",")
_SIGN = r"^[+\-−]?"
_EXPONENT = r"([eE][+-]?\d+)?$"


def _fraction(mark: str) -> str:
    """Return the pattern of numbers that can only be fractions, given the pattern of their mark."""
    return rf"{_SIGN}(0*{mark}\d+|\d{{4,}}{mark}\d*|\d+{mark}(\d{{0,2}}|\d{{4,}}))" + _EXPONENT


_FRACTION = re.compile(_fraction(r"\."))


@dataclass
class DialectEvidence:
    """What the numbers of a file say about their marks; all numeric columns and all rows count.

    A mark is the decimal mark where the number can only be a fraction: with no integer part or a zero (.5, 0.125),
    after more than three digits (1234.567), before a number of digits other than three (12.5), or last of two marks
    (1,234.5). It separates thousands where it occurs twice in a number, or before another mark. A number such as
    1.234 alone decides nothing.

    Attributes:
        decimal, thousands, unsettled: marks seen as decimal marks, as thousands separators, and in numbers that decide
            nothing; each with the first such cell, its column and its line.
    """

    decimal: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    thousands: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    unsettled: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    @property
    def points_are_decimal(self) -> bool:
        """Whether there is evidence that points are decimal marks."""
        return "." in self.decimal

    def take_in(self, others: DialectEvidence) -> None:
        """Add what the numbers of a later part of the file say."""
        for own, other in (
            (self.decimal, others.decimal),
            (self.thousands, others.thousands),
            (self.unsettled, others.unsettled),
        ):
            for mark, cell in other.items():
                own.setdefault(mark, cell)

    def add_text(self, text: pa.StringArray, column: str, lines: npt.NDArray[np.int64]) -> None:
        """Add the cells of a numeric column as written, shape (n,)."""
        cells = pc.utf8_trim_whitespace(text)
        present = [mark for mark in MARKS if pc.any(pc.match_substring(cells, mark)).as_py()]
        for mark, other in (MARKS, MARKS[::-1]):
            if mark not in present:  # each pattern has it
                continue
            m, o = rf"\{mark}", rf"\{other}"
            both = rf"{_SIGN}\d{{1,3}}({o}\d{{2,3}})*{o}\d{{3}}{m}\d*{_EXPONENT}"
            fraction = _fraction(m)
            groups = rf"{_SIGN}\d{{1,3}}({m}\d{{2,3}})+{m}\d{{3}}$"
            if other in present:
                self._note(self.decimal, mark, cells, both, column, lines)
                self._note(self.thousands, other, cells, both, column, lines)
            self._note(self.decimal, mark, cells, fraction, column, lines)
            self._note(self.thousands, mark, cells, groups, column, lines)
            self._note(self.unsettled, mark, cells, rf"{_SIGN}[1-9]\d{{0,2}}{m}\d{{3}}$", column, lines)

    def add_sample(self, cells: Sequence[str], column: str, lines: Sequence[int]) -> None:
        """Add what the first cells of a column say about points, so that the others need not be looked at as text."""
        if "." not in self.decimal:
            first = next((i for i, cell in enumerate(cells) if _FRACTION.fullmatch(cell.strip())), None)
            if first is not None:
                self.decimal["."] = (cells[first].strip(), column, lines[first])

    def _note(
        self,
        found: dict[str, tuple[str, str, int]],
        mark: str,
        cells: pa.StringArray,
        pattern: str,
        column: str,
        lines: npt.NDArray[np.int64],
    ) -> None:
        if mark in found:
            return
        row = pc.index(pc.match_substring_regex(cells, pattern), True).as_py()
        if row >= 0:
            found[mark] = (cells[row].as_py(), column, int(lines[row]))

    def wants_text_of(self, numbers: Floats, whole_with_points: Callable[[], bool]) -> bool:
        """Return whether the text of numbers read with decimal points, shape (n,), has to be examined.

        It need not be if points are known to be decimal marks, or if there are none.

        Args:
            numbers: as read.
            whole_with_points: returns whether whole numbers may be written with points, such as 10.000.
        """
        if self.points_are_decimal:
            return False
        return bool((numbers != np.floor(numbers))[np.isfinite(numbers)].any()) or whole_with_points()

    def settled(self) -> tuple[str, str | None]:
        """Return the decimal mark, and the thousands separator if there is one.

        Raises:
            RecordError: AMBIGUOUS_NUMBER if the numbers contradict each other, or decide nothing.
        """
        decimal, thousands = set(self.decimal), set(self.thousands)
        if len(decimal) > 1 or decimal & thousands or len(thousands) > 1:
            raise self._refusal(contradictory=True)
        if not decimal and not thousands:
            if self.unsettled:
                raise self._refusal(contradictory=False)
            return ".", None
        mark = next(iter(decimal), None) or MARKS[1 - MARKS.index(next(iter(thousands)))]
        other = MARKS[1 - MARKS.index(mark)]
        return mark, other if other in thousands or other in self.unsettled else None

    def _refusal(self, contradictory: bool) -> RecordError:
        if contradictory:
            both = [(self.decimal[mark], self.thousands[mark]) for mark in self.decimal if mark in self.thousands]
            pair = both[0] if both else tuple((self.decimal if len(self.decimal) > 1 else self.thousands).values())
            (cell, column, line), (other, _, other_line) = pair
            problem = f"{shorten(cell)!r} and {shorten(other)!r} (line {other_line}) cannot both be read the same way"
        else:
            cell, column, line = next(iter(self.unsettled.values()))
            problem = f"{shorten(cell)!r}, like all such numbers in the file, may be a fraction or more than a thousand"
        mark = "," if "," in cell and "." not in cell else "."
        fraction = "--decimal=," if mark == "," else "--decimal=."
        grouped = "--thousands=," if mark == "," else "--decimal=, --thousands=."
        return RecordError(
            "AMBIGUOUS_NUMBER",
            f"{problem}.",
            f"Use {fraction} if it is a fraction, or {grouped} if it is more than a thousand.",
            line=line,
            column=column,
            found=cell,
            assume={"decimal": mark},
        )
