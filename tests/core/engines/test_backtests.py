from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.engines.backtests import Backtests
from pipeline.core.measures import coverage, mase, pinball, rmsse, smape
from pipeline.core.members.forecast import forecast_series
from pipeline.core.members.history import History
from pipeline.core.outputs.backtest_sums import backtest_notes, summed_coverage, summed_weights

LEVELS = (50.0, 90.0)
HORIZON = 6


def dated(frequency: str, values: np.ndarray) -> History:
    calendar = parse_frequency(frequency)
    dates = calendar.after(pd.Timestamp("2015-01-01").value // 1000, len(values) + HORIZON)
    known = np.isfinite(values)
    return History.of(calendar, dates[: len(values)][known], values[known], dates[len(values) :])


def backtests_of(*series: tuple[str, np.ndarray]) -> pa.RecordBatch:
    """Return a batch with the backtests of some series, as an engine returns them."""
    backtests = Backtests(len(series))
    for row, (frequency, values) in enumerate(series):
        history = dated(frequency, values)
        backtests.add(row, forecast_series(history, HORIZON, LEVELS), history, LEVELS)
    return pa.record_batch({"backtests": backtests.column()})


def rows_of(batch: pa.RecordBatch, at: int = 0) -> pd.DataFrame:
    return pd.DataFrame(batch.column("backtests")[at].as_py())


def wandering(n: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 50 + np.cumsum(random.normal(0, 1, n)) + 5 * np.sin(2 * np.pi * np.arange(n) / 12)


def test_each_cutoff_has_a_row_for_each_level_and_each_member() -> None:
    values = wandering(80)
    rows = rows_of(backtests_of(("MS", values)))
    history = dated("MS", values)
    found = forecast_series(history, HORIZON, LEVELS)
    assert len(found.held_out.cutoffs) == 6, "three steps apart"
    assert len(rows) == 6 * (2 + len(found.weights))
    assert rows.cutoff.unique().tolist() == [
        pd.Timestamp(history.dates[end - 1], unit="us") for end in found.held_out.cutoffs.tolist()
    ]
    assert rows.groupby("cutoff").steps.first().tolist() == [6, 6, 6, 6, 6, 3]
    newest = rows[rows.cutoff == rows.cutoff.max()]
    assert newest[newest.model == "auto"].level.tolist() == [50, 90]
    assert newest[newest.model != "auto"].set_index("model").weight.to_dict() == found.weights
    assert newest[newest.model != "auto"].weight.sum() == pytest.approx(1)


def test_errors_are_those_of_the_forecasts_from_before() -> None:
    values = wandering(80)
    rows = rows_of(backtests_of(("MS", values)))
    history = dated("MS", values)
    held = forecast_series(history, HORIZON, LEVELS).held_out
    end = int(held.cutoffs[1])
    later, before = values[end : end + HORIZON], values[:end]
    scale = np.abs(before[12:] - before[:-12])
    own = rows[(rows.cutoff == rows.cutoff.unique()[1]) & (rows.model == "auto")]
    error = np.abs(later - held.predictions[0, 1])
    assert own.mase.tolist() == pytest.approx([error.mean() / scale.mean()] * 2)
    assert own.rmsse.iloc[0] == pytest.approx(np.sqrt((error**2).mean() / (scale**2).mean()))
    assert own.smape.iloc[0] == pytest.approx((200 * error / (later + held.predictions[0, 1])).mean())
    inside = (later >= held.lower[1, 1]) & (later <= held.upper[1, 1])
    assert own.coverage.iloc[1] == pytest.approx(inside.mean())
    low, high = later - held.lower[1, 1], later - held.upper[1, 1]
    losses = np.maximum(0.05 * low, -0.95 * low) + np.maximum(0.95 * high, -0.05 * high)
    assert own.pinball.iloc[1] == pytest.approx(losses.mean() / 2 / scale.mean())
    theta = rows[(rows.cutoff == rows.cutoff.unique()[1]) & (rows.model == "theta")].iloc[0]
    assert theta.mase > 0
    assert np.isnan([theta.level, theta.coverage, theta.pinball]).all()


def test_a_forecast_from_a_cutoff_does_not_know_what_came() -> None:
    values = wandering(80)
    other = values.copy()
    other[-HORIZON:] += 40
    one, two = (forecast_series(dated("MS", y), HORIZON, LEVELS).held_out for y in (values, other))
    assert one.cutoffs[1] == 74
    assert (one.actual[1] != two.actual[1]).all()
    # parameters are searched once, on the whole history, so that members may differ a little
    np.testing.assert_allclose(one.predictions[0, 1], two.predictions[0, 1], atol=3)


def test_a_series_too_short_for_a_cutoff_has_its_weights() -> None:
    rows = rows_of(backtests_of(("D", np.array([3.0, 4.0, 6.0]))))
    assert rows.cutoff.isna().all()
    assert rows.mase.isna().all()
    assert (rows.steps == 0).all()
    assert rows[rows.model != "auto"].weight.sum() == pytest.approx(1)


def test_values_in_gaps_are_not_compared_and_cutoffs_are_on_the_calendar() -> None:
    values = wandering(80)
    values[[73, 78]] = np.nan
    rows = rows_of(backtests_of(("MS", values)))
    assert rows.steps.iloc[0] == 2, "of the last three values one is missing"
    assert rows.steps.unique()[1] == 5
    assert rows.cutoff.unique()[1] == pd.Timestamp("2021-03-01"), "though this value, the 74th, is missing"


def test_a_cutoff_after_which_no_value_is_known_does_not_count() -> None:
    values = wandering(80)
    values[70:77] = np.nan
    rows = rows_of(backtests_of(("MS", values)))
    assert len(dated("MS", values).known) == 80
    assert (rows.steps > 0).all()
    assert rows.cutoff.is_unique is False
    assert len(rows) == len(rows.drop_duplicates(["cutoff", "model", "level"])), "each is told apart by its cutoff"
    assert rows.cutoff.nunique() == 5, "from the 71st value on six are missing"


def test_counts_have_backtests_too() -> None:
    values = np.where(np.arange(60) % 3 == 0, 2.0, 0.0)
    rows = rows_of(backtests_of(("D", values)))
    assert "Teunter-Syntetos-Babai" in set(rows.model)
    assert rows[rows.model == "auto"].coverage.notna().all()


def test_a_file_is_told_its_mean_weights_and_coverage() -> None:
    batch = backtests_of(("MS", wandering(80)), ("MS", wandering(60, 1)), ("D", np.array([3.0, 4.0, 6.0])))
    weights, inside = summed_weights(batch), summed_coverage(batch)
    assert sum(weights.values()) == pytest.approx(3), "one for each series, however many cutoffs it has"
    assert {level: count for level, (_, count) in inside.items()} == {"50": 2, "90": 2}
    means = [
        rows_of(batch, at)[lambda rows: (rows.model == "auto") & (rows.level == 90)].coverage.mean() for at in (0, 1)
    ]
    assert inside["90"][0] == pytest.approx(sum(means))
    notes = backtest_notes([weights, {}], [inside, {}])
    assert notes[0].startswith("mean weights: ")
    assert f"{50 * inside['90'][0]:.0f} % inside the 90 % interval" in notes[1]
    assert backtest_notes([{}], [{}]) == []


def test_measures_do_not_count_what_is_not_known() -> None:
    actual, forecast = np.array([[1.0, np.nan, 3.0], [np.nan] * 3]), np.array([[2.0, 5.0, 3.0], [1.0] * 3])
    assert mase(actual, forecast, np.array([0.5, 1.0])).tolist()[0] == 1.0
    assert np.isnan(mase(actual, forecast, np.array([0.0, 1.0]))).all()
    assert rmsse(actual, forecast, np.array([0.5, 1.0]))[0] == pytest.approx(np.sqrt(0.5) / 0.5)
    assert smape(actual, forecast)[0] == pytest.approx(100 / 3)
    assert coverage(actual, forecast - 0.5, forecast + 0.5)[0] == 0.5
    assert pinball(actual, forecast, 0.9)[0] == pytest.approx(0.1 / 2)
    assert np.isnan(coverage(actual, forecast, forecast)[1])
