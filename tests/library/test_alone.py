"""A series' forecast depends on that series alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dropcast
from pipeline.core.model.fit import SHARED_FROM

ROWS = {"YE": 30, "QS": 48, "MS": 84, "W-SUN": 150, "D": 200, "h": 400}
CLOSE = 1e-8  # of a series' largest value: Prophet's model is solved in another order for series on the same dates


def many(frequency: str, series: int, start: str = "2015-01-04") -> pd.DataFrame:
    random, rows = np.random.default_rng(7), ROWS[frequency]
    dates = pd.date_range(start, periods=rows, freq=frequency)
    season = 5 * np.sin(2 * np.pi * np.arange(rows) / 12)
    values = 100 + np.cumsum(random.normal(0, 1, (series, rows)), axis=1) + season
    names = np.repeat([f"{start}-{i}" for i in range(series)], rows)
    return pd.DataFrame({"unique_id": names, "ds": np.tile(dates, series), "y": values.ravel()})


@pytest.mark.parametrize("frequency", ROWS)
@pytest.mark.parametrize("model", ["prophet", "auto"])
def test_a_forecast_is_the_same_alone_and_in_any_company(model: str, frequency: str) -> None:
    alike, others = many(frequency, 2 * SHARED_FROM), many(frequency, 3, "2016-03-06")
    names = alike.unique_id.unique()
    companies = {
        "few": alike[alike.unique_id.isin(names[: SHARED_FROM - 1])],
        "many on the same dates": alike,
        "others too": pd.concat([others, alike]),
        "in another order": alike.set_index("unique_id").loc[names[::-1]].reset_index(),
    }
    found = {
        about: dropcast.forecast(data, model=model, horizon=12, level=[50, 90]).set_index("unique_id")
        for about, data in companies.items()
    }
    for name in names[: SHARED_FROM - 1]:
        one = alike[alike.unique_id == name]
        alone = dropcast.forecast(one, model=model, horizon=12, level=[50, 90]).set_index("unique_id")
        for about, together in found.items():
            own = together.loc[[name]]
            assert (own.ds == alone.ds).all()
            numbers = own.drop(columns="ds").to_numpy(), alone.drop(columns="ds").to_numpy()
            if model == "auto":
                np.testing.assert_array_equal(*numbers, err_msg=about)
            else:
                np.testing.assert_allclose(*numbers, rtol=0, atol=CLOSE * one.y.abs().max(), err_msg=about)
