from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet
from prophet.serialize import model_from_json, model_to_json

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.exchange.prophet_json import from_prophet_json
from pipeline.core.model.exchange.prophet_object import to_prophet
from pipeline.core.model.fit import fit
from pipeline.core.model.predict import components, predict
from pipeline.core.series.row_store import BLOCK_SERIES
from pipeline.folder.run import forecast_files
from tests.conftest import daily_series
from tests.made_series import CASES, dates, extras_for, histories, sales

WriteCsv = Callable[..., Path]


@pytest.mark.parametrize("case", [name for name in CASES if name != "stiff"])
def test_a_fitted_series_is_a_prophet_object_and_back(case: str) -> None:
    spec = ForecastSpec(**CASES[case], components=True)
    n, h = 800, 400
    ds, future = np.split(dates("2021-12-01", n + h, "D"), [n])
    extras = {name: extras_for(n + h)[name] for name in spec.extra_columns()}
    past, ahead = ({name: column[part] for name, column in extras.items()} for part in (slice(n), slice(n, None)))
    y = sales(n)
    fitted = fit(histories((ds, y), **{name: [column] for name, column in past.items()}), spec)[0]
    here = {name: column[None] for name, column in ahead.items()}
    ours = predict(fitted, future[None], here)
    parts = components(fitted, ours, future[None], here)

    text = model_to_json(to_prophet(fitted, 0, ds, y, past))
    model = model_from_json(text)
    frame = pd.DataFrame({"ds": future.astype("datetime64[us]"), **ahead})
    for name, option in (("cap", spec.cap), ("floor", spec.floor)):
        if isinstance(option, float):
            frame[name] = option
        elif option is not None:
            frame[name] = frame.pop(option)
    if "promo" in frame:
        frame["promo"] = frame["promo"] != 0 if spec.seasonalities else frame["promo"]
    model.uncertainty_samples = 0
    theirs = model.predict(frame)
    np.testing.assert_allclose(theirs["yhat"], ours.yhat[0], rtol=1e-9)
    assert set(parts) <= set(spec.component_names)
    for name, values in parts.items():
        np.testing.assert_allclose(theirs[name], values[0], rtol=1e-8, atol=1e-9, err_msg=name)

    back = from_prophet_json(text)
    options = {"cap": spec.cap, "floor": spec.floor}
    again = predict(fitted_with(back, options), future[None], here)
    np.testing.assert_allclose(again.yhat, ours.yhat, rtol=1e-9)


def fitted_with(fitted: Any, options: dict[str, Any]) -> Any:
    return dataclasses.replace(fitted, spec=fitted.spec.model_copy(update=options))


def stores(*names: str) -> str:
    lines = [
        f"{name},{line}"
        for seed, name in enumerate(names)
        for line in daily_series(30, seed=seed, header="").splitlines()
        if line
    ]
    return "store,date,y\n" + "\n".join(lines) + "\n"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("series", [1, BLOCK_SERIES["native"] + 44])
def test_forecasts_from_saved_models_are_those_of_the_fit(
    series: int, write_csv: WriteCsv, make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    if series == 1:
        write_csv("in/a.csv", daily_series(60))
    else:
        write_csv("in/a.csv", stores(*(f"s{number}" for number in range(series))))
    models = tmp_path / "models"
    assert forecast_files(make_settings(save_models=str(models), output=str(tmp_path / "one"))).exit_code == 0
    kept = sorted(path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file())
    assert kept == (
        ["a.csv.model.json"] if series == 1 else ["a.csv.models/part-000000.arrow", "a.csv.models/part-000001.arrow"]
    )
    assert forecast_files(make_settings(models=str(models), output=str(tmp_path / "two"))).exit_code == 0
    first, second = (rows(tmp_path / name / "a.csv") for name in ("one", "two"))
    assert len(first) == len(second) == series * 28
    for a, b in zip(first, second, strict=True):
        for name in ("prediction", "prediction_lower", "prediction_upper"):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-9)


def test_a_model_that_a_prophet_script_wrote_forecasts_as_prophet_does(
    write_csv: WriteCsv, make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    path = write_csv("in/a.csv", daily_series(90))
    frame = pd.read_csv(path).set_axis(["ds", "y"], axis=1)
    model = Prophet(uncertainty_samples=0).fit(frame)
    expected = model.predict(model.make_future_dataframe(28, include_history=False))
    (tmp_path / "my.json").write_text(model_to_json(model))
    outcome = forecast_files(make_settings(models=str(tmp_path / "my.json")))
    assert outcome.exit_code == 0, outcome.letters
    found = [float(row["prediction"]) for row in rows(tmp_path / "out/a.csv")]
    np.testing.assert_allclose(found, expected["yhat"], rtol=1e-9)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"growth": "linear"}', '{"growth": 3}', "[" * 100_000])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(RecordError) as refusal:
        from_prophet_json(text)
    assert refusal.value.code == "BAD_MODEL"


def test_a_model_with_other_numbers_of_coefficients_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=40), "y": sales(40)})
    model = json.loads(model_to_json(Prophet(uncertainty_samples=0).fit(frame)))
    for change in ({"beta": [[1.0]]}, {"k": [[1.0], [2.0]]}, {"k": [[None]]}, {"delta": [[]]}):
        broken = {**model, "params": {**model["params"], **change}}
        with pytest.raises(RecordError) as refusal:
            from_prophet_json(json.dumps(broken))
        assert refusal.value.code == "BAD_MODEL"


ABSURD = [("k", 1e300), ("delta", 1e308), ("y_scale", 1e200), ("start", 1e300), ("t_scale", 1e300), ("beta", 1e155),
          ("changepoints_t", 1e300), ("sigma_obs", 1e300), ("start", -1e300),
          ("holidays_prior_scale", 1e300)]  # fmt: skip


@pytest.mark.parametrize(("name", "number"), ABSURD)
def test_a_model_with_absurd_numbers_is_refused(
    name: str, number: float, tmp_path: Path, write_csv: Callable[..., Path], make_settings: Callable[..., Any]
) -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0)})
    model = json.loads(model_to_json(Prophet(holidays_prior_scale=9.0).fit(frame)))

    def replaced(value: Any) -> Any:
        return [replaced(part) for part in value] if isinstance(value, list) else number

    place = model["params"] if name in model["params"] else model
    place[name] = replaced(place[name])
    path = tmp_path / "model.json"
    path.write_text(json.dumps(model))
    with pytest.raises(RecordError) as refused:
        from_prophet_json(path.read_text())
    assert refused.value.code == "BAD_MODEL"
    write_csv("in/a.csv")
    outcome = forecast_files(make_settings(models=str(path)))
    assert [letter.code for letter in outcome.letters] == ["BAD_MODEL"]


def test_a_file_that_is_no_text_is_no_model(
    tmp_path: Path, write_csv: Callable[..., Path], make_settings: Callable[..., Any]
) -> None:
    (tmp_path / "model.json").write_bytes(b"\xff\xfe\x00")
    write_csv("in/a.csv")
    outcome = forecast_files(make_settings(models=str(tmp_path / "model.json")))
    assert [letter.code for letter in outcome.letters] == ["BAD_MODEL"]


def test_series_without_a_model_are_dead_letters(
    write_csv: WriteCsv, make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    write_csv("in/a.csv", stores("x", "y"))
    models = tmp_path / "models"
    forecast_files(make_settings(save_models=str(models)))
    write_csv("in/a.csv", stores("x", "z"))
    outcome = forecast_files(make_settings(models=str(models)))
    assert [(letter.code, letter.series_id) for letter in outcome.letters] == [("BAD_MODEL", "z")]
    for path in (models / "a.csv.models").iterdir():
        path.write_bytes(b"nonsense")
    outcome = forecast_files(make_settings(models=str(models)))
    assert {letter.code for letter in outcome.letters} == {"NOTHING_FORECAST", "BAD_MODEL"}


def test_a_manifest_may_not_choose_where_models_lie(
    write_csv: WriteCsv, make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    write_csv("in/a.csv", daily_series(30))
    write_csv("in/a.manifest.json", json.dumps({"input": "a.csv", "save_models": "/tmp/elsewhere"}))
    outcome = forecast_files(make_settings())
    assert [letter.code for letter in outcome.letters] == ["BAD_MANIFEST"]
