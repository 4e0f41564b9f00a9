from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv

import dropcast
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import forecast_block
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows
from pipeline.core.outputs.forecast_frame import forecast_frame
from pipeline.core.series.load import load_file
from tests.conftest import daily_series

STORES = "unique_id,ds,y\n" + "".join(
    f"{store},{line}\n" for store in "ba" for line in daily_series(60, seed=ord(store)).splitlines()[1:]
)


def framed(content: str, names: str, as_text: bool = False, **options: Any) -> tuple[pa.Table, bytes]:
    """Return the forecast as a frame and as a CSV."""
    spec, limits = ForecastSpec(**{"horizon": 4, **options}), Limits()
    loaded = load_file(io.BytesIO(content.encode()), spec, limits, Path("/nowhere"))
    (series,) = loaded.batches()
    found = forecast_block(series, loaded.layout.extras, spec, limits, engine_named(spec.solver))
    text = csv_header(loaded.layout, spec) + csv_rows(found, loaded.layout, spec)
    return forecast_frame(found, loaded.layout, spec, names, as_text), text


@pytest.mark.parametrize("options", [{}, {"level": [80, 95], "components": True}, {"quantiles": [0.1, 0.5]},
                                     {"model": "auto"}])  # fmt: skip
def test_it_has_what_the_csv_has(options: dict[str, Any]) -> None:
    frame, text = framed(STORES, "csv", as_text=True, **options)
    types = dict(zip(frame.schema.names, frame.schema.types, strict=True))
    expected = csv.read_csv(io.BytesIO(text), convert_options=csv.ConvertOptions(column_types=types))
    assert frame.num_rows == 8
    assert frame.equals(expected)


def test_names_are_those_of_the_library() -> None:
    data = pd.read_csv(io.StringIO(STORES), parse_dates=["ds"])
    for names, own in (("nixtla", data), ("prophet", data[data["unique_id"] == "a"].drop(columns="unique_id"))):
        for options in ({}, {"level": [80, 95]}, {"quantiles": [0.1, 0.9], "components": True}):
            expected = dropcast.forecast(own, horizon=4, **options)
            frame, _ = framed(own.to_csv(index=False), names, **options)
            pd.testing.assert_frame_equal(
                frame.to_pandas(), expected, check_dtype=False, check_index_type=False, check_exact=True
            )


def test_dates_are_instants_where_the_file_says_so() -> None:
    hours = pd.date_range("2026-01-01", periods=100, freq="h").strftime("%Y-%m-%dT%H:%M:%S+01:00")
    content = pd.DataFrame({"ds": hours, "y": np.arange(100.0) % 24}).to_csv(index=False)
    frame, text = framed(content, "csv")
    assert frame.schema.field("date").type == pa.timestamp("us", "UTC")
    assert str(frame.column("date")[0]) == "2026-01-05 03:00:00+00:00"
    assert text.splitlines()[1].startswith(b"2026-01-05T04:00:00+01:00")
    frame, _ = framed(content, "csv", timezone="Europe/Berlin")
    assert frame.schema.field("date").type == pa.timestamp("us", "Europe/Berlin")
    assert str(frame.column("date")[0]) == "2026-01-05 04:00:00+01:00"
    naive, _ = framed(daily_series(60), "csv")
    assert naive.schema.field("date").type == pa.timestamp("us")


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(RecordError, match="two columns 'yhat'") as refused:
        framed(STORES.replace("unique_id", "yhat"), "prophet", id_columns="yhat")
    assert refused.value.code == "RESERVED_COLUMN"
