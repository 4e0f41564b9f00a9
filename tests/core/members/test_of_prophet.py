from __future__ import annotations

import numpy as np

from pipeline.core.dates.calendars import DAY
from pipeline.core.members import of_prophet
from pipeline.core.members.of_prophet import FADING, LEVEL, LOG_LEVEL

HORIZON, ROWS = 8, 160
DATES = 19_000 * DAY + 7 * DAY * np.arange(ROWS + HORIZON)
ENDS = np.array([ROWS, ROWS - HORIZON])


def line(rows: int = ROWS) -> np.ndarray:
    return 100 + 0.5 * np.arange(rows) + 10 * np.sin(2 * np.pi * np.arange(rows) * 7 / 365.25)


def test_trend_and_season_go_on() -> None:
    found = of_prophet.forecasts(line(), DATES, ENDS, HORIZON)
    assert found.shape == (2, 3, HORIZON)
    expected = line(ROWS + HORIZON)
    for member in (LEVEL, LOG_LEVEL):
        np.testing.assert_allclose(found[0, member], expected[ROWS:], rtol=0.02)
        np.testing.assert_allclose(found[1, member], expected[ROWS - HORIZON : ROWS], rtol=0.02)


def test_a_forecast_begins_where_the_history_ends() -> None:
    shifted = line()
    shifted[-6:] += 40
    (found,) = of_prophet.forecasts(shifted, DATES, ENDS[:1], HORIZON)
    expected = line(ROWS + HORIZON)[ROWS:] + 40
    assert abs(found[LEVEL, 0] - expected[0]) < 20, "most of the shift is made up for"
    assert abs(found[FADING, 0] - shifted[-1]) < abs(found[FADING, -1] - shifted[-1]), "what is made up for fades"


def test_a_part_knows_nothing_of_the_rest() -> None:
    other = line()
    other[-HORIZON:] = 1000.0
    one, two = (of_prophet.forecasts(y, DATES, ENDS, HORIZON) for y in (line(), other))
    np.testing.assert_array_equal(one[1], two[1])
    assert (one[0] != two[0]).any()


def test_logarithms_need_positive_values_and_a_level_some_rows() -> None:
    found = of_prophet.forecasts(line() - 120, DATES, ENDS, HORIZON)
    assert np.isnan(found[:, LOG_LEVEL]).all()
    assert np.isfinite(found[:, [FADING, LEVEL]]).all()
    (short,) = of_prophet.forecasts(np.array([3.0, 5.0]), DATES[: 2 + HORIZON], np.array([2]), HORIZON)
    assert np.isfinite(short[FADING]).all()
    assert np.isnan(short[LEVEL]).all()
