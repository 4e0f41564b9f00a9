from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.commands import compare
from pipeline.core.engines.score import seasonal_naive_forecast
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]
DAY = 86_400_000_000


def days(start: int, count: int) -> np.ndarray:
    return DAY * (19_000 + start + np.arange(count, dtype=np.int64))


def test_the_seasonal_naive_forecast_repeats_the_last_week() -> None:
    y = np.arange(30.0)
    found = seasonal_naive_forecast(days(0, 30), y, days(30, 10), "D")
    assert found.tolist() == [23, 24, 25, 26, 27, 28, 29, 23, 24, 25]


def test_where_the_last_season_has_a_gap_the_one_before_counts() -> None:
    at = np.r_[0:20, 22:30]
    found = seasonal_naive_forecast(days(0, 30)[at], np.arange(30.0)[at], days(27, 2), "D")
    assert found.tolist() == [13, 14]
    assert seasonal_naive_forecast(days(0, 3), np.array([1.0, 2.0, 5.0]), days(3, 2), "D").tolist() == [5, 5]


def test_a_sceptic_sees_both_engines_side_by_side(write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"s{s},{line}" for s in range(3) for line in daily_series(200, seed=s).splitlines()[1:]]
    path = write_csv("in/a.csv", "store,date,y\n" + "\n".join(lines) + "\nshort,2024-01-01,1\n")
    assert compare.main([str(path), "--horizon=14", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    *good, short = found["series"]
    assert [one["series_id"] for one in good] == ["s0", "s1", "s2"]
    assert "fewer than" in short["fault"] or short["fault"]
    for one in good:
        assert one["objective"]["native"] <= one["objective"]["stan"] + 1e-6
        assert one["difference"] < 0.1
        assert one["mase"]["native"] == pytest.approx(one["mase"]["stan"], rel=0.05)
        assert one["mase"]["naive"] > 0
        assert one["seconds"]["native"] < one["seconds"]["stan"]
        assert 0 <= one["covered"]["native"] <= 1
    assert compare.main([str(path), "--horizon=14", "--most=2"]) == 0
    text = capsys.readouterr().out
    assert "2 of 4 series, horizon 14" in text
    assert "seasonal naive" in text
    assert "Prophet's objective: native finds a better fit in" in text
    assert "  s1 " in text
    assert "  s2 " not in text


def test_short_series_are_compared_without_a_score(write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([str(write_csv("in/a.csv", daily_series(20)))]) == 0
    text = capsys.readouterr().out
    assert "MASE of" not in text
    assert "no scores: no series has 56 values (two horizons)" in text
    assert "Prophet's objective" in text


def test_a_wrong_command_or_file_is_refused(write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_csv("in/a.csv"))
    for wrong in ([], [path, "--most=0"], [path, "--mcmc_samples=10"], [path, "--horizon=0"]):
        assert compare.main(wrong) == 2
    assert compare.main([str(write_csv("in/bad.csv", "date,y\n"))]) == 2
    assert "NO_ROWS" in capsys.readouterr().err


def test_a_regressor_that_never_changes_is_left_out_of_the_comparison(
    write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{line},9.99" for line in daily_series(100).splitlines()[1:]]
    path = write_csv("in/a.csv", "date,y,price\n" + "\n".join(rows) + "\n")
    compare.main([str(path), "--horizon=7", "--regressors=price", "--json"])
    (one,) = json.loads(capsys.readouterr().out)["series"]
    assert one["fault"] == ""
    assert one["objective"]["native"] <= one["objective"]["stan"] + 1e-6
    assert one["difference"] < 0.1
