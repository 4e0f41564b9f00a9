"""The Gram matrix of a series' dates from sums over stretches of the calendar."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model.solve.calendar_gram import STRETCH, feature_gram, no_sums, trend_gram
from pipeline.core.model.solve.gram import hinge_gram, products, smooth_gram

WIDTH = 5


def features_of(dates: np.ndarray) -> np.ndarray:
    return np.column_stack([np.sin((k + 1) * dates / 7.0) for k in range(WIDTH)])


def packed_gram(first_date: int, dates: np.ndarray, regular: bool = True) -> np.ndarray:
    """Return the sums for a series, twice: at first nothing is known of the calendar, then all."""
    table = features_of(np.arange(first_date, dates[-1] + 40))
    stretches = no_sums(len(table), WIDTH, first_date % STRETCH if regular else -1)
    found = np.empty((2, WIDTH * (WIDTH + 1) // 2))
    for result in found:
        feature_gram(table, dates - first_date, stretches, result)
    assert (found[0] == found[1]).all()
    return found[0]


@settings(max_examples=100, deadline=None)
@given(
    begin=st.integers(0, 200),
    rows=st.integers(1, 300),
    earlier=st.integers(0, 100),
    gap=st.sampled_from([0.0, 0.02, 0.5]),
    seed=st.integers(0, 9),
)
def test_sums_are_those_over_the_rows_and_depend_on_them_alone(
    begin: int, rows: int, earlier: int, gap: float, seed: int
) -> None:
    dates = begin + np.flatnonzero(np.random.default_rng(seed).random(rows) >= gap)
    if not len(dates):
        return
    found = packed_gram(int(dates[0]), dates)
    x = features_of(dates)
    np.testing.assert_allclose(found, (x.T @ x)[np.tril_indices(WIDTH)], rtol=1e-11, atol=1e-11)
    # to the bit, wherever the table begins
    assert (packed_gram(max(int(dates[0]) - earlier, 0), dates) == found).all()
    np.testing.assert_allclose(packed_gram(int(dates[0]), dates, regular=False), found, rtol=1e-11, atol=1e-11)


def test_whole_stretches_are_summed_once() -> None:
    table = features_of(np.arange(4 * STRETCH))
    stretches = no_sums(len(table), WIDTH, 0)
    result = np.empty(WIDTH * (WIDTH + 1) // 2)
    feature_gram(table, np.arange(5, 3 * STRETCH + 5), stretches, result)
    assert stretches.known.tolist() == [False, True, True, False, False]
    table[STRETCH : 3 * STRETCH] = np.nan  # not read again
    feature_gram(table, np.arange(STRETCH, 3 * STRETCH), stretches, result)
    assert np.isfinite(result).all()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(2, 120), changepoints=st.integers(0, 12), first=st.sampled_from([1, 2]), seed=st.integers(0, 99)
)
def test_the_other_products_are_those_of_the_columns(rows: int, changepoints: int, first: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    dates = np.sort(random.choice(3 * rows, rows, replace=False))
    t = (dates - dates[0]) / (dates[-1] - dates[0])
    s = np.sort(random.random(changepoints if first == 2 else 0))
    y, table = random.normal(0, 1, rows), features_of(np.arange(3 * rows))
    z = np.ascontiguousarray(np.column_stack([t, np.ones(rows), table[dates]][2 - first :]))
    p = z.shape[1] + len(s)
    expected, target = np.zeros((p, p)), np.empty(p)
    smooth_gram(z, expected)
    hinge_gram(z, np.ones(rows), t, s, expected)
    yy = products(z, np.ones(rows), t, s, y, target)
    gram, own_target = np.zeros((p, p)), np.full(p, np.nan)
    own_yy = trend_gram(table, dates, t, y, s, first, np.empty((3, WIDTH)), gram, own_target)
    gram[first : first + WIDTH, first : first + WIDTH] = expected[first : first + WIDTH, first : first + WIDTH]
    np.testing.assert_allclose(gram, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(own_target, target, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(own_yy, yy, rtol=1e-12)
