"""Two hundred odd series, forecast from a CSV with --model=auto: finite numbers, within bounds, none lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import cli
from pipeline.folder.query import connect

FREQUENCIES = ("YE", "QS", "MS", "W-SUN", "2W", "D", "B", "h", "15min", "7min")
HORIZON = 24


def odd(kind: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """Return an odd series; kinds from 0 to 19."""
    t, noise = np.arange(rows), random.normal(0, 1, rows)
    level = 100 + np.cumsum(noise)
    position = int(random.integers(rows))
    return [
        np.full(rows, 7.5), np.zeros(rows), np.where(random.random(rows) < 0.2, random.poisson(3, rows), 0.0),
        np.where(t == position, 1e6, level), -level, noise * 1e-9, level * 1e12,
        np.where(t < position, 10.0, 1000.0) + noise,
        np.tile([1.0, 5, 2, 8, 3, 9, 4], rows)[:rows], np.where(t < rows - 1, 0.0, 1.0), np.exp(t / rows * 20),
        np.where(t % 2 == 0, 1.0, -1.0), np.round(level), np.maximum(noise, 0), level * (t + 1),
        np.concatenate([np.zeros(rows // 2), level[rows // 2 :]]), np.abs(noise) ** 8, 1e300 * (2 + np.sin(t)),
        np.sign(noise) * 1e15, np.where(t == rows - 1, -1e7, level),
    ][kind]  # fmt: skip


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    folder, random, parts = tmp_path_factory.mktemp("odd"), np.random.default_rng(0), []
    for frequency in FREQUENCIES:
        for kind in range(20):
            rows = int(random.choice([2, 5, 9, 20, 40, 90, 200]))
            dates = pd.date_range("2001-01-07", periods=rows, freq=frequency)
            values = odd(kind, rows, random)
            kept = np.ones(rows, bool)
            if rows > 20 and kind % 2:  # every other one has gaps
                kept[1:-1] = random.random(rows - 2) > 0.1
            parts.append(pd.DataFrame({"series": f"{frequency}-{kind}", "date": dates, "y": values})[kept])
        pd.concat(parts[-20:]).to_csv(folder / f"{frequency}.csv", index=False)
    out = folder / "out"
    files = [str(folder / f"{frequency}.csv") for frequency in FREQUENCIES]
    options = ["--model=auto", f"--horizon={HORIZON}", "--level=50,80,95", f"--output={out}"]
    for file, frequency in zip(files, FREQUENCIES, strict=True):  # two values do not say what their frequency is
        assert cli.main(["forecast", file, *options, f"--frequency={frequency}"]) in (0, 3)
    return pd.concat(parts), out


def test_each_has_a_forecast_or_a_reason_that_is_its_own(forecast: tuple[pd.DataFrame, Path]) -> None:
    data, out = forecast
    assert data.series.nunique() == 200
    tables = connect(out)
    done = {name for (name,) in tables.sql("SELECT DISTINCT series_id FROM latest_forecasts").fetchall()}
    letters = dict(tables.sql("SELECT series_id, code FROM dead_letters WHERE scope = 'series'").fetchall())
    assert done | set(letters) == set(data.series)
    assert "INTERNAL_ERROR" not in letters.values()
    assert len(done) > 190


def test_numbers_are_finite_and_within_bounds(forecast: tuple[pd.DataFrame, Path]) -> None:
    data, out = forecast
    rows = connect(out).sql(
        "SELECT series_id, forecast_value AS y, prediction_interval_lower_bound AS low,"
        " prediction_interval_upper_bound AS high, confidence_level AS level, step FROM latest_forecasts"
    ).df()  # fmt: skip
    assert np.isfinite(rows[["y", "low", "high"]]).all().all()
    histories = data.groupby("series").y.agg(["min", "max"])
    rows = rows.join(histories, on="series_id")
    width = rows["max"] - rows["min"]
    tolerance = 1e-9 * rows[["min", "max"]].abs().max(axis=1)
    assert (rows.y <= rows["max"] + width + tolerance).all(), "no further above the history than it is wide"
    assert (rows.y >= rows["min"] - width - tolerance).all()
    never_negative = rows["min"] >= 0
    assert (rows.low[never_negative] >= 0).all()
    counts = rows.y.between(rows.low - tolerance, rows.high + tolerance)
    assert counts.mean() > 0.97, "a count's mean may be outside a narrow interval"
    ends = rows.pivot(index=["series_id", "step"], columns="level", values=["low", "high"])
    assert (np.diff(ends["low"].to_numpy(), axis=1) <= 0).all()
    assert (np.diff(ends["high"].to_numpy(), axis=1) >= 0).all()
