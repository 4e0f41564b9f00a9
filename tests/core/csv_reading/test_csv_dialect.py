"""A forecast is written as its source is, and recognised again."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import forecast, plot
from pipeline.core.csv_reading.dialect import CsvDialect, header_of_forecast
from pipeline.core.dates.date_style import DateStyle
from pipeline.core.engines.native import NativeEngine
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import csv_header, csv_rows, forecast_header, read_forecast_csv
from pipeline.core.series.layout import Layout
from pipeline.core.series.load import load_file

MARKS = [",", ";", "\t", "|", "^"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]
# a delimiter that is the decimal mark, too, needs quotes around each number
DIALECTS = [*itertools.product(MARKS, [".", ","], ENCODINGS)]


@pytest.mark.parametrize(("mark", "decimal", "encoding"), DIALECTS)
def test_a_forecast_has_the_dialect_of_its_source(mark: str, decimal: str, encoding: str, tmp_path: Path) -> None:
    number = '"{}"' if decimal == mark else "{}"
    rows = [
        mark.join([store, f"2024-01-{day:02d}", number.format(f"{day % 7}.{day}".replace(".", decimal))])
        for store in ("Süd", "Nörd") for day in range(1, 29)
    ]  # fmt: skip
    source = CsvDialect(mark, decimal, encoding).encoded("\n".join([f"store{mark}date{mark}y", *rows, ""]), start=True)
    options = {"delimiter": mark, "decimal": decimal, "encoding": encoding.removesuffix("-sig")}
    spec = ForecastSpec(horizon=3, score=False, **options)
    loaded = load_file(io.BytesIO(source), spec, Limits(), tmp_path)
    assert loaded.layout.dialect == CsvDialect(mark, decimal, encoding)
    layout = Layout.from_json(loaded.layout.to_json())
    (batch,) = loaded.batches()
    forecasts = NativeEngine().forecast(batch, (), spec, Limits())
    written = csv_header(layout, spec) + csv_rows(forecasts, layout, spec)
    path = tmp_path / "forecast.csv"
    path.write_bytes(written)
    found = forecast_header(path)
    assert found is not None
    assert found[0] == ["store", "date", "prediction", "prediction_lower", "prediction_upper"]
    read = read_forecast_csv(path, ("store",), "y", spec)
    assert list(read) == ["Süd", "Nörd"]
    expected = np.asarray(forecasts.column("yhat").flatten())
    np.testing.assert_array_equal(np.concatenate([one["prediction"] for one in read.values()]), expected)


@given(
    ids=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), max_size=3),
    mark=st.sampled_from(MARKS),
    level=st.booleans(),
)
def test_a_header_of_ours_is_recognised_whatever_the_ids_are_called(ids: list[str], mark: str, level: bool) -> None:
    layout = Layout(tuple(ids), "y", DateStyle("date"), (), dialect=CsvDialect(mark))
    header = csv_header(layout, ForecastSpec(level=(80, 95) if level else (80,)))
    found = header_of_forecast(header)
    assert found is not None
    assert found[1].delimiter == mark


@pytest.mark.parametrize("content", [b"", b"date,y\n2024-01-01,1\n", b"\xff\xfe", b"\0\0", b'"', b"prediction,date\n"])
def test_other_files_are_no_forecasts(content: bytes) -> None:
    assert header_of_forecast(content) is None


def test_a_rerun_knows_its_own_forecast_in_the_dialect_of_a_german_spreadsheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{day:02d}.01.2024;{day % 7},5\n" for day in range(1, 29))
    Path("umsatz.csv").write_bytes(("\ufeffDatum;Umsatz\n" + rows).encode())
    for _ in range(2):
        assert forecast.main(["umsatz.csv", "--date_format=%d.%m.%Y", "--horizon=2"]) == 0
        lines = Path("forecasts/umsatz.csv").read_bytes().decode("utf-8-sig").splitlines()
        assert lines[0] == "date;prediction;prediction_lower;prediction_upper"
        assert lines[1].startswith("29.01.2024;")
        assert len(lines[1].split(";")) == 4
    assert plot.main(["umsatz.csv", "--date_format=%d.%m.%Y", "--horizon=2"]) == 0
