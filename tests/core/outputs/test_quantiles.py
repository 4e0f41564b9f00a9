from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

import dropcast
from pipeline import cli
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.requests.local_files import request_for
from pipeline.folder.query import connect
from pipeline.runs import FolderRun
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]


def test_quantiles_are_the_ends_of_levels() -> None:
    spec = ForecastSpec.model_validate({"quantiles": "0.9,0.1,0.5,0.95"})
    assert spec.quantiles == (0.1, 0.5, 0.9, 0.95)
    assert spec.level == (80, 90)
    assert ForecastSpec.from_json(spec.to_json()) == spec
    assert ForecastSpec(quantiles=(0.5,)).level == (80,), "the median needs no level"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"quantiles": "10,90"}, "between 0 and 1"), ({"quantiles": "0.1,0.502"}, "0.005 away"),
     ({"quantiles": []}, "between 0 and 1"), ({"quantiles": "x"}, "number"),
     ({"quantiles": "0.1,0.9", "level": "95"}, "choose level or quantiles"),
     ({"quantiles": "0.5", "level": "95"}, "choose level or quantiles"), ({"quantiles": "1e-18"}, "between 0 and 1")],
)  # fmt: skip
def test_wrong_quantiles_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ForecastSpec.model_validate(wrong)


@pytest.mark.parametrize(
    ("operators", "stated", "quantiles", "level"),
    [({"quantiles": "0.1,0.9"}, {"quantiles": [0.05, 0.95]}, (0.05, 0.95), (90,)),
     ({"quantiles": "0.05,0.95"}, {"quantiles": [0.1, 0.9]}, (0.1, 0.9), (80,)),
     ({"level": "80"}, {"quantiles": [0.05, 0.95]}, (0.05, 0.95), (90,)),
     ({"level": "80,95"}, {"quantiles": [0.1, 0.9]}, (0.1, 0.9), (80,)),
     ({"quantiles": "0.05,0.95"}, {"quantiles": [0.5]}, (0.5,), (80,)),
     ({"quantiles": "0.05,0.95"}, {"level": [50]}, None, (50,)),
     ({"quantiles": "0.05,0.95"}, {}, (0.05, 0.95), (90,)), ({"level": "90"}, {"horizon": 3}, None, (90,))],
)  # fmt: skip
def test_a_manifests_choice_replaces_the_operators(
    operators: dict[str, Any], stated: dict[str, Any], quantiles: tuple[float, ...] | None, level: tuple[float, ...],
    write_csv: WriteCsv, make_settings: Callable[..., FolderRun],
) -> None:  # fmt: skip
    write_csv("in/a.csv", daily_series(40))
    manifest = write_csv("in/a.manifest.json", json.dumps({"input": "a.csv", **stated}))
    settings = make_settings(**operators)
    file = next(file for file in settings.files if file.path == str(manifest))
    spec = request_for(file, settings.spec, [manifest.parent]).parsed_spec
    assert (spec.quantiles, spec.level) == (quantiles, level)


def test_quantiles_of_one_name_are_one() -> None:
    assert ForecastSpec.model_validate({"quantiles": [0.1, 1 - 0.9, 0.10000000000001]}).quantiles == (0.1,)


def test_the_median_of_counts_is_their_own_whatever_else_is_asked_for() -> None:
    random = np.random.default_rng(0)
    y = (random.random(60) < 0.2) * random.integers(1, 9, 60) * 1.0
    assert np.mean(y == 0) > 0.6
    data = pd.DataFrame({"ds": pd.date_range("2020", periods=60, freq="MS"), "y": y})
    for quantiles in ([0.5], [0.3, 0.5], [0.4, 0.5, 0.6]):
        found = dropcast.forecast(data, horizon=2, model="auto", quantiles=quantiles)
        assert found.yhat_q50.tolist() == [0, 0]
        assert (found.yhat > 0.5).all(), "the forecast is the mean"


@pytest.mark.parametrize("model", ["prophet", "auto"])
def test_a_csv_has_the_quantiles_and_tables_the_intervals(model: str, write_csv: WriteCsv, tmp_path: Path) -> None:
    path, wanted = write_csv("in/a.csv", daily_series(90)), "--quantiles=0.05,0.1,0.5,0.9"
    found = {}
    for name, options in (("quantiles", wanted), ("levels", "--level=80,90")):
        out = tmp_path / name
        assert cli.main(["forecast", str(path), f"--output={out}", f"--model={model}", "--horizon=7", options]) == 0
        found[name] = pd.read_csv(out / "a.csv")
    rows, levels = found["quantiles"], found["levels"]
    assert list(rows) == ["date", "prediction", "quantile_0.05", "quantile_0.1", "quantile_0.5", "quantile_0.9"]
    assert rows["prediction"].equals(rows["quantile_0.5"])
    for quantile, end in (("0.05", "lower_90"), ("0.1", "lower_80"), ("0.9", "upper_80")):
        assert rows[f"quantile_{quantile}"].equals(levels[f"prediction_{end}"])
    sql = "SELECT prediction_interval_lower_bound FROM latest_forecasts WHERE confidence_level = 0.9 ORDER BY step"
    lower = [value for (value,) in connect(tmp_path / "quantiles").sql(sql).fetchall()]
    np.testing.assert_allclose(lower, rows["quantile_0.05"], rtol=1e-12)
    assert cli.main(["plot", str(path), str(tmp_path / "quantiles/a.csv"), f"--save={tmp_path}/a.svg"]) == 0
    assert "80 %" in (tmp_path / "a.svg").read_text()
    assert "90 %" not in (tmp_path / "a.svg").read_text(), "only one of its ends was forecast"


@pytest.mark.parametrize("model", ["prophet", "auto"])
@pytest.mark.parametrize("values", ["counts", "trend"])
def test_quantiles_never_cross(model: str, values: str) -> None:
    counts = np.where(np.arange(90) % 4 == 0, 3.0, 0.0)
    data = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=90), "y": counts if values == "counts" else 0.5})
    data["y"] += 0 if values == "counts" else np.arange(90)
    quantiles = [0.01, 0.3, 0.4, 0.5, 0.6, 0.9, 0.99]
    found = dropcast.forecast(data, horizon=14, quantiles=quantiles, model=model)
    ends = found[["yhat_q1", "yhat_q30", "yhat_q40", "yhat_q50", "yhat_q60", "yhat_q90", "yhat_q99"]].to_numpy()
    assert (np.diff(ends, axis=1) >= 0).all()


def test_the_library_names_quantiles_as_nixtla_does() -> None:
    data = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0)})
    columns = ["unique_id", "ds", "Dropcast", "Dropcast-q-2.5", "Dropcast-q-50"]
    assert list(dropcast.forecast(data, horizon=3, quantiles=[0.025, 0.5])) == columns
    assert {"Dropcast-q-2.5", "cutoff"} < {*dropcast.backtest(data, horizon=3, quantiles=[0.025, 0.5])}


def test_an_owner_is_told_of_a_forecast_that_falls_below_zero(write_csv: WriteCsv, tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=60)
    path = write_csv("in/a.csv", "date,y\n" + "".join(f"{day:%F},{59 - i}\n" for i, day in enumerate(days)))
    command = ["forecast", str(path), f"--output={tmp_path}/out", "--horizon=7"]
    assert cli.main(command) == 0
    notes = "SELECT notes FROM latest_receipts"
    assert "--forecast_lower_bound=0" in connect(tmp_path / "out").sql(notes).fetchall()[0][0]
    assert cli.main([*command, "--forecast_lower_bound=0"]) == 0
    assert "below 0" not in connect(tmp_path / "out").sql(notes).fetchall()[0][0]
    with (tmp_path / "out/a.csv").open() as file:
        assert min(float(row["prediction"]) for row in csv.DictReader(file)) == 0
