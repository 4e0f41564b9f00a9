"""What must hold of the fit and the intervals, whatever the series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.fit import fit
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.histories import Histories
from pipeline.core.model.intervals.half_widths import MOST_RATIO, HalfWidths, computed_steps, half_widths
from pipeline.core.model.intervals.of_forecast import intervals
from pipeline.core.model.predict import predict
from pipeline.core.model.solve.solver import FLOOR, MARGINAL, MAXIMUM
from tests.made_series import DAY, dates, histories, sales

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def series(rows: int, step: int, seed: int, gaps: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    ds = 15_000 * DAY + step * np.arange(rows, dtype=np.int64)
    t = np.arange(rows)
    y = (
        random.normal(0, 1, rows)
        + random.normal(0, 3) * np.sin(2 * np.pi * t / 7)
        + np.cumsum(random.normal(0, 0.2, rows))
    )
    y = (y + random.normal(0, 20)) * 10.0 ** random.integers(-6, 7)
    kept = random.random(rows) >= gaps
    kept[[0, -1]] = True
    return ds[kept], y[kept]


def features(ds: np.ndarray, fitted: FittedSeries) -> np.ndarray:
    """Fourier features as Prophet defines them, written anew."""
    days = ds / DAY
    columns = [
        wave(2 * np.pi * (order + 1) * days / s.period)
        for s in fitted.columns.seasonalities for order in range(s.fourier_order) for wave in (np.sin, np.cos)
    ]  # fmt: skip
    return np.column_stack(columns) if columns else np.empty((len(ds), 0))


@SLOW
@given(
    rows=st.integers(60, 900),
    step=st.sampled_from([DAY // 24, DAY, 7 * DAY, 30 * DAY]),
    seed=st.integers(0, 10**6),
    gaps=st.sampled_from([0.0, 0.3]),
    tau=st.sampled_from([0.001, 0.05, 1.0]),
    growth=st.sampled_from(["linear", "flat"]),
    changepoints=st.sampled_from([0, 3, 25]),
)
def test_the_fit_meets_the_conditions_of_a_maximum(
    rows: int, step: int, seed: int, gaps: float, tau: float, growth: str, changepoints: int
) -> None:
    ds, y = series(rows, step, seed, gaps)
    spec = ForecastSpec(
        growth=growth, changepoint_prior_scale=tau, n_changepoints=changepoints, yearly_seasonality=False
    )
    fitted = fit(histories((ds, y)), spec)[0]
    assume(fitted.status[0] == MAXIMUM)  # hypothesis complains if that filters out too much
    t = (ds - ds[0]) / (ds[-1] - ds[0])
    scaled = y / np.abs(y).max()
    x = features(ds, fitted)
    hinges = np.maximum(t[:, None] - fitted.changepoints_t[0], 0)
    k, m, delta, beta, sigma = (getattr(fitted, name)[0] for name in ("k", "m", "delta", "beta", "sigma_obs"))
    residual = scaled - (k * t * (growth == "linear") + m + hinges @ delta + x @ beta)
    s2 = sigma**2
    scale = np.abs(residual).sum() / s2  # of the sums below, before they cancel

    def near_zero(gradient: Any) -> bool:
        return bool(np.all(np.abs(gradient) <= 1e-7 * scale + 1e-7))

    assert near_zero(residual.sum() / s2 - m / 25)
    assert near_zero(x.T @ residual / s2 - beta / 100)
    assert np.isclose(len(y) / sigma + 4 * sigma, residual @ residual / sigma**3, rtol=1e-6)
    if growth == "flat":
        return
    if changepoints:
        assert near_zero(residual @ t / s2 - k / 25)
        push = hinges.T @ residual / s2
        moved = delta != 0
        assert near_zero(push[moved] - np.sign(delta[moved]) / tau)
        assert np.all(np.abs(push[~moved]) <= 1 / tau + 1e-7 * scale + 1e-7)


@pytest.mark.parametrize("rows", [8, 12, 24, 25, 30, 36])
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_sigma_of_short_monthly_series_is_near_their_noise(rows: int, mode: str) -> None:
    t = np.arange(rows)
    ratios = []
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(0, 3, rows)
        y = 100 + t + 10 * np.sin(2 * np.pi * t / 12) + noise
        fitted = fit(histories((dates("2020-01-01", rows, "MS"), y)), ForecastSpec(seasonality_mode=mode))[0]
        assert fitted.status[0] in (MAXIMUM, MARGINAL)
        ratios.append(fitted.sigma_obs[0] * np.abs(y).max() / 3)
        future = dates("2020-01-01", rows + 12, "MS")[rows:]
        yhat = predict(fitted, future[None], {}).yhat
        assert np.abs(yhat - 100).max() < 150
    assert min(ratios) > 0.02
    assert 0.1 < np.median(ratios) < 4


HOSTILE: dict[str, np.ndarray] = {
    "constant": np.full(100, 7.0),
    "zero": np.zeros(100),
    "two rows": np.array([1.0, 2.0]),
    "three rows": np.array([1.0, 5.0, 2.0]),
    "offset": 1e9 + np.random.default_rng(0).normal(0, 1, 200),
    "tiny": 1e-200 * (5 + np.random.default_rng(0).normal(0, 1, 200)),
    "huge": 1e300 * (5 + np.random.default_rng(0).normal(0, 1, 200)),
    "both ends": 1e308 * np.sign(np.sin(np.arange(200))),
    "spike": np.where(np.arange(200) == 120, 1e6, np.random.default_rng(0).normal(0, 1, 200)),
    "line": 3 + 0.25 * np.arange(200),
    "season": np.sin(2 * np.pi * np.arange(200) / 7),
    "step": np.where(np.arange(200) < 90, 0.0, 1.0),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "options",
    [{}, {"growth": "flat"}, {"seasonality_mode": "multiplicative"}, {"scaling": "minmax"}, {"growth": "logistic"}],
    ids=str,
)
def test_odd_series_have_a_finite_forecast(name: str, options: dict[str, Any]) -> None:
    y = HOSTILE[name]
    if options.get("growth") == "logistic":
        options = {**options, "cap": max(float(np.abs(y).max()) * 1.2, 1e-300)}
    spec = ForecastSpec(**options)
    ds = 18_000 * DAY + DAY * np.arange(len(y), dtype=np.int64)
    future = ds[-1] + DAY * np.arange(1, 29, dtype=np.int64)
    fitted = fit(histories((ds, y)), spec)[0]
    prediction = predict(fitted, future[None], {})
    lower, upper = intervals(fitted, prediction, spec.level)
    if name == "both ends" and options.get("scaling") == "minmax":  # its range is no number: the engine refuses it
        assert not np.isfinite(prediction.yhat).any()
        return
    assert np.isfinite(prediction.yhat).all()
    assert np.isfinite(lower).all()
    assert np.isfinite(upper).all()
    assert (lower[0] <= prediction.yhat).all()
    assert (upper[0] >= prediction.yhat).all()


def test_dependent_columns_do_no_harm_alone_or_beside_others() -> None:
    t = np.arange(12)  # on quarterly dates most of the yearly season's columns are the same
    parts = []
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(0, 3, 12)
        parts.append((dates("2018-01-01", 12, "QS"), 100 + 0.2 * t + 8 * np.sin(np.pi * t / 2) + noise))
    for mode in ("additive", "multiplicative"):
        spec = ForecastSpec(seasonality_mode=mode)
        together = fit(histories(*parts), spec)[0]
        alone = [fit(histories(part), spec)[0] for part in parts]
        sigma = np.array([one.sigma_obs[0] for one in alone]) * together.y_scale
        np.testing.assert_allclose(together.sigma_obs * together.y_scale, sigma, rtol=1e-7)
        assert 0.3 < np.median(sigma) < 9
        assert sigma.min() > 0.01
        future = dates("2018-01-01", 16, "QS")[12:]
        for one in alone:
            yhat = predict(one, future[None], {}).yhat
            assert np.abs(yhat - 100).max() < 60


def test_a_logistic_curve_without_changepoints_keeps_its_shape() -> None:
    t = np.arange(300) / 300
    y = 100 / (1 + np.exp(-12 * (t - 0.5))) + np.random.default_rng(0).normal(0, 1, 300)
    ds = dates("2024-01-01", 300, "D")
    spec = ForecastSpec(growth="logistic", cap=100.0, n_changepoints=0, changepoint_prior_scale=10.0)
    fitted = fit(histories((ds, y)), spec)[0]
    assert np.std(predict(fitted, ds[None], {}).yhat[0] - y) < 1.2
    assert fitted.m[0] == pytest.approx(0.5, abs=0.02)


def test_the_holidays_of_another_series_years_change_nothing() -> None:
    old, new = dates("2021-02-01", 25, "D"), dates("2023-11-01", 25, "D")
    spec = ForecastSpec(country_holidays="US", changepoint_prior_scale=5.0)
    alone = fit(histories((old, sales(25))), spec)[0]
    together = next(f for f in fit(histories((old, sales(25)), (new, sales(25, 1))), spec) if 0 in f.members)
    future = old[-1:] + DAY * np.arange(1, 29)
    here = predict(together, np.repeat(future[None], len(together), axis=0), {}).yhat[
        together.members.tolist().index(0)
    ]
    np.testing.assert_allclose(here, predict(alone, future[None], {}).yhat[0], rtol=1e-9)


@pytest.mark.parametrize("growth", ["linear", "logistic"])
def test_many_changepoints_come_to_an_end(growth: str) -> None:
    y = 100 + np.cumsum(np.random.default_rng(0).normal(0, 1, 300))
    spec = ForecastSpec(
        growth=growth, cap=300.0 if growth == "logistic" else None, n_changepoints=300, changepoint_range=1.0,
        changepoint_prior_scale=10.0, seasonality_mode="multiplicative",
    )  # fmt: skip
    fitted = fit(histories((dates("2024-01-01", 300, "D"), y)), spec)[0]
    assert np.isfinite(fitted.sigma_obs[0])


def test_an_exact_line_goes_on_as_a_line_with_next_to_no_interval() -> None:
    fitted, prediction = forecast_of(HOSTILE["line"])
    assert fitted.status[0] == FLOOR
    np.testing.assert_allclose(prediction.yhat[0], 3 + 0.25 * np.arange(200, 228), rtol=1e-5)
    assert fitted.sigma_obs[0] < 1e-6


def test_an_offset_does_not_hide_the_noise() -> None:
    fitted, _ = forecast_of(HOSTILE["offset"])
    assert fitted.sigma_obs[0] * 1e9 == pytest.approx(1, rel=0.2)


def forecast_of(y: np.ndarray) -> tuple[FittedSeries, Any]:
    ds = 18_000 * DAY + DAY * np.arange(len(y), dtype=np.int64)
    fitted = fit(histories((ds, y)), ForecastSpec(weekly_seasonality=False))[0]
    return fitted, predict(fitted, (ds[-1] + DAY * np.arange(1, 29, dtype=np.int64))[None], {})


def test_a_series_gets_the_same_forecast_alone_beside_others_and_in_any_order() -> None:
    ds = dates("2022-01-01", 400, "D")
    late = dates("2022-03-01", 380, "D")
    parts = [(ds, sales(400, seed)) for seed in range(6)] + [(late, sales(380, 9)), (ds[:300], sales(300, 8))]
    spec = ForecastSpec(level="80,95")

    def forecasts(chosen: list[int]) -> dict[int, np.ndarray]:
        found = {}
        for fitted in fit(histories(*(parts[i] for i in chosen)), spec):
            last = np.array([parts[chosen[i]][0][-1] for i in fitted.members])
            prediction = predict(fitted, last[:, None] + DAY * np.arange(1, 29), {})
            lower, upper = intervals(fitted, prediction, spec.level)
            for at, i in enumerate(fitted.members.tolist()):
                found[chosen[i]] = np.stack([prediction.yhat[at], *lower[:, at], *upper[:, at]])
        return found

    together = forecasts(list(range(8)))
    for other in (forecasts([7, 5, 3, 1, 6, 4, 2, 0]), *(forecasts([i]) for i in range(8))):
        for i, found in other.items():
            np.testing.assert_allclose(found, together[i], rtol=1e-9)
    again = forecasts(list(range(8)))
    assert all((again[i] == together[i]).all() for i in range(8))


@SLOW
@given(
    p=st.floats(1e-3, 1.0),
    ratio=st.floats(-9, -1.1),
    horizon=st.sampled_from([1, 7, 28, 200]),
    level=st.sampled_from([0.5, 0.8, 0.99]),
)
def test_half_widths_from_the_lattice_are_those_computed_directly(
    p: float, ratio: float, horizon: int, level: float
) -> None:
    r = float(np.exp(ratio))
    assert r < MOST_RATIO
    widths = HalfWidths(horizon, (level,)).of(np.array([p]), np.full((1, horizon), r))[0, 0]
    steps = computed_steps(horizon)
    direct = half_widths(p, r, steps, np.array([level]))[0]
    np.testing.assert_allclose(widths[steps - 1], direct, rtol=2e-3)
    assert (np.diff(widths) > -1e-9).all()  # the further ahead, the wider


def test_a_normal_interval_where_slopes_do_not_change() -> None:
    widths = HalfWidths(5, (0.8, 0.95)).of(np.array([0.07]), np.zeros((1, 5)))
    np.testing.assert_allclose(widths[:, 0], np.array([[1.2815515655], [1.9599639845]]) * np.ones(5), rtol=1e-6)


def test_histories_can_be_taken_apart() -> None:
    whole = histories((dates("2024-01-01", 3, "D"), np.arange(3.0)), (dates("2024-01-01", 2, "D"), np.arange(2.0)))
    part: Histories = whole.take(np.array([1]))
    assert part.y.tolist() == [0.0, 1.0]
    assert part.offsets.tolist() == [0, 2]
