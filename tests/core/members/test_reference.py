"""The members against statsmodels' and statsforecast's own implementations, on real series.

Those run in an environment of their own (make test-members): reference_worker.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.members import autoregression, counts, repeating, seasonality, smoothing, theta

PYTHON = os.environ.get("DROPCAST_REFERENCE_PYTHON", "")
HORIZON = 12
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not PYTHON, reason="DROPCAST_REFERENCE_PYTHON names no interpreter: run make test-members"),
]


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    worker = Path(__file__).with_name("reference_worker.py")
    found: dict[str, Any] = json.loads(subprocess.run([PYTHON, worker], check=True, capture_output=True).stdout)
    assert {name: len(y) for name, y in found["series"].items()} == {"air": 144, "sunspots": 309, "nile": 100}
    return found


def series_of(reference: dict[str, Any], name: str) -> np.ndarray:
    return np.array(reference["series"][name])


def test_smoothing_is_that_of_statsmodels(reference: dict[str, Any]) -> None:
    """Damped Holt, and Holt-Winters with either season: the same states give the same errors and forecasts."""
    assert [one["kind"] for one in reference["smoothing"]] == ["add", "mul", "add", None, None]
    kinds = {"add": smoothing.ADDITIVE, "mul": smoothing.MULTIPLICATIVE, None: smoothing.NO_SEASON}
    for one in reference["smoothing"]:
        season = np.zeros(1) if one["season"] is None else np.array(one["season"])
        y = series_of(reference, one["series"])
        own = smoothing.Smoothing(y, kinds[one["kind"]], season, one["level"], one["trend"])
        parameters, out = np.array(reference["parameters"]), np.empty(HORIZON)
        squares, _, _ = smoothing.smooth(own, parameters, np.empty(len(season)))
        smoothing.forecast(own, parameters, out)
        assert squares == pytest.approx(one["squares"], rel=1e-9), one["series"]
        np.testing.assert_allclose(out[:11], one["forecast"], rtol=1e-9)


def test_theta_is_that_of_statsforecast(reference: dict[str, Any]) -> None:
    for one in reference["theta"]:
        out = np.empty(HORIZON)
        theta.forecast(series_of(reference, one["series"]), np.array([one["alpha"], one["theta"]]), out)
        np.testing.assert_allclose(out, one["forecast"], rtol=1e-9)


def test_the_theta_that_is_searched_is_near_the_optimised_one(reference: dict[str, Any]) -> None:
    """Parameters come from a coarse search: forecasts may differ by a tenth of the series' standard deviation."""
    for one in reference["optimised_theta"]:
        y, parameters, out = series_of(reference, one["series"]), np.empty(2), np.empty(HORIZON)
        theta.search(y, parameters)
        theta.forecast(y, parameters, out)
        np.testing.assert_allclose(out, one["forecast"], atol=0.1 * y.std())


def test_autoregression_has_burgs_coefficients(reference: dict[str, Any]) -> None:
    """A forecast with the coefficients of statsmodels, of the order that is chosen here."""
    compared = 0
    for one in reference["burg"]:
        y, out = series_of(reference, one["series"]), np.empty(HORIZON)
        if autoregression.forecast(y, one["order"], out) != one["order"]:
            continue
        known, mean = list(y - y.mean()), y.mean()
        for _ in range(HORIZON):
            known.append(float(np.dot(one["coefficients"], known[: -one["order"] - 1 : -1])))
        np.testing.assert_allclose(out, np.array(known[-HORIZON:]) + mean, rtol=1e-9)
        compared += 1
    assert compared >= 4


def test_naive_forecasts_are_those_of_statsforecast(reference: dict[str, Any]) -> None:
    for name in reference["series"]:
        y, out = series_of(reference, name), np.empty(HORIZON)
        repeating.naive(y, out)
        np.testing.assert_allclose(out, reference["naive"][name])
        repeating.drift(y, out)
        np.testing.assert_allclose(out, reference["drift"][name])
        repeating.seasonal_naive(y, 12, out)
        np.testing.assert_allclose(out, reference["seasonal_naive"][name])


def test_the_season_is_that_of_the_classical_decomposition(reference: dict[str, Any]) -> None:
    y = series_of(reference, "air")
    for kind, season in reference["decomposition"].items():
        np.testing.assert_allclose(seasonality.seasonal_indices(y, 12, kind == "multiplicative"), season, rtol=1e-9)


def test_intermittent_counts_are_near_those_of_statsforecast(reference: dict[str, Any]) -> None:
    """The first states differ (here: the mean share of what is not 0), which 80 values at 0.1 nearly forget."""
    for one in reference["tsb"]:
        y = np.array(one["y"])
        assert counts.has_many_zeros(y, 1)
        assert counts.levels(y)[3] == pytest.approx(one["forecast"], rel=0.01)
