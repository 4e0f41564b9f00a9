"""What is done where the native engine's search ends before the top."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from pipeline.core.engine import engine_named
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.model.fit import Histories, fit
from pipeline.core.model.solver import FLOOR, MAXIMUM, STAN, STUCK
from pipeline.core.native_engine import STAN_NOTE, STUCK_NOTE
from pipeline.core.second_opinion import with_second_opinions
from pipeline.core.series_batch import number_lists, series_schema, timestamp_lists

DAY = 86_400_000_000
N, H = 200, 7
SPEC = ForecastSpec(seasonality_mode="multiplicative", horizon=H, score=False)
DAYS = 19_000 * DAY + DAY * np.arange(N + H)
Y = (100 + 0.1 * np.arange(N)) * (1 + 0.2 * np.sin(np.arange(N) * 2 * np.pi / 7))
Y = Y + np.random.default_rng(0).normal(0, 1, N)


def opinion_on(**parameters: np.ndarray) -> tuple[float, int]:
    """Return sigma and status after a second opinion on a fit whose parameters were changed."""
    histories = Histories(np.array([0, N]), DAYS[:N], Y)
    fitted = dataclasses.replace(fit(histories, SPEC)[0], **parameters)
    found = with_second_opinions(fitted, histories, DAYS[None, N:], {}, seconds=60)
    return float(found.sigma_obs[0]), int(found.status[0])


def test_stans_answer_is_taken_where_it_is_better() -> None:
    sigma, status = opinion_on()
    assert status == MAXIMUM
    worse, asked = opinion_on(sigma_obs=np.array([5 * sigma]), status=np.array([STUCK]))
    assert asked == STAN
    assert abs(worse - sigma) < 0.05 * sigma


def test_a_better_answer_of_our_own_is_kept() -> None:
    sigma, _ = opinion_on()
    assert opinion_on(status=np.array([STUCK])) == (sigma, STUCK)


def test_a_collapsed_sigma_gives_way_to_one_that_is_not() -> None:
    sigma, _ = opinion_on()
    found, status = opinion_on(status=np.array([FLOOR]), sigma_obs=np.array([1e-9]))
    assert status == STAN
    assert abs(found - sigma) < 0.05 * sigma


def test_stan_is_not_asked_beyond_its_time() -> None:
    histories = Histories(np.array([0, N]), DAYS[:N], Y)
    fitted = dataclasses.replace(fit(histories, SPEC)[0], status=np.array([STUCK]), sigma_obs=np.array([1.0]))
    found = with_second_opinions(fitted, histories, DAYS[None, N:], {}, seconds=1e-3)
    assert found.status.tolist() == [STUCK]


def test_the_owner_is_told_whose_answer_it_is() -> None:
    random = np.random.default_rng(0)
    # a few huge spikes under loose priors: a search that gets stuck
    series = [np.where(random.random(30) < 0.02, 1e6, 1.0) * random.random(30) for _ in range(15)]
    days = [DAYS[:30]] * len(series)
    columns = [
        pa.array([f"s{i}" for i in range(15)]), pa.array([[]] * 15, pa.list_(pa.string())), pa.array(["D"] * 15),
        timestamp_lists(days), number_lists(series), timestamp_lists([DAYS[30 : 30 + H]] * 15),
        pa.nulls(15, pa.string()), pa.nulls(15, pa.string()),
    ]  # fmt: skip
    batch = pa.record_batch(columns, schema=series_schema(()))
    spec = SPEC.model_copy(update={"changepoint_prior_scale": 10.0, "seasonality_prior_scale": 100.0})
    notes = engine_named("native").forecast(batch, (), spec, Limits()).column("note").to_pylist()
    told = [note for note in notes if note is not None]
    assert told
    assert set(told) <= {STAN_NOTE, STUCK_NOTE}
