from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import cli
from pipeline.commands.report import report
from pipeline.folder.query import connect

WriteCsv = Callable[..., Path]
DAYS = pd.date_range("2024-01-01", periods=90)
VALUES = {
    shop: np.round(50 + 5 * np.sin(np.arange(90) * 2 * np.pi / 7) + np.random.default_rng(seed).normal(0, 1, 90), 2)
    for seed, shop in enumerate("ab")
}
HORIZON = 10


def table(known: int) -> str:
    """The values of the first days of two shops."""
    rows = [f"{shop},{DAYS[i]:%F},{VALUES[shop][i]}\n" for shop in VALUES for i in range(known)]
    return "shop,date,y\n" + "".join(rows)


@pytest.fixture
def forecast(write_csv: WriteCsv, tmp_path: Path) -> Callable[..., None]:
    """Forecast a file whose values are known up to a day, as if it was written that day."""

    def done(name: str, known: int, *options: str) -> None:
        path = write_csv(f"in/{name}", table(known))
        os.utime(path, (DAYS[known].timestamp(),) * 2)
        assert cli.main(["forecast", str(path), f"--output={tmp_path}/out", f"--horizon={HORIZON}", *options]) == 0

    return done


def ask(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    return connect(tmp_path / "out").sql(sql).fetchall()


BY_VERSION = """
    SELECT feed, count(*), min(step), max(step), min(forecast_timestamp) FROM live_accuracy
    GROUP BY feed, version, source ORDER BY min(source_time)
"""


def first_day(known: int) -> pd.Timestamp:
    return DAYS[known].tz_localize("UTC")


def test_forecasts_of_a_file_are_compared_with_what_its_later_versions_bring(
    forecast: Callable[..., None], tmp_path: Path
) -> None:
    forecast("sales.csv", 60)
    assert ask(tmp_path, BY_VERSION) == [], "nothing has come yet"
    forecast("sales.csv", 67)
    forecast("sales.csv", 74)
    feed = str(tmp_path / "in/sales.csv")
    assert ask(tmp_path, BY_VERSION) == [
        (feed, 2 * 10, 1, 10, first_day(60)),  # all that was forecast has come
        (feed, 2 * 7, 1, 7, first_day(67)),
    ]
    rows = ask(
        tmp_path,
        "SELECT series_id, forecast_timestamp, actual_value, forecast_value, error, inside_interval,"
        " confidence_level FROM live_accuracy",
    )
    for shop, day, actual, predicted, error, inside, level in rows:
        assert actual == VALUES[shop][DAYS.get_loc(day.replace(tzinfo=None))]
        assert error == pytest.approx(actual - predicted)
        assert level == 0.8
        assert isinstance(inside, bool)
    assert {inside for *_, inside, _ in rows} == {True, False}


def test_the_report_shows_it(forecast: Callable[..., None], tmp_path: Path) -> None:
    forecast("sales.csv", 60, "--level=80,95")
    forecast("sales.csv", 67, "--level=80,95")
    ((error, inside),) = ask(
        tmp_path,
        "SELECT sum(abs(error)) / sum(abs(actual_value)), avg(inside_interval::INT) FROM live_accuracy"
        " WHERE confidence_level = 0.95",
    )
    text = report(str(tmp_path / "out"), "Sales").decode()
    found = re.search(r'"live":(\[.*?\]\])', text)
    assert found is not None
    feed, model, level, versions, values, shown, covered = json.loads(found[1])[1]
    assert (feed, model, level, versions, values) == (str(tmp_path / "in/sales.csv"), "native 1", 0.95, 1, 14)
    assert (shown, covered) == (pytest.approx(error, rel=1e-4), pytest.approx(inside, rel=1e-4))


def test_files_with_dated_names_are_of_one_feed(forecast: Callable[..., None], tmp_path: Path) -> None:
    forecast("sales-1.csv", 60, "--feed=sales")
    forecast("sales-2.csv", 67, "--feed=sales")
    forecast("other.csv", 67)
    assert ask(tmp_path, BY_VERSION) == [("sales", 2 * 7, 1, 7, first_day(60))]


def test_each_output_of_a_file_is_compared_with_its_own_values(write_csv: WriteCsv, tmp_path: Path) -> None:
    for known in (60, 67):
        rows = "".join(f"{DAYS[i]:%F},{VALUES['a'][i]},{1000 * VALUES['b'][i]}\n" for i in range(known))
        path = write_csv("in/s.csv", "date,units,revenue\n" + rows)
        os.utime(path, (DAYS[known].timestamp(),) * 2)
        manifests = []
        for name, more in (
            ("units", {"value_column": ["units"]}), ("revenue", {"value_column": ["revenue"]}),
            ("weeks", {"value_column": ["units"], "aggregate": "W-MON", "horizon": 3}),
        ):  # fmt: skip
            asked = {"input": "s.csv", "output": f"{name}.csv", "horizon": 10, **more}
            manifests.append(str(write_csv(f"in/{name}.manifest.json", json.dumps(asked))))
        assert cli.main(["forecast", *manifests, f"--output={tmp_path}/out"]) == 0
    sizes = "SELECT output, count(*), min(actual_value), max(actual_value) FROM live_accuracy GROUP BY 1 ORDER BY 1"
    found = {name: (count, low, high) for name, count, low, high in ask(tmp_path, sizes)}
    assert {name: count for name, (count, _, _) in found.items()} == {"revenue.csv": 7, "units.csv": 7, "weeks.csv": 1}
    assert found["revenue.csv"][1] > 1000
    assert found["units.csv"][2] < 100
    assert 200 < found["weeks.csv"][1] < 1000, "a sum of a week"


def test_the_newest_attempt_of_a_version_counts(forecast: Callable[..., None], tmp_path: Path) -> None:
    forecast("sales.csv", 60)
    forecast("sales.csv", 60, "--level=80,95", "--horizon=3")  # the last --horizon counts
    forecast("sales.csv", 67)
    assert ask(tmp_path, "SELECT DISTINCT step FROM live_accuracy ORDER BY 1") == [(1,), (2,), (3,)]
    assert ask(tmp_path, "SELECT count(*), count(DISTINCT confidence_level) FROM live_accuracy") == [(2 * 3 * 2, 2)]


def test_only_the_last_values_are_stored(forecast: Callable[..., None], tmp_path: Path) -> None:
    forecast("sales.csv", 60)
    assert ask(tmp_path, "SELECT count(*), min(actual_timestamp) FROM actuals") == [(2 * HORIZON, first_day(50))]
    forecast("sales.csv", 75)
    assert ask(tmp_path, BY_VERSION) == [(str(tmp_path / "in/sales.csv"), 2 * 5, 6, 10, first_day(65))], (
        "of a version that comes later than a horizon after, the last horizon is compared"
    )
