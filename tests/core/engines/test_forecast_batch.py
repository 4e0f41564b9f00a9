from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.dates.seasons import season_length
from pipeline.core.engines.forecast_batch import Forecasts, forecast_batch, forecast_block
from pipeline.core.engines.score import held_out
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import mase
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows
from pipeline.core.series.arrow_lists import lists_of
from pipeline.core.series.layout import Layout
from pipeline.core.series.load import load_file
from tests.naive_engine import NaiveEngine


def loaded(text: str, tmp_path: Path, **options: Any) -> tuple[pa.RecordBatch, ForecastSpec, Layout]:
    spec = ForecastSpec(**options)
    csv = load_file(io.BytesIO(text.encode()), spec, Limits(), tmp_path)
    return next(csv.batches()), spec, csv.layout


def rows(values: list[float], series: str = "a") -> str:
    dates = (np.datetime64("2024-01-01") + np.arange(len(values))).astype(str)
    return "".join(f"{series},{d},{v}\n" for d, v in zip(dates, values, strict=True))


HEAD = "store,date,y\n"


def test_bounds_hold_for_forecast_and_interval(tmp_path: Path) -> None:
    batch, spec, _ = loaded(HEAD + rows([0.1] * 20), tmp_path, forecast_lower_bound=0, forecast_upper_bound=0.5)
    forecasts = NaiveEngine().forecast(batch, (), spec, Limits())
    assert lists_of(forecasts, "lower_0")[0].min() == 0
    assert lists_of(forecasts, "upper_0")[0].max() == 0.5


def test_a_forecast_that_is_not_finite_is_a_fault(tmp_path: Path) -> None:
    batch, spec, _ = loaded(HEAD + rows([1.0] * 20), tmp_path)
    forecasts = forecast_batch(batch, Forecasts.empty(1, spec), {}, spec)
    fault = RecordError.from_json(forecasts.column("fault")[0].as_py())
    assert fault.code == "FIT_FAILED"


def test_one_bad_series_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    text = HEAD + rows([1, 2, 3] * 10) + rows([5.0] * 30, "b").replace("2024-01-07,5.0", "2024-01-07,five")
    batch, spec, layout = loaded(text + rows([7] * 30, "c"), tmp_path)
    forecasts = forecast_block(batch, (), spec, Limits(), NaiveEngine())
    assert forecasts.column("fault").is_valid().to_pylist() == [False, True, False]
    csv = (csv_header(layout, spec) + csv_rows(forecasts, layout, spec)).decode()
    assert csv.splitlines()[0] == "store,date,prediction,prediction_lower,prediction_upper"
    assert {line.split(",")[0] for line in csv.splitlines()[1:]} == {"a", "c"}


def test_a_block_without_a_forecast_has_no_rows(tmp_path: Path) -> None:
    bad = HEAD + rows([5.0] * 20, "a").replace("2024-01-07,5.0", "2024-01-07,five")
    batch, spec, layout = loaded(bad + rows([7], "b"), tmp_path)
    forecasts = forecast_block(batch, (), spec, Limits(), NaiveEngine())
    assert forecasts.column("fault").is_valid().to_pylist() == [True, True]
    assert csv_rows(forecasts, layout, spec) == b""


def test_the_score_is_the_error_of_the_last_horizon_over_that_of_seasonal_naive(tmp_path: Path) -> None:
    values = [float(v) for v in np.tile([1, 2, 3, 4, 5, 6, 7], 8) + np.arange(56)]
    batch, spec, _ = loaded(HEAD + rows(values), tmp_path, horizon=7, score=True)
    forecasts = forecast_block(batch, (), spec, Limits(), NaiveEngine())
    expected = np.mean(np.abs(np.array(values[49:]) - values[48])) / 7.0  # a week's growth is 7
    assert forecasts.column("mase")[0].as_py() == pytest.approx(expected)


def test_what_is_too_short_has_no_score_but_a_forecast(tmp_path: Path) -> None:
    batch, spec, _ = loaded(HEAD + rows([1.0, 2.0] * 10), tmp_path, horizon=15, score=True)
    forecasts = forecast_block(batch, (), spec, Limits(), NaiveEngine())
    assert forecasts.column("mase").to_pylist() == [None]
    assert forecasts.column("fault").to_pylist() == [None]


def test_holding_out_gives_regressors_their_values_on_the_dates_held_out(tmp_path: Path) -> None:
    lines = "".join(f"a,2024-01-{d:02d},{d if d < 25 else ''},{d / 4}\n" for d in range(1, 31))
    batch, _, layout = loaded("store,date,y,temp\n" + lines, tmp_path, horizon=6, regressors="temp")
    shortened, _, actuals, _ = held_out(batch, layout.extras, 6)
    assert actuals[0].tolist() == [19, 20, 21, 22, 23, 24]
    assert lists_of(shortened, "extra_temp")[0].tolist() == [d / 4 for d in range(1, 25)]


@pytest.mark.parametrize(
    ("frequency", "length"),
    [("D", 7), ("B", 5), ("W-SUN", 52), ("2W-MON", 26), ("MS", 12), ("QE", 4), ("YS", 1), ("h", 24), ("15min", 96)],
)
def test_the_season_is_the_one_people_expect(frequency: str, length: int) -> None:
    assert season_length(parse_frequency(frequency)) == length


def test_without_a_scale_there_is_no_score() -> None:
    assert np.isnan(mase(np.ones((1, 3)), np.ones((1, 3)), np.zeros(1))).all()


def test_ids_with_anything_in_them_are_quoted_so_that_they_read_back(tmp_path: Path) -> None:
    import csv as csv_module

    names = ["plain", "a,b", 'say "hi"', "two\nlines", "=1+1", " padded "]
    quoted = "".join(rows([1.0] * 20, '"' + name.replace('"', '""') + '"') for name in names)
    batch, spec, layout = loaded(HEAD + quoted, tmp_path, horizon=1, level="80,97.5")
    forecasts = NaiveEngine().forecast(batch, (), spec, Limits())
    text = (csv_header(layout, spec) + csv_rows(forecasts, layout, spec)).decode()
    read = list(csv_module.DictReader(io.StringIO(text, newline="")))
    assert [row["store"] for row in read] == names
    assert list(read[0]) == [
        "store", "date", "prediction", "prediction_lower_80", "prediction_upper_80", "prediction_lower_97.5",
        "prediction_upper_97.5",
    ]  # fmt: skip
