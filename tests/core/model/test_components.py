"""Components in the CSV, in the table and in pictures; what falls back to another engine."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.commands import plot
from pipeline.folder.query import connect
from pipeline.folder.run import forecast_files
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]
MakeSettings = Callable[..., Any]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("engine", ["native", "stan"])
def test_components_add_up_to_the_forecast(
    engine: str, write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv("in/a.csv", daily_series(90))
    settings = make_settings(components="true", country_holidays="US", engine=engine, level="80,95")
    assert forecast_files(settings).exit_code == 0
    found = rows(tmp_path / "out/a.csv")
    assert list(found[0])[-5:] == ["trend", "yearly", "weekly", "daily", "holidays"]
    assert {row["yearly"] for row in found} == {""}  # too short for a yearly season
    for row in found:
        total = sum(float(row[name]) for name in ("trend", "weekly", "holidays"))
        assert total == pytest.approx(float(row["prediction"]), rel=1e-9)
    table = connect(tmp_path / "out").sql("SELECT components, forecast_value FROM latest_forecasts").fetchall()
    assert len(table) == 2 * 28
    for text, value in table:
        parts = json.loads(text)
        assert parts["yearly"] is None
        assert parts["trend"] + parts["weekly"] + parts["holidays"] == pytest.approx(value, rel=1e-9)


def test_a_component_gives_way_to_a_column_of_the_same_name(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    lines = daily_series(60, header="").splitlines()[1:]
    write_csv("in/a.csv", "trend,date,y\n" + "".join(f"up,{line}\n" for line in lines))
    assert forecast_files(make_settings(components="true", id_columns="trend")).exit_code == 0
    found = rows(tmp_path / "out/a.csv")
    assert found[0]["trend"] == "up"
    assert float(found[0]["component_trend"]) > 0


def test_without_the_option_there_are_none(write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path) -> None:
    write_csv("in/a.csv", daily_series(60))
    forecast_files(make_settings())
    assert list(rows(tmp_path / "out/a.csv")[0])[-1] == "prediction_upper"
    assert connect(tmp_path / "out").sql("SELECT DISTINCT components FROM latest_forecasts").fetchall() == [(None,)]


def test_a_picture_has_a_panel_for_each_component(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    history = write_csv("in/a.csv", daily_series(60))
    heights = []
    for components in ("false", "true"):
        forecast_files(make_settings(components=components, output=f"out-{components}"))
        target = tmp_path / f"{components}.svg"
        assert plot.main([str(history), str(tmp_path / f"out-{components}/a.csv"), f"--save={target}"]) == 0
        heights.append(target.read_text().count('id="axes_'))
    assert heights == [1, 3]  # trend and week


def test_what_native_does_not_cover_stan_does_and_the_receipt_says_so(
    write_csv: WriteCsv, make_settings: MakeSettings, tmp_path: Path
) -> None:
    write_csv("in/a.csv", daily_series(30))
    outcome = forecast_files(make_settings(mcmc_samples="20", horizon="3"))
    receipt = outcome.receipts[0]
    assert receipt.model.startswith("stan prophet")
    assert "mcmc_samples" in receipt.notes
    assert np.isfinite([float(row["prediction"]) for row in rows(tmp_path / "out/a.csv")]).all()
