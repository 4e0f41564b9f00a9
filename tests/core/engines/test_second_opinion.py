"""What is done where the native engine's search ends before the top."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from pipeline.core.engines import native as native_engine
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.native import STAN_NOTE, STUCK_NOTE
from pipeline.core.engines.second_opinion import with_second_opinions
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.model.fit import fit
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.histories import Histories
from pipeline.core.model.solve.solver import FLOOR, MAXIMUM, STAN, STUCK
from pipeline.core.series.arrow_lists import number_lists, timestamp_lists
from pipeline.core.series.batch import series_schema

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


@pytest.mark.parametrize(("worse", "note"), [(5.0, STAN_NOTE), (1.0, STUCK_NOTE)])
def test_the_owner_is_told_whose_answer_it_is(worse: float, note: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(histories: Histories, spec: ForecastSpec) -> list[FittedSeries]:
        found = fit(histories, spec)
        return [dataclasses.replace(f, sigma_obs=worse * f.sigma_obs, status=np.full(len(f), STUCK)) for f in found]

    monkeypatch.setattr(native_engine, "fit", stuck)
    columns = [
        pa.array(["a"]), pa.array([["a"]], pa.list_(pa.string())), pa.array(["D"]), timestamp_lists([DAYS[:N]]),
        number_lists([Y]), timestamp_lists([DAYS[N:]]), pa.nulls(1, pa.string()), pa.nulls(1, pa.string()),
    ]  # fmt: skip
    batch = pa.record_batch(columns, schema=series_schema(()))
    assert engine_named("native").forecast(batch, (), SPEC, Limits()).column("note").to_pylist() == [note]
