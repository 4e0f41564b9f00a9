"""Which columns of text are ids, decided from all rows together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.csv_reading.id_evidence import IdColumns, TextRows, _Grouped, ids_by_content
from pipeline.core.errors import RecordError

DAY = 86_400_000_000


def rows_of(
    records: list[tuple[int, float, tuple[str, ...]]], others: tuple[str, ...], named: tuple[str, ...] = ()
) -> TextRows:
    texts = list(dict.fromkeys(text for _, _, text in records))
    return TextRows(
        np.array([day * DAY for day, _, _ in records]),
        np.array([value for _, value, _ in records]),
        np.arange(len(records)) + 2,
        np.array([texts.index(text) for _, _, text in records]),
        texts,
        named,
        others,
    )


def test_a_store_that_began_late_is_asked_about_not_taken_for_a_remark() -> None:
    records = [(day, 1.0, ("A" if day < 100 else "B",)) for day in range(103)]
    with pytest.raises(RecordError, match="it is 'A' at first, and 'B' on line 102"):
        ids_by_content(rows_of(records, ("shop",)), 1)


def test_text_that_alternates_at_even_steps_is_asked_about() -> None:
    records = [(day, 1.0, ("A" if day % 2 else "B",)) for day in range(60)]
    with pytest.raises(RecordError) as caught:
        ids_by_content(rows_of(records, ("line",)), 1)
    assert caught.value.hint == "Use --id_columns=line if it does, --id_columns=none if it does not."


def test_an_attribute_of_a_series_is_no_id() -> None:
    records = [(day, 1.0, (shop, kind)) for day in range(20) for shop, kind in (("1", "big"), ("2", "small"))]
    assert ids_by_content(rows_of(records, ("type",), ("store",)), 1) == IdColumns(("store",))


def test_rows_that_stand_twice_count_once() -> None:
    records = [(day, 1.0, (shop,)) for day in range(20) for shop in ("A", "B")] * 2
    assert ids_by_content(rows_of(records, ("laden",)), 1).names == ("laden",)


def test_series_with_equal_values_are_still_several() -> None:
    records = [(day, 0.0, (shop,)) for day in range(20) for shop in ("A", "B")]
    assert ids_by_content(rows_of(records, ("laden",)), 1).names == ("laden",)


def test_monthly_series_that_begin_one_after_the_other_are_told_apart() -> None:
    records = [(30 * m, 1.0, (name,)) for name, start in (("A", 0), ("B", 6), ("C", 12)) for m in range(start, 36)]
    assert ids_by_content(rows_of(records, ("konto",)), 1).names == ("konto",)


@given(
    shops=st.integers(2, 4),
    days=st.integers(4, 30),
    order=st.randoms(use_true_random=False),
    absent=st.sets(st.integers(0, 29), max_size=1),
)
def test_the_order_of_rows_decides_nothing(shops: int, days: int, order: object, absent: set[int]) -> None:
    records = [(day, float(shop), (f"s{shop}",)) for day in range(days) for shop in range(shops) if day not in absent]
    order.shuffle(records)  # type: ignore[attr-defined]
    assert ids_by_content(rows_of(records, ("laden",)), 1).names == ("laden",)


def test_many_columns_of_text_are_not_tried_in_every_combination(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    repeats = _Grouped.repeats
    monkeypatch.setattr(_Grouped, "repeats", lambda self, names: tried.append(names) or repeats(self, names))
    texts = [tuple(f"{(row * (column + 3)) % 5}x" for column in range(40)) for row in range(60)]
    records = [(row // 20, float(row), text) for row, text in enumerate(texts)]
    with pytest.raises(RecordError):
        ids_by_content(rows_of(records, tuple(f"c{column}" for column in range(40))), 1)
    assert 40 < len(tried) < 400
