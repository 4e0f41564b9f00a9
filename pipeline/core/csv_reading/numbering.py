"""Numbers the ids of rows, texts of one or more columns, in the order in which they first appear.

Python numbers a text in a microsecond. Where a file goes through its series date by date that would be most of the
time, so from some thousands of texts on it is done in compiled code, which takes half a second to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Bools, Ints, with_room

if TYPE_CHECKING:
    from pipeline.core.csv_reading.number_tables import PairTable, TextTable

FEW = 10_000  # that Python numbers
_ROOM = 1024  # numbers that there is room for at first


class TextNumbers:
    """Numbers texts."""

    def __init__(self) -> None:
        self._few: dict[str, int] = {}
        self._many: TextTable | None = None

    def of(self, texts: pa.StringArray) -> Ints:
        """Return the number of each text."""
        if self._many is None:
            if len(self._few) + len(texts) <= FEW:
                few = self._few
                return np.array([few.setdefault(text, len(few)) for text in texts.to_pylist()], np.int64)
            from pipeline.core.csv_reading.number_tables import TextTable  # imports numba

            self._many = TextTable()
            self._many.of(pa.array([*self._few], pa.string()))
        return self._many.of(texts)


class PairNumbers:
    """Numbers pairs of numbers, each from 0 to 2^31."""

    def __init__(self) -> None:
        self._few: dict[tuple[int, int], int] = {}
        self._many: PairTable | None = None

    def of(self, first: Ints, second: Ints) -> Ints:
        """Return the number of each pair."""
        if self._many is None:
            if len(self._few) + len(first) <= FEW:
                few = self._few
                pairs = zip(first.tolist(), second.tolist(), strict=True)
                return np.array([few.setdefault(pair, len(few)) for pair in pairs], np.int64)
            from pipeline.core.csv_reading.number_tables import PairTable  # imports numba

            self._many = PairTable()
            if self._few:
                self._many.of(*np.array([*self._few], np.int64).T.copy())
        return self._many.of(first, second)


class IdNumbers:
    """Numbers the ids of rows, each a tuple with a text of each id column."""

    def __init__(self) -> None:
        self._texts: list[TextNumbers] = []
        self._pairs: list[PairNumbers] = []
        self._of_combined = np.full(_ROOM, -1, np.int64)  # number by that of the combined texts
        self._count = 0

    def of_rows(self, columns: Sequence[pa.DictionaryArray], keep: Bools) -> tuple[Ints, Ints]:
        """Return the number of each row's ids, and the first row of each that is new.

        Args:
            columns: the id columns, one or more.
            keep: whether a row counts; the number of one that does not means nothing.
        """
        while len(self._texts) < len(columns):
            self._texts.append(TextNumbers())
            self._pairs.append(PairNumbers())
        rows = np.flatnonzero(keep)
        parts = [
            known.of(column.dictionary)[np.asarray(column.indices)[rows]]
            for known, column in zip(self._texts, columns, strict=True)
        ]
        combined = parts[0]
        for pairs, part in zip(self._pairs, parts[1:], strict=False):
            combined = pairs.of(combined, part)
        self._of_combined = with_room(self._of_combined, int(combined.max(initial=-1)) + 1, -1)
        unknown = np.flatnonzero(self._of_combined[combined] < 0)
        first = unknown[np.sort(np.unique(combined[unknown], return_index=True)[1])]  # as they appear
        self._of_combined[combined[first]] = self._count + np.arange(len(first))
        self._count += len(first)
        numbers = np.zeros(len(keep), np.int64)
        numbers[rows] = self._of_combined[combined]
        return numbers, rows[first]
