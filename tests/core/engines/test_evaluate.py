from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.commands import evaluate
from pipeline.core.engines import auto
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.evaluate import MODELS, PROPHET, SEASONAL_NAIVE, evaluate_block
from pipeline.core.engines.forecast_batch import Forecasts, forecast_batch
from pipeline.core.engines.score import held_out, seasonal_naive_scales
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import smape
from pipeline.core.members.forecast import CombinedForecast
from pipeline.core.members.held_out import scale_of
from pipeline.core.members.history import History
from pipeline.core.series.arrow_lists import flat_list, lists_of
from pipeline.core.series.load import load_file
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]
HORIZON = 7


def block(text: str, tmp_path: Path, **options: Any) -> tuple[pa.RecordBatch, ForecastSpec, tuple[str, ...]]:
    spec = ForecastSpec(horizon=HORIZON, **options)
    csv = load_file(io.BytesIO(text.encode()), spec, Limits(), tmp_path)
    return next(csv.batches()), spec, csv.layout.extras


def rows_of(batch: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, cutoffs: int) -> pd.DataFrame:
    return evaluate_block(batch, extras, spec, Limits(), cutoffs).to_pandas()


def stores(lengths: dict[str, int]) -> str:
    lines = [
        f"{store},{line}" for seed, (store, length) in enumerate(lengths.items())
        for line in daily_series(length, seed=seed).splitlines()[1:]
    ]  # fmt: skip
    return "store,date,y\n" + "\n".join(lines) + "\n"


def test_an_earlier_cutoff_holds_out_the_values_before(tmp_path: Path) -> None:
    lines = "".join(f"2024-01-{d:02d},{d if d < 25 else ''},{d / 4}\n" for d in range(1, 32))
    batch, _, extras = block("date,y,temp\n" + lines, tmp_path, regressors="temp")
    last, _, _, _ = held_out(batch, extras, 6)
    shortened, _, actual, _ = held_out(batch, extras, 6, later=6)
    assert actual[0].tolist() == [13, 14, 15, 16, 17, 18]
    assert lists_of(shortened, "y")[0].tolist() == list(range(1, 13))
    assert lists_of(shortened, "future")[0].tolist() == lists_of(last, "ds")[0][-6:].tolist()
    assert lists_of(shortened, "extra_temp")[0].tolist() == [d / 4 for d in range(1, 19)]


def test_a_cutoff_sees_nothing_of_what_follows(tmp_path: Path) -> None:
    """The second cutoff of a history is the first of one that ends a horizon earlier."""
    whole, spec, extras = block(stores({"a": 90, "b": 60}), tmp_path, level="80,95")
    early, _, _ = block(stores({"a": 83, "b": 53}), tmp_path / "early", level="80,95")
    found = rows_of(whole, extras, spec, 2)
    assert found.groupby(["series_id", "model"]).cutoff.nunique().unique().tolist() == [2]
    assert {*found.model} > {*MODELS, "theta", "ridge"}
    before = rows_of(early, extras, spec, 1)
    merged = found.merge(before, on=["series_id", "cutoff", "model", "level"], suffixes=("", "_before"))
    assert len(merged) == len(before) == len(found) / 2
    for column in ("weight", "mase", "smape", "rmsse", "pinball", "coverage"):
        pd.testing.assert_series_equal(merged[column], merged[f"{column}_before"], check_names=False, check_exact=True)
    levels = found.groupby("model")["level"].nunique()
    assert (levels[PROPHET], levels["auto"], levels[SEASONAL_NAIVE], levels["theta"]) == (2, 2, 0, 0)
    wide = found[found.level == 95].set_index(["series_id", "cutoff", "model"]).coverage
    assert (wide >= found[found.level == 80].set_index(["series_id", "cutoff", "model"]).coverage).all()


def test_members_are_those_of_the_forecast(tmp_path: Path) -> None:
    whole, spec, extras = block(stores({"a": 90}), tmp_path)
    early, _, _ = block(stores({"a": 83}), tmp_path / "early")
    auto = spec.model_copy(update={"model": "auto"})
    batch = engine_named("auto").forecast(early, extras, auto, Limits())
    weights = {row["model"]: row["weight"] for row in batch.column("backtests")[0].as_py() if row["model"] != "auto"}
    found = rows_of(whole, extras, spec, 1).set_index("model")
    assert found.weight.dropna().to_dict() == weights
    forecast, actual = batch.column("yhat")[0].as_py(), lists_of(whole, "y")[0][-7:]
    off = 200 * np.abs(actual - forecast) / (np.abs(actual) + np.abs(forecast))
    assert found.smape["auto"] == pytest.approx(off.mean())


def test_errors_are_those_of_the_formulas(tmp_path: Path) -> None:
    y = [float(1 + (d % 7)) + 0.5 * d for d in range(35)]  # grows by 3.5 from week to week
    text = "date,y\n" + "".join(f"{np.datetime64('2024-01-01') + d},{value}\n" for d, value in enumerate(y))
    batch, spec, extras = block(text, tmp_path)
    naive = rows_of(batch, extras, spec, 1).set_index("model").loc[SEASONAL_NAIVE]
    actual, forecast = np.array(y[28:]), np.array(y[21:28])
    assert naive.mase == pytest.approx(1.0)
    assert naive.smape == pytest.approx(np.mean(200 * 3.5 / (actual + forecast)))


def test_two_zeros_are_no_error() -> None:
    assert smape(np.array([[0.0, 0.0]]), np.array([[0.0, 1.0]])).tolist() == [100.0]


def test_series_without_enough_history_and_faulty_ones_do_not_count(tmp_path: Path) -> None:
    text = stores({"long": 60, "short": 13, "middle": 20, "broken": 60})
    batch, spec, extras = block(text.rstrip("\n") + "x\n", tmp_path)
    assert sum(fault is not None for fault in batch.column("fault").to_pylist()) == 1
    found = rows_of(batch, extras, spec, 3)
    assert found.groupby("series_id").cutoff.nunique().to_dict() == {"long": 3, "middle": 1}


def test_a_model_without_any_forecast_leaves_nothing_to_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, spec, extras = block(stores({"a": 60, "b": 60}), tmp_path)
    refused = Forecasts.empty(2, spec)
    faults = {row: RecordError("FIT_TIMEOUT", "Too costly.", "Ask for less.") for row in range(2)}

    class Refuses:
        def forecast(self, series: pa.RecordBatch, *_: Any) -> pa.RecordBatch:
            return forecast_batch(series, refused, faults, spec)

    monkeypatch.setattr("pipeline.core.engines.evaluate.engine_named", {"native": Refuses()}.__getitem__)
    assert spec.solver == "native"
    assert evaluate_block(batch, extras, spec, Limits(), 1).num_rows == 0


def test_a_table_for_each_file(write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_csv("in/a.csv", stores({"a": 90, "b": 90, "c": 9}))
    bad = write_csv("in/b.csv", "no,dates\nhere,x\n")
    assert evaluate.main([str(bad), str(good), "--horizon=7", "--cutoffs=2", "--level=50,90"]) == 3
    printed = capsys.readouterr()
    assert "NO_DATE_COLUMN" in printed.err
    assert f"{good}: 2 of 3 series, 2 cutoffs, horizon 7" in printed.out
    lines = {line[:33].strip(): line[33:].split() for line in printed.out.splitlines() if line}
    assert lines[""] == ["series", "MASE", "sMAPE", "RMSSE", "inside", "50", "%", "inside", "90", "%"]
    assert len(lines["prophet"]) == len(lines["auto"]) == 9
    assert len(lines["seasonal naive"]) == len(lines["theta"]) == 5
    assert lines["theta"][0] == "2"
    assert "has the lowest mean MASE" in printed.out
    single = write_csv("in/single.csv", daily_series(90))
    assert evaluate.main([str(single), "--horizon=7"]) == 0
    assert "has the lowest MASE." in capsys.readouterr().out


def test_the_table_has_the_means_of_the_json(write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv("in/a.csv", stores({"a": 90, "b": 70, "c": 90}))
    assert evaluate.main([str(path), "--horizon=7", "--cutoffs=3", "--json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    found = pd.DataFrame(file["evaluations"])
    assert (file["series_in_file"], file["horizon"], file["level"]) == (3, 7, [80])
    evaluate.main([str(path), "--horizon=7", "--cutoffs=3"])
    auto = next(line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("auto "))
    own = found[found.model == "auto"]
    assert len(own) == 9
    assert auto[1:4] == ["3", f"{own.mase.mean():.2f}", f"{own.smape.mean():.2f}"]
    assert evaluate.main([str(path), "--horizon=7", "--cutoffs=3", "--csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert table.file.unique().tolist() == [str(path)]
    own = table.drop(columns=["file", "cutoff"])
    pd.testing.assert_frame_equal(own, found.drop(columns="cutoff"), check_dtype=False)
    assert (pd.to_datetime(table.cutoff) == pd.to_datetime(found.cutoff)).all()
    saved = path.parent / "errors.parquet"
    assert evaluate.main([str(path), "--horizon=7", "--cutoffs=3", f"--save={saved}"]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(saved)[list(own)], own, check_dtype=False)


def test_nothing_to_evaluate_is_said(write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(write_csv("in/a.csv", daily_series(30)))]) == 3
    assert "have fewer than 56 values (two horizons)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [(["x.csv", "--cutoffs=0"], "--cutoffs: must be a number from 1 to 100"),
     (["x.csv", "--save=errors.csv"], "--save: must end in .parquet"),
     (["x.csv", "--json", "--csv"], "--csv: choose it or --json"),
     (["x.csv", "--model=auto"], "--model: unknown option"), ([], "FILE: is missing")],
)  # fmt: skip
def test_wrong_options_are_refused(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(argv) == 2
    assert said in capsys.readouterr().err


def test_bounds_hold_for_all_models(tmp_path: Path) -> None:
    batch, spec, extras = block(stores({"a": 90}), tmp_path, forecast_lower_bound=500.0)
    found = rows_of(batch, extras, spec, 1).set_index("model")
    actual = lists_of(batch, "y")[0][-HORIZON:]
    for model in ("prophet", "auto", "theta"):
        assert found.smape[model].max() == pytest.approx((200 * (500 - actual) / (500 + actual)).mean()), model


def test_a_series_that_auto_cannot_forecast_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    batch, spec, extras = block(stores({"a": 90, "b": 90}), tmp_path)
    real = auto.forecast_series

    def broken(history: History, *arguments: Any) -> CombinedForecast:
        if history.y[0] == lists_of(batch, "y")[0][0]:
            raise ZeroDivisionError
        return real(history, *arguments)

    monkeypatch.setattr(auto, "forecast_series", broken)
    assert rows_of(batch, extras, spec, 1).series_id.unique().tolist() == ["b"]
    assert "auto cannot forecast series 'a'" in caplog.text


@pytest.mark.parametrize("frequency", ["D", "B", "W-SUN", "MS", "QS", "YE", "h", "h-open"])
def test_errors_of_backtests_have_the_scale_of_other_scores(frequency: str, tmp_path: Path) -> None:
    dates = pd.date_range("2019-01-06", periods=420, freq="h" if frequency == "h-open" else frequency)
    if frequency == "h-open":
        dates = pd.date_range("2019-01-07", periods=24 * 90, freq="h")
        dates = dates[(dates.hour >= 9) & (dates.hour < 17) & (dates.weekday < 5)][:420]
    y = np.random.default_rng(0).normal(100, 5, len(dates)).round(3)
    text = "date,y\n" + "".join(f"{date:%Y-%m-%dT%H:%M},{value}\n" for date, value in zip(dates, y, strict=True))
    batch, _, _ = block(text, tmp_path, frequency=frequency)
    assert batch.column("fault").null_count == 1
    _, history, _ = next(auto.combined_forecasts(batch, ForecastSpec(horizon=HORIZON, model="auto")))
    ds, offsets = flat_list(batch, "ds")
    expected = seasonal_naive_scales(flat_list(batch, "y")[0], ds, offsets, [frequency])
    found = scale_of(history.known, history.scale_season)
    np.testing.assert_allclose(found, [part[0] for part in expected], rtol=1e-12)
