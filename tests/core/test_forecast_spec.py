from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.request_key import request_key
from pipeline.options import OptionsError, spec_from
from pipeline.runs import run_from


def test_the_key_depends_only_on_what_differs_from_the_defaults() -> None:
    assert ForecastSpec().to_json() == "{}"
    assert ForecastSpec(horizon=28, level="80").to_json() == "{}"
    assert ForecastSpec(horizon=7, level="95,80").to_json() == '{"horizon":7,"level":[80.0,95.0]}'


def test_a_key_once_given_stays() -> None:
    # Written down when the key was first released: changing it would forecast everything anew.
    key = request_key("gs://in/sales.csv", "1700000000000001", "sales.csv", 0, '{"horizon":7}')
    assert key == "4a39cd772ee17a7469681bcc8452f05d"
    assert key != request_key("gs://in/sales.csv", "1700000000000001", "sales.csv", 1, '{"horizon":7}')
    spec = '{"horizon":7,"level":[80.0,95.0]}'
    key = request_key("gs://in/süd.csv", "1700000000000001", "süd.csv", 0, spec)
    assert key == "a8317d78424fc13ae4b49a739450b455"
    turned = '{"level": [80.0, 95.0], "horizon": 7}'
    assert request_key("gs://in/süd.csv", "1700000000000001", "süd.csv", 0, turned) == key


@pytest.mark.parametrize(
    ("given", "value"),
    [("auto", "auto"), ("true", True), ("false", False), ("1", 1), ("20", 20), (10, 10), (True, True)],
)
def test_a_seasonality_is_a_switch_or_an_order_as_in_prophet(given: object, value: object) -> None:
    switch = ForecastSpec(yearly_seasonality=given).yearly_seasonality
    assert (switch, type(switch)) == (value, type(value))


def test_text_from_a_command_line_and_json_from_a_manifest_mean_the_same() -> None:
    text = ForecastSpec(level="80,95", regressors="a,b", id_columns="x, y", growth="logistic", cap="12", floor="low")
    same = {"level": [80, 95], "regressors": [{"name": "a"}, {"name": "b"}], "id_columns": ["x", "y"]}
    assert text == ForecastSpec(**same, growth="logistic", cap=12, floor="low")
    assert ForecastSpec.from_json(text.to_json()) == text
    assert text.extra_columns() == ("a", "b", "low")


def test_regressors_take_json_on_the_command_line() -> None:
    spec = ForecastSpec(regressors='[{"name": "promo", "mode": "multiplicative", "prior_scale": 5}]')
    assert spec.regressors[0].mode == "multiplicative"


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizon": "0"}, {"horizon": "x"},
        {"level": "100"}, {"level": ""}, {"growth": "cubic"}, {"growth": "logistic"},
        {"cap": "5"}, {"growth": "logistic", "cap": "1", "floor": "2"}, {"changepoint_prior_scale": "0"},
        {"forecast_lower_bound": "5", "forecast_upper_bound": "5"}, {"encoding": "rot13"}, {"encoding": "nope"},
        {"delimiter": ";;"}, {"frequency": "sometimes"}, {"date_format": "dd/mm"}, {"country_holidays": "XX"},
        {"regressors": "a,a"}, {"decimal": ",", "thousands": ","}, {"forecast_lower_bound": "nan"},
        {"regressors": "[{"}, {"unknown": 1},
    ],
)  # fmt: skip
def test_an_invalid_spec_cannot_be_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ForecastSpec(**wrong)


def test_all_errors_come_at_once_each_with_its_option() -> None:
    wrong = {"horizon": "0", "level": "x", "growth": "logistic", "max_rows": "1", "frequency": "often"}
    with pytest.raises(OptionsError) as refusal:
        run_from(wrong, [])
    lines = refusal.value.lines
    for option in ("--horizon", "--level", "--frequency", "--max_rows", "--output", "--input"):
        assert sum(line.startswith(f"{option}:") for line in lines) == 1, lines
    assert any("needs cap" in line for line in lines)


def test_right_options_come_without_errors() -> None:
    spec, limits, problems = spec_from({"horizon": "12", "max_rows": "500", "level": None})
    assert (spec.horizon, limits.max_rows, problems) == (12, 500, [])


def test_canonical_json_is_sorted_and_tight() -> None:
    text = ForecastSpec(weekly_seasonality=False, horizon=3).to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
