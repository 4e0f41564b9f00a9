"""Forecasts of real series by statsmodels and statsforecast, printed as JSON; runs in the environment of the rivals.

The series come with those packages: air passengers (statsforecast), sunspots and the Nile's flow (statsmodels).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import statsmodels.api as sm  # type: ignore[import-not-found]
from statsforecast import models, theta  # type: ignore[import-not-found]
from statsforecast.utils import AirPassengers  # type: ignore[import-not-found]
from statsmodels.regression.linear_model import burg  # type: ignore[import-not-found]
from statsmodels.tsa.holtwinters import ExponentialSmoothing  # type: ignore[import-not-found]
from statsmodels.tsa.seasonal import seasonal_decompose  # type: ignore[import-not-found]

HORIZON = 12
ALPHA, BETA, GAMMA, PHI = 0.3, 0.2, 0.15, 0.95


def main() -> None:
    """Print series and forecasts."""
    series = {
        "air": np.asarray(AirPassengers, float),
        "sunspots": sm.datasets.sunspots.load_pandas().data.SUNACTIVITY.to_numpy(float) + 1,
        "nile": sm.datasets.nile.load_pandas().data.volume.to_numpy(float),
    }
    print(
        json.dumps({
            "series": {name: y.tolist() for name, y in series.items()},
            "parameters": [ALPHA, BETA, GAMMA, PHI],
            "smoothing": [
                smoothed(name, series[name], kind) for name, kind in (
                    ("air", "add"), ("air", "mul"), ("sunspots", "add"), ("nile", None), ("air", None))
            ],
            "theta": [dynamic_theta(name, y) for name, y in series.items()],
            "optimised_theta": [optimised_theta(name, y) for name, y in series.items()],
            "burg": [autoregression(name, y, order) for name, y in series.items() for order in (1, 2, 5)],
            "naive": {name: forecast(models.Naive(), y) for name, y in series.items()},
            "drift": {name: forecast(models.RandomWalkWithDrift(), y) for name, y in series.items()},
            "seasonal_naive": {name: forecast(models.SeasonalNaive(12), y) for name, y in series.items()},
            "decomposition": {
                kind: np.asarray(seasonal_decompose(series["air"], kind, period=12).seasonal)[:12].tolist()
                for kind in ("additive", "multiplicative")
            },
            "tsb": [intermittent(seed) for seed in range(3)],
        })
    )  # fmt: skip


def forecast(model: Any, y: np.ndarray) -> list[float]:
    """Return the forecast of a model of statsforecast."""
    return [float(value) for value in model.forecast(y=y, h=HORIZON)["mean"]]


def smoothed(name: str, y: np.ndarray, seasonal: str | None) -> dict[str, Any]:
    """Return exponential smoothing with given parameters and first states: its squared errors and its forecast.

    statsmodels' gamma is that of the season's own error: gamma times 1 - alpha. The last step of its first season ahead
    misses the season's last update (its ETSModel has it), and is left out.
    """
    index = {"add": y[:12] - y[:12].mean(), "mul": y[:12] / y[:12].mean()}.get(seasonal or "")
    level, trend = float(y[0]), 0.5
    more = {} if index is None else {"initial_seasonal": index, "seasonal_periods": 12}
    model = ExponentialSmoothing(
        y, trend="add", damped_trend=True, seasonal=seasonal, initialization_method="known", initial_level=level,
        initial_trend=trend, **more,
    )  # fmt: skip
    result = model.fit(
        smoothing_level=ALPHA, smoothing_trend=BETA, smoothing_seasonal=GAMMA * (1 - ALPHA) if seasonal else None,
        damping_trend=PHI, optimized=False,
    )  # fmt: skip
    return {
        "series": name, "season": None if index is None else index.tolist(), "kind": seasonal, "level": level,
        "trend": trend, "squares": float(np.sum((y - result.fittedvalues) ** 2)),
        "forecast": result.forecast(11).tolist(),
    }  # fmt: skip


def dynamic_theta(name: str, y: np.ndarray) -> dict[str, Any]:
    """Return the dynamic theta model with given alpha, theta and first level."""
    found = theta.thetamodel(y=y, m=1, modeltype="DOTM", initial_smoothed=float(y[0]), alpha=ALPHA, theta=3.0, nmse=3)
    ahead = np.asarray(theta.forecast_theta(found, HORIZON)["mean"])
    return {"series": name, "alpha": ALPHA, "theta": 3.0, "forecast": ahead.tolist()}


def optimised_theta(name: str, y: np.ndarray) -> dict[str, Any]:
    """Return the dynamic optimised theta model, everything searched."""
    return {"series": name, "forecast": forecast(models.DynamicOptimizedTheta(season_length=1), y)}


def autoregression(name: str, y: np.ndarray, order: int) -> dict[str, Any]:
    """Return the coefficients of an autoregression by Burg's method."""
    coefficients, variance = burg(y, order)
    return {"series": name, "order": order, "coefficients": coefficients.tolist(), "variance": float(variance)}


def intermittent(seed: int) -> dict[str, Any]:
    """Return counts with many zeros, and their forecast by Teunter, Syntetos & Babai's method."""
    random = np.random.default_rng(seed)
    y = np.where(random.random(80) < 0.3, random.poisson(4, 80), 0).astype(float)
    return {"y": y.tolist(), "forecast": forecast(models.TSB(alpha_d=0.1, alpha_p=0.1), y)[0]}


if __name__ == "__main__":
    main()
