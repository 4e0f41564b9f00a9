"""What all tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from pipeline.runs import FolderRun, run_from
from tests.local_cloud.fixtures import cloud
from tests.naive_engine import NaiveEngine

__all__ = ["cloud"]

# A busy machine, or the first use of a clone, is no failure: how long an example takes says nothing of the code.
settings.register_profile("dropcast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dropcast")

# They have an environment of their own: `make test-airflow`.
collect_ignore = ["airflow"]

WriteCsv = Callable[..., Path]


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    """Return a function that writes a daily series, or a given text, to a file below the test's folder."""

    def write(name: str = "in/sales.csv", text: str | None = None, days: int = 90) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(daily_series(days) if text is None else text)
        return path

    return write


def daily_series(days: int = 90, seed: int = 0, header: str = "date,y") -> str:
    """Return a CSV of a daily series with a weekly season."""
    random = np.random.default_rng(seed)
    dates = np.datetime64("2024-01-01") + np.arange(days)
    values = 100 + 0.3 * np.arange(days) + 20 * np.sin(2 * np.pi * np.arange(days) / 7) + random.normal(0, 3, days)
    return f"{header}\n" + "".join(f"{d},{v:.2f}\n" for d, v in zip(dates, values, strict=True))


@pytest.fixture
def naive_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every engine be the naive one, which takes no time."""
    engine = NaiveEngine()
    monkeypatch.setattr("pipeline.core.process_request.engine_named", lambda name: engine)


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., FolderRun]:
    """Return a function that makes settings for patterns below the test's folder."""

    def make(*patterns: str, output: str = "out", **options: str) -> FolderRun:
        inputs = [str(tmp_path / pattern) for pattern in patterns or ("in/*",)]
        return run_from({"output": str(tmp_path / output), **options}, inputs)

    return make
