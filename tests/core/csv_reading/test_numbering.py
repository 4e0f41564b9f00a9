"""Series are numbered in the order in which their ids first appear."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.csv_reading import number_tables, numbering
from pipeline.core.csv_reading.numbering import IdNumbers, PairNumbers, TextNumbers

TEXTS = st.one_of(
    st.text(alphabet="ab", max_size=5), st.text(max_size=12), st.sampled_from(["", "a" * 5000, "a" * 4999 + "b"])
)


def expected(rows: list[tuple[str, ...]], keep: list[bool]) -> list[int | None]:
    known: dict[tuple[str, ...], int] = {}
    return [known.setdefault(row, len(known)) if kept else None for row, kept in zip(rows, keep, strict=True)]


@settings(max_examples=150, deadline=None)
@given(
    tables=st.lists(st.lists(st.tuples(TEXTS, TEXTS, st.booleans()), max_size=30), min_size=1, max_size=4),
    columns=st.integers(1, 2),
    few=st.sampled_from([0, 20, 10_000]),
)
def test_ids_are_numbered_as_they_appear_over_all_tables(
    tables: list[list[tuple[str, str, bool]]], columns: int, few: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:  # in compiled code, in Python, or first in one and then in the other
        patch.setattr(numbering, "FEW", few)
        numbered_as_they_appear(tables, columns)


def numbered_as_they_appear(tables: list[list[tuple[str, str, bool]]], columns: int) -> None:
    numbers, found, ids = IdNumbers(), [], []
    for table in tables:
        texts = [[row[i] for row in table] for i in range(columns)]
        encoded = [pa.array(column, pa.string()).dictionary_encode() for column in texts]
        keep = np.array([row[2] for row in table], np.bool_)
        codes, new = numbers.of_rows(encoded, keep)
        ids += [tuple(column[row] for column in texts) for row in new.tolist()]
        found += codes.tolist()
    rows = [row[:columns] for table in tables for row in table]
    wanted = expected(rows, [row[2] for table in tables for row in table])
    assert [code for code, number in zip(found, wanted, strict=True) if number is not None] == [
        number for number in wanted if number is not None
    ]
    assert ids == list(dict.fromkeys(row for row, number in zip(rows, wanted, strict=True) if number is not None))


def test_a_dictionary_may_have_more_texts_than_are_used_and_in_another_order() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([2, 0, 2]), pa.array(["x", "never", "y"]))
    codes, new = IdNumbers().of_rows([column], np.ones(3, np.bool_))
    assert (codes.tolist(), new.tolist()) == ([0, 1, 0], [0, 1])


def test_a_part_of_an_array_is_numbered_too() -> None:
    texts = pa.array(["zz", "a", "bc", "a"])
    known = TextNumbers()
    assert known.of(texts.slice(1, 2)).tolist() == [0, 1]
    assert known.of(texts).tolist() == [2, 0, 1, 0]
    assert known.of(texts.slice(0, 0)).tolist() == []
    assert known.of(pa.array(["", "a"])).tolist() == [3, 0]


def test_many_are_numbered() -> None:
    texts = [f"series {number}" for number in range(20_000)]
    known = TextNumbers()
    for first in range(0, 20_000, 999):
        assert known.of(pa.array(texts[first : first + 999])).tolist() == list(range(first, min(first + 999, 20_000)))
    order = np.random.default_rng(0).permutation(20_000)
    assert (known.of(pa.array([texts[i] for i in order])) == order).all()
    pairs = PairNumbers()
    first, second = order // 200, order % 200
    assert (pairs.of(first, second) == np.arange(20_000)).all()
    assert (pairs.of(first[::-1].copy(), second[::-1].copy()) == np.arange(20_000)[::-1]).all()


def test_texts_whose_hashes_are_all_the_same_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_tables, "_random_keys", lambda: np.zeros(257, np.uint64))
    texts = [f"{number}" for number in range(500)]
    known = number_tables.TextTable()
    assert known.of(pa.array(texts)).tolist() == list(range(500))
    assert known.of(pa.array(texts[::-1])).tolist() == list(range(500))[::-1]
