"""Which text columns tell a file's series apart, decided from all of its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.csv_reading.column_sample import CALENDAR_WORDS, is_missing
from pipeline.core.csv_reading.columns import ROW_NUMBER_NAMES, Columns, id_of_each_row, option
from pipeline.core.errors import RecordError, shorten

MAX_EVIDENCE_ROWS = 4_000_000  # for a larger file the owner has to name the ids
MAX_EVIDENCE_IDS = 250_000  # distinct rows of text
MAX_ID_COLUMNS = 4  # found together by content
MAX_TRIED, MAX_TRIED_ROWS = 300, 100_000_000  # combinations of columns; and times the rows
KEPT_GROUPINGS = 16  # of the rows by columns, at a time
MIN_SERIES_ROWS = 3  # fewer are not a series worth forecasting
MIN_COVERAGE = 0.5  # of the file's dates within a series' span: transactions have fewer
MIN_RUNS_PER_TEXT = 2  # a comment recurs after another one
MAX_REPEATED_SHARE = 0.05  # of rows that repeat a date although the column tells series apart
REGULAR_SHARE = 0.9  # of a text's steps that are equal: then it may be its own series


@dataclass(frozen=True)
class TextRows:
    """The rows of a file, reduced to what decides its ids.

    Attributes:
        dates: microseconds, shape (n,).
        values: NaN where missing, shape (n,).
        lines: line in the file, shape (n,).
        codes: index into `texts` of each row, shape (n,).
        texts: the distinct texts of the named and the other columns, in that order.
        named: columns that are ids by their names.
        others: columns of text whose role is not known.
    """

    dates: Ints
    values: Floats
    lines: Ints
    codes: Ints
    texts: Sequence[tuple[str, ...]]
    named: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class IdColumns:
    """The decision.

    Attributes:
        names: columns that tell the series apart.
        note: what the owner should know about it, or "".
    """

    names: tuple[str, ...]
    note: str = ""


class _Grouped:
    """Distinct rows, grouped by columns."""

    def __init__(self, rows: TextRows) -> None:
        known = np.where(np.isnan(rows.values), np.inf, rows.values)
        order = np.lexsort((known, rows.dates, rows.codes))
        same = np.zeros(len(order), dtype=np.bool_)
        same[1:] = np.logical_and.reduce(
            [column[order][1:] == column[order][:-1] for column in (known, rows.dates, rows.codes)]
        )
        kept = np.sort(order[~same])  # identical rows count once
        self._dates, self._codes, self._lines = rows.dates[kept], rows.codes[kept], rows.lines[kept]
        self._columns = (*rows.named, *rows.others)
        self._texts = rows.texts
        self._groups: dict[tuple[str, ...], Ints] = {}

    @property
    def rows(self) -> int:
        """Number of distinct rows."""
        return len(self._codes)

    def _texts_of(self, name: str) -> list[str]:
        at = self._columns.index(name)
        return [texts[at].strip() for texts in self._texts]

    def _group(self, names: tuple[str, ...]) -> Ints:
        """Return the number of each row's group, in order of first appearance, shape (n,)."""
        if names not in self._groups:
            while len(self._groups) >= KEPT_GROUPINGS:
                del self._groups[next(iter(self._groups))]
            columns = [self._texts_of(name) for name in names]
            numbers: dict[tuple[str, ...], int] = {}
            of_texts = [
                numbers.setdefault(texts, len(numbers))
                for texts in (zip(*columns, strict=True) if names else [()] * len(self._texts))
            ]
            self._groups[names] = np.asarray(of_texts, dtype=np.int64)[self._codes]
        return self._groups[names]

    def _by_date(self, groups: Ints) -> Ints:
        return np.lexsort((self._dates, groups))

    def repeated_share(self, names: tuple[str, ...]) -> float:
        """Return the share of the rows whose date already occurred in their series."""
        groups = self._group(names)
        order = self._by_date(groups)
        again = (np.diff(groups[order]) == 0) & (np.diff(self._dates[order]) == 0)
        return float(again.sum()) / max(len(order), 1)

    def repeats(self, names: tuple[str, ...]) -> bool:
        """Return whether any series, with these columns as ids, has two rows of one date."""
        return self.repeated_share(names) > 0

    def numbers_rows(self, name: str) -> bool:
        """Return whether a column numbers the rows: 1, 2, 3 and so on, to the last one."""
        texts = self._texts_of(name)
        if name.lower() not in ROW_NUMBER_NAMES or len(texts) < len(self._codes) or not all(map(str.isdigit, texts)):
            return False
        return bool((np.diff(np.array([int(text) for text in texts])[self._codes]) == 1).all())

    def is_constant(self, name: str) -> bool:
        """Return whether a column has the same non-empty text in each row."""
        return set(map(is_missing, self._texts_of(name))) == {False} and not self._group((name,)).any()

    def first_change(self, name: str) -> tuple[str, str, int]:
        """Return the first text of a column that is not constant, the next different one, and its line."""
        row = int(np.flatnonzero(self._group((name,)))[0])
        texts = self._texts_of(name)
        return texts[self._codes[0]], texts[self._codes[row]], int(self._lines[row])

    def have_rows(self, names: tuple[str, ...]) -> bool:
        """Return whether most series have enough rows."""
        return bool(np.mean(np.bincount(self._group(names)) >= MIN_SERIES_ROWS) > 0.5)

    def are_series(self, names: tuple[str, ...]) -> bool:
        """Return whether most series have enough rows, share dates with others, and cover the dates in their span."""
        if not self.have_rows(names):
            return False
        groups = self._group(names)
        _, dates, sharing = np.unique(self._dates, return_inverse=True, return_counts=True)
        if np.mean(sharing[dates] > 1) < MIN_COVERAGE:
            return False
        order = self._by_date(groups)
        counts = np.bincount(groups)
        ends = np.cumsum(counts)
        spans = dates[order][ends - 1] - dates[order][ends - counts] + 1
        return bool(np.median(counts / spans) >= MIN_COVERAGE)

    def different(self, named: tuple[str, ...], candidates: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Return the candidates; of those that group the rows alike, only the first."""
        kept: list[tuple[str, ...]] = []
        for names in candidates:
            groups = self._group((*named, *names))
            if not any(np.array_equal(groups, self._group((*named, *other))) for other in kept):
                kept.append(names)
        return kept

    def is_comment(self, names: tuple[str, ...], name: str) -> bool:
        """Return whether a column's text cannot tell series apart, whatever its order; see is_remark."""
        texts = {text.lower() for text in self._texts_of(name)}
        if any(map(is_missing, texts)) or texts <= CALENDAR_WORDS:
            return True
        groups, units = self._group(names), self._group((*names, name))
        return bool((names and units.max() == groups.max()) or (units.max() + 1) * MIN_SERIES_ROWS > len(units))

    def is_remark(self, names: tuple[str, ...], name: str) -> bool:
        """Return whether the text of a column is just a comment, if `names` tell the series apart.

        It is if each series has only one text, if a cell is empty, if it names weekdays or seasons, if hardly any text
        has enough rows for a series, or if texts recur after others, unless each recurs at its own regular step, as a
        series would.
        """
        if self.is_comment(names, name):
            return True
        groups, units = self._group(names), self._group((*names, name))
        order = self._by_date(groups)
        runs = 1 + np.count_nonzero(np.diff(units[order]))
        return bool(runs >= MIN_RUNS_PER_TEXT * (units.max() + 1)) and not self._each_regular(groups, units)

    def _each_regular(self, groups: Ints, units: Ints) -> bool:
        """Return whether most texts have dates at even steps that are longer than the file's own."""
        own, share = self._usual_steps(units)
        usual, _ = self._usual_steps(groups)
        return bool(np.mean((share >= REGULAR_SHARE) & (own > usual.min())) >= 0.5)

    def _usual_steps(self, groups: Ints) -> tuple[Ints, Floats]:
        """Return the commonest step between dates of each group that has several, and its share of the steps."""
        order = self._by_date(groups)
        within = np.diff(groups[order]) == 0
        pairs, counts = np.unique(
            np.column_stack([groups[order][1:][within], np.diff(self._dates[order])[within]]),
            axis=0,
            return_counts=True,
        )
        best = np.lexsort((-counts, pairs[:, 0]))
        first = best[np.concatenate([[True], np.diff(pairs[best, 0]) != 0])]
        totals = np.bincount(pairs[:, 0], weights=counts)
        return pairs[first, 1], counts[first] / totals[pairs[first, 0]]


def ids_by_content(rows: TextRows, line: int, adding_up: bool = False) -> IdColumns:
    """Return the columns that tell series apart.

    Columns named like ids are ids, unless they have a different value in each row. Of the others, the ids are the
    smallest set without which dates repeat. If dates are unique without it, a column whose texts recur is a comment.
    Text that never changes names the series of a file that has only one.

    Args:
        rows: of the whole file.
        line: the header's line, for messages.
        adding_up: whether rows are added up by period, so that dates may repeat.

    Raises:
        RecordError: AMBIGUOUS_ID_COLUMN if the rows do not decide it.
    """
    grouped = _Grouped(rows)
    numbering = tuple(name for name in rows.named if grouped.numbers_rows(name))
    named = tuple(name for name in rows.named if name not in numbering)
    if numbering and not (named or rows.others) and grouped.repeats(()):
        raise id_of_each_row(rows.named, numbering[0], line)
    notes = [f"{name!r} only numbers the rows and was not used" for name in numbering]
    found: tuple[str, ...] = ()
    if adding_up:
        unknown = tuple(
            name for name in rows.others if not grouped.is_constant(name) and not grouped.is_comment(named, name)
        )
        if unknown:
            listed = ", ".join(map(repr, unknown))
            raise _question(
                f"The text in {listed} may tell series apart, or may just describe the rows that are added up.",
                f"Use {option('id_columns', *named, *unknown)}, or only those that tell series apart, or "
                f"{option('id_columns', *named)} if none does.",
                line,
                named,
                unknown[0],
            )
    elif rows.others and grouped.repeats(named):
        found = _smallest(grouped, named, rows.others, line)
    chosen = (*named, *found)
    rest = [name for name in rows.others if name not in found]
    if not chosen:
        constant = tuple(name for name in rest if grouped.is_constant(name))
        chosen, rest = constant, [name for name in rest if name not in constant]
    unclear = [name for name in rest if not grouped.is_remark(chosen, name)]
    if unclear:
        listed = ", ".join(repr(name) for name in unclear)
        before, after, at = grouped.first_change(unclear[0])
        raise _question(
            f"The text in {listed} may tell series apart, or may just be a comment: it is {shorten(before)!r} at "
            f"first, and {shorten(after)!r} on line {at}.",
            f"Use {option('id_columns', *chosen, *unclear)} if it does, {option('id_columns', *chosen)} if it "
            "does not.",
            line,
            (*chosen, *unclear),
            unclear[0],
        )
    if found:
        notes.append(f"series are told apart by {', '.join(found)}, without which dates repeat")
    return IdColumns(chosen, "; ".join(notes))


def _smallest(grouped: _Grouped, named: tuple[str, ...], others: tuple[str, ...], line: int) -> tuple[str, ...]:
    """Return the fewest text columns that make dates unique and whose groups look like series."""
    working: list[tuple[str, ...]] = []
    left = max(len(others), min(MAX_TRIED, MAX_TRIED_ROWS // max(grouped.rows, 1)))
    for size in range(1, min(len(others), MAX_ID_COLUMNS) + 1):
        left -= math.comb(len(others), size)
        if left < 0:
            break
        fitting = [names for names in combinations(others, size) if not grouped.repeats((*named, *names))]
        sensible = [names for names in fitting if grouped.are_series((*named, *names))]
        working += [names for names in fitting if grouped.have_rows((*named, *names))]
        different = grouped.different(named, sensible)
        if len(different) == 1:
            return different[0]
        if different:
            offers = " or ".join(option("id_columns", *named, *names) for names in different)
            listed = " or ".join(repr(", ".join(names)) for names in different)
            raise _question(
                f"Dates repeat, and either {listed} would tell the rows of a date apart.",
                f"Use {offers}.",
                line,
                (*named, *different[0]),
                different[0][0],
            )
    all_text = ", ".join(repr(name) for name in others)
    if working:
        raise _question(
            f"Dates repeat; the text in {all_text} may name series, or may just describe single transactions.",
            f"Use {option('id_columns', *named, *working[0])} if each is a series, or "
            f"{option('id_columns', *named)} --aggregate=D to add up the rows of each day.",
            line,
            (*named, *working[0]),
            others[0],
        )
    nearly = min(others, key=lambda name: grouped.repeated_share((*named, name)))
    share = grouped.repeated_share((*named, nearly))
    if share <= MAX_REPEATED_SHARE and grouped.are_series((*named, nearly)):
        raise _question(
            f"Dates repeat; the text in {nearly!r} tells all but {share:.1%} of their rows apart.",
            f"Use {option('id_columns', *named, nearly)} --duplicates=first (or last, mean or sum).",
            line,
            (*named, nearly),
            nearly,
        )
    raise _question(
        f"Dates repeat, and the text in {all_text} does not tell their rows apart.",
        f"Use {option('id_columns', *named)} --aggregate=D to add up the rows of each day, or "
        f"{option('id_columns', *named, others[0])} --aggregate=D for one series per text in {others[0]!r}.",
        line,
        (*named, *others),
        others[0],
    )


def ids_too_many_to_tell(columns: Columns, line: int) -> RecordError:
    """Return the question about text columns with too many rows or texts to decide from all of them."""
    named = tuple(name for name in columns.ids if name not in columns.undecided)
    listed = ", ".join(repr(name) for name in columns.undecided)
    return _question(
        f"The text in {listed} may tell series apart, or may just be a comment; the file is too large to decide from "
        "its rows.",
        f"Use {option('id_columns', *columns.ids)} if it does, {option('id_columns', *named)} if it does not.",
        line,
        columns.ids,
        columns.undecided[0] if columns.undecided else None,
    )


def _question(message: str, hint: str, line: int, assumed: tuple[str, ...], column: str | None) -> RecordError:
    return RecordError("AMBIGUOUS_ID_COLUMN", message, hint, line=line, column=column, assume={"id_columns": assumed})
