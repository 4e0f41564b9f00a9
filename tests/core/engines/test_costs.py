"""A request's cost is bounded whoever sends it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.engines import native as native_engine
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.fit_cost import MAX_DESIGN_NUMBERS, WATCHED_SECONDS, estimated_seconds
from pipeline.core.engines.forecast_batch import forecast_block
from pipeline.core.errors import LONGEST_MESSAGE, RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.model.design.structure import seasonalities_of
from pipeline.core.requests.local_files import manifest_fields
from pipeline.core.series.load import load_file
from pipeline.core.spec_limits import DEFAULT_ORDERS, features_of, outputs_of, refuse_costly
from pipeline.options import OptionsError
from pipeline.runs import run_from
from tests.conftest import daily_series


def code_of(spec: ForecastSpec, **limits: int) -> str:
    refused = refuse_costly(spec, Limits(**limits))
    return "" if refused is None else refused.code


def test_each_cost_has_its_limit_and_the_limit_itself_is_allowed() -> None:
    spec = ForecastSpec(horizon=100, level="50,80,95", components=True, yearly_seasonality=7)
    features, outputs = features_of(spec), outputs_of(spec)
    assert features == 2 + 25 + 2 * (7 + 3 + 4)
    assert outputs == 100 * (1 + 2 * 3 + 4)
    assert code_of(spec, max_features=features, max_outputs=outputs, max_levels=3) == ""
    assert code_of(spec, max_features=features - 1) == "TOO_MANY_FEATURES"
    assert code_of(spec, max_outputs=outputs - 1) == "FORECAST_TOO_LARGE"
    assert code_of(spec, max_levels=2) == "TOO_MANY_LEVELS"


def test_holidays_count_with_their_windows_and_changepoints_as_they_are_given() -> None:
    bare = features_of(ForecastSpec(n_changepoints=0))
    sale = {"holiday": "sale", "ds": ["2024-01-01"], "lower_window": -300, "upper_window": 66}
    assert features_of(ForecastSpec(n_changepoints=0, holidays=[sale])) == bare + 367
    assert features_of(ForecastSpec(changepoints=["2024-01-01", "2024-02-01"])) == bare + 2
    assert code_of(ForecastSpec(holidays=[{**sale, "holiday": f"h{i}"} for i in range(3)])) == "TOO_MANY_FEATURES"


def test_orders_are_those_of_the_model() -> None:
    everything = seasonalities_of(ForecastSpec(), 10**18, 1)
    assert {s.name: s.fourier_order for s in everything} == DEFAULT_ORDERS


@pytest.mark.parametrize(
    "fields",
    [{"seasonalities": [{"name": f"s{i}", "period": 30.5, "fourier_order": 1000} for i in range(60)]},
     {"yearly_seasonality": 1000}, {"level": list(range(1, 99))}, {"horizon": 100_000, "level": list(range(1, 20))}],
    ids=["seasonalities", "order", "levels", "horizon"],
)  # fmt: skip
def test_a_manifest_cannot_exceed_the_operators_limits(fields: dict[str, object]) -> None:
    manifest = manifest_fields(json.dumps({"input": "a.csv", **fields}).encode(), ForecastSpec())
    spec = ForecastSpec(**manifest.model_dump(exclude={"id", "input", "output", "generation"}, exclude_unset=True))
    assert code_of(spec)


def test_options_of_the_operator_are_held_against_the_limits_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(daily_series())
    given = {"output": str(tmp_path / "out"), "yearly_seasonality": "900"}
    with pytest.raises(OptionsError, match="max_features"):
        run_from(given, [str(tmp_path / "a.csv")])
    assert run_from({**given, "max_features": "3000"}, [str(tmp_path / "a.csv")])


def test_an_id_has_a_length(tmp_path: Path) -> None:
    text = "id,ds,y\n" + "".join(f"{'a' * 20},2024-01-{day:02d},{day}\n" for day in range(1, 20))
    assert load_file(io.BytesIO(text.encode()), ForecastSpec(), Limits(max_id_length=20), tmp_path).ids
    with pytest.raises(RecordError) as refused:
        load_file(io.BytesIO(text.encode()), ForecastSpec(), Limits(max_id_length=19), tmp_path)
    assert (refused.value.code, refused.value.column) == ("ID_TOO_LONG", "id")


def test_a_file_has_so_many_rows_of_forecast(tmp_path: Path) -> None:
    text = "id,ds,y\n" + "".join(f"{name},2024-01-{day:02d},{day}\n" for name in "abc" for day in range(1, 20))
    spec = ForecastSpec(horizon=10, level="50,80")
    assert load_file(io.BytesIO(text.encode()), spec, Limits(max_forecast_rows=60), tmp_path).ids
    with pytest.raises(RecordError) as refused:
        load_file(io.BytesIO(text.encode()), spec, Limits(max_forecast_rows=59), tmp_path)
    assert refused.value.code == "FORECAST_TOO_LARGE"


def test_a_manifest_of_many_fields_is_refused_in_few_words() -> None:
    fields = ", ".join(f'"field{i}":1' for i in range(60_000))
    with pytest.raises(RecordError) as refused:
        manifest_fields(f'{{"input": "a.csv", {fields}}}'.encode(), ForecastSpec())
    assert refused.value.code == "BAD_MANIFEST"
    assert "field0" in refused.value.message
    assert len(refused.value.message) <= LONGEST_MESSAGE
    with pytest.raises(RecordError, match="'field7' appears twice"):
        manifest_fields(f'{{"input": "a.csv", {fields}, "field7": 1}}'.encode(), ForecastSpec())


def test_what_a_refusal_quotes_is_bounded() -> None:
    error = RecordError("BAD_DATE", "m" * 10**6, "h" * 10**6, column="c" * 10**6, found="f" * 10**6)
    assert len(error.to_json()) < 3 * LONGEST_MESSAGE
    with pytest.raises(RecordError) as refused:
        manifest_fields(json.dumps({"input": "a.csv", "horizon": "9" * 900_000}).encode(), ForecastSpec())
    assert len(refused.value.message) <= LONGEST_MESSAGE


def series(tmp_path: Path, names: str = "ab", rows: int = 60) -> object:
    lines = [f"{name},{line}" for name in names for line in daily_series(rows).splitlines()[1:]]
    text = "id,ds,y\n" + "\n".join(lines) + "\n"
    return next(load_file(io.BytesIO(text.encode()), ForecastSpec(horizon=5), Limits(), tmp_path).batches())


def faults(batch: object, spec: ForecastSpec, limits: Limits) -> list[str]:
    found = forecast_block(batch, (), spec, limits, engine_named("native"))  # type: ignore[arg-type]
    return ["" if text is None else json.loads(text)["code"] for text in found.column("fault").to_pylist()]


def test_a_fit_that_would_take_too_long_is_refused_for_that_series_alone(tmp_path: Path) -> None:
    lines = [f"long,{line}" for line in daily_series(2000).splitlines()[1:]]
    lines += [f"short,{line}" for line in daily_series(60).splitlines()[1:]]
    text = "id,ds,y\n" + "\n".join(lines) + "\n"
    spec = ForecastSpec(horizon=5)
    batch = next(load_file(io.BytesIO(text.encode()), spec, Limits(), tmp_path).batches())
    long, short = estimated_seconds(np.array([2000, 60]), spec)
    assert short < long
    assert faults(batch, spec, Limits(max_fit_seconds=(short + long) / 2)) == ["FIT_TIMEOUT", ""]
    assert faults(batch, spec, Limits(max_fit_seconds=long)) == ["", ""]


def test_a_fit_that_takes_seconds_is_done_in_a_child_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, spec, limits = series(tmp_path), ForecastSpec(horizon=5), Limits()
    here = forecast_block(batch, (), spec, limits, engine_named("native"))  # type: ignore[arg-type]
    asked: list[float] = []
    real = native_engine.in_child

    def counted(*arguments: object, seconds: float) -> object:
        asked.append(seconds)
        return real(*arguments, seconds=seconds)  # type: ignore[arg-type]

    monkeypatch.setattr(native_engine, "in_child", counted)
    monkeypatch.setattr(native_engine, "WATCHED_SECONDS", 0.0)
    assert forecast_block(batch, (), spec, limits, engine_named("native")).equals(here)  # type: ignore[arg-type]
    assert len(asked) == 4, "each series, and each once more for its score"
    assert min(asked) >= limits.max_fit_seconds


def test_a_fit_that_outlasts_its_time_costs_that_series_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(function: object, one: object, *arguments: object, seconds: float) -> object:
        if one.column("series_id")[0].as_py() == "a":  # type: ignore[attr-defined]
            raise TimeoutError
        return function(one, *arguments)  # type: ignore[operator]

    monkeypatch.setattr(native_engine, "in_child", slow)
    monkeypatch.setattr(native_engine, "WATCHED_SECONDS", 0.0)
    assert faults(series(tmp_path), ForecastSpec(horizon=5), Limits()) == ["FIT_TIMEOUT", ""]


def test_the_usual_fit_is_far_from_being_watched() -> None:
    for spec in (ForecastSpec(), ForecastSpec(seasonality_mode="multiplicative", country_holidays="US")):
        assert estimated_seconds(np.array([7300]), spec)[0] < WATCHED_SECONDS


def test_a_design_that_memory_may_not_hold_is_refused(tmp_path: Path) -> None:
    spec = ForecastSpec(horizon=90_000, yearly_seasonality=400, score=False)
    limits = Limits(max_features=5000, max_outputs=10**8, max_fit_seconds=86_400)
    features = features_of(spec)
    assert MAX_DESIGN_NUMBERS // features < 300_000
    lines = "".join(f"{np.datetime64('1900-01-01T00') + np.timedelta64(i, 'h')},{i % 24}\n" for i in range(150_000))
    batch = next(load_file(io.BytesIO(f"ds,y\n{lines}".encode()), spec, limits, tmp_path).batches())
    assert faults(batch, spec, limits) == ["TOO_MANY_FEATURES"]
