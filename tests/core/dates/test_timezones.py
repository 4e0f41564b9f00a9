"""Time zones: identity and hours in UTC, days and seasons on the clock on the wall."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import dropcast
from pipeline.core.dates.timezones import utc_of_wall, wall_of_utc, without_marks, zone_named
from pipeline.core.engines.native import NativeEngine
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import csv_rows
from pipeline.core.series.arrow_lists import lists_of
from pipeline.core.series.load import LoadedFile, load_file

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "UTC"]
HOURS = pd.date_range("2023-09-15", "2024-06-15", freq="h", tz="Europe/Berlin", inclusive="left")


def loaded(text: str, tmp_path: Path, **options: object) -> LoadedFile:
    return load_file(io.BytesIO(text.encode()), ForecastSpec(**{"horizon": 48, **options}), Limits(), tmp_path)


def forecast_lines(csv: LoadedFile) -> list[str]:
    """Return the rows of the forecast CSV."""
    (batch,) = csv.batches()
    fault = batch.column("fault")[0].as_py()
    assert fault is None, RecordError.from_json(fault)
    found = NativeEngine().forecast(batch, (), csv.spec, Limits())
    return csv_rows(found, csv.layout, csv.spec).decode().splitlines()


@given(
    seconds=st.lists(st.integers(0, 2_500_000_000), min_size=1, max_size=30, unique=True), name=st.sampled_from(ZONES)
)
def test_a_clock_tells_every_date_apart(seconds: list[int], name: str) -> None:
    utc, zone = np.array(sorted(seconds)) * 1_000_000, zone_named(name)
    wall = wall_of_utc(utc, zone)
    assert utc_of_wall(wall, zone).tolist() == utc.tolist()
    assert len(set(wall.tolist())) == len(utc)
    shown = pd.DatetimeIndex(utc.astype("datetime64[us]"), tz="UTC").tz_convert(name).tz_localize(None)
    assert (without_marks(wall, zone).astype("datetime64[us]") == shown.to_numpy()).all()


def test_hours_follow_the_clock_on_the_wall_when_it_is_changed(tmp_path: Path) -> None:
    history = HOURS[HOURS < "2024-03-31 00:00+01:00"]  # clocks go forward at 2:00
    load = 10 + 5 * ((history.hour >= 8) & (history.hour < 18))
    text = "time,kwh\n" + "".join(f"{t.isoformat()},{y}\n" for t, y in zip(history, load, strict=True))
    options = {"daily_seasonality": 12, "weekly_seasonality": False}
    lines = forecast_lines(loaded(text, tmp_path, timezone="Europe/Berlin", **options))
    assert [line.split(",")[0] for line in lines[:3]] == [
        "2024-03-31T00:00:00+01:00", "2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"]  # fmt: skip
    by_hour = {line.split(",")[0][11:16]: float(line.split(",")[1]) for line in lines[24:]}
    assert by_hour["07:00"] < 12 < 13 < by_hour["08:00"]
    assert by_hour["18:00"] < 12 < 13 < by_hour["17:00"]


def test_an_hour_that_comes_twice_is_two_hours_of_a_zone(tmp_path: Path) -> None:
    history = HOURS[HOURS < "2023-11-01 00:00+01:00"]
    text = "time,kwh\n" + "".join(f"{t:%Y-%m-%d %H:%M},{t.hour + t.fold / 10}\n" for t in history)
    with pytest.raises(AssertionError, match="appears again"):
        forecast_lines(loaded(text, tmp_path))
    csv = loaded(text, tmp_path, timezone="Europe/Berlin")
    (batch,) = csv.batches()
    ds, y = lists_of(batch, "ds")[0], lists_of(batch, "y")[0]
    assert len(ds) == len(history)
    utc = csv.layout.style.to_utc(ds.astype(np.int64))
    expected = history.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    assert utc.tolist() == expected.tolist()
    twice = y[(ds.astype(np.int64) // 3_600_000_000) == np.datetime64("2023-10-29T02", "h").astype(int)]
    assert twice.tolist() == [2.0, 2.1]
    assert forecast_lines(csv)[0].startswith("2023-11-01 00:00,")


@pytest.mark.parametrize("minutes", [15, 30])
def test_quarters_of_an_hour_that_come_twice_stay_in_order(minutes: int, tmp_path: Path) -> None:
    times = pd.date_range("2023-10-20", "2023-11-02", freq=f"{minutes}min", tz="Europe/Berlin", inclusive="left")
    text = "time,y\n" + "".join(f"{t.isoformat()},{i % 9}\n" for i, t in enumerate(times))
    lines = forecast_lines(loaded(text, tmp_path, timezone="Europe/Berlin"))
    assert lines[0].startswith("2023-11-02T00:00:00+01:00,")
    assert len(lines) == 48


@pytest.mark.parametrize(
    ("frequency", "name"), [("D", "D"), ("MS", "MS"), ("W-MON", "W-MON")], ids=["days", "months", "weeks"]
)
def test_days_and_longer_are_those_of_the_wall_clock(frequency: str, name: str, tmp_path: Path) -> None:
    times = pd.date_range("2021-09-27", periods=60, freq=frequency, tz="Europe/Berlin")
    text = "date,y\n" + "".join(f"{t.isoformat()},{i % 5}\n" for i, t in enumerate(times))
    following = pd.date_range(times[-1], periods=49, freq=frequency)[1:]
    for options, expected in (
        ({"timezone": "Europe/Berlin"}, [t.isoformat() for t in following]),
        ({}, [(t.tz_localize(None) - times[-1].utcoffset()).isoformat() + "Z" for t in following]),
    ):
        csv = loaded(text, tmp_path, **options)
        assert [line.split(",")[0] for line in forecast_lines(csv)] == expected
        (batch,) = csv.batches()
        assert batch.column("frequency").to_pylist() == [name]
        assert not (lists_of(batch, "ds")[0].astype(np.int64) % 86_400_000_000).any()  # so that no daily season is on
        assert ("several UTC offsets" in "".join(csv.layout.notes)) == (not options)


def test_dates_in_utc_are_forecast_on_the_clock_of_a_zone(tmp_path: Path) -> None:
    times = pd.date_range("2023-01-01", periods=60, freq="D", tz="America/New_York").tz_convert("UTC")
    text = "date,y\n" + "".join(f"{t:%Y-%m-%dT%H:%M:%SZ},{i % 5}\n" for i, t in enumerate(times))
    lines = forecast_lines(loaded(text, tmp_path, timezone="America/New_York"))
    assert [line.split(",")[0] for line in lines[:1]] == ["2023-03-02T00:00:00-05:00"]
    assert lines[20].startswith("2023-03-22T00:00:00-04:00,")


def test_offsets_of_several_countries_are_not_taken_for_one_clock(tmp_path: Path) -> None:
    zones = {"Berlin": "Europe/Berlin", "New York": "America/New_York"}
    rows = [
        f"{name},{month.isoformat()},{i}"
        for name, zone in zones.items()
        for i, month in enumerate(pd.date_range("2024-01-01", periods=12, freq="MS", tz=zone))
    ]  # fmt: skip
    csv = loaded("store,date,y\n" + "\n".join(rows) + "\n", tmp_path)
    (batch,) = csv.batches()
    hints = {RecordError.from_json(fault).hint for fault in batch.column("fault").to_pylist()}
    assert hints == {"Use --timezone=Europe/Berlin, or whichever time zone it is."}


def test_an_offset_that_a_format_names_comes_back(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=40).strftime("%d.%m.%Y 00:00 +0100")
    text = "date,y\n" + "".join(f"{day},{i % 5}\n" for i, day in enumerate(days))
    lines = forecast_lines(loaded(text, tmp_path, date_format="%d.%m.%Y %H:%M %z"))
    assert lines[0].startswith("10.02.2024 00:00 +0100,")


def test_days_whose_format_names_the_offsets_of_summer_and_winter_are_days(tmp_path: Path) -> None:
    times = pd.date_range("2021-09-27", periods=60, tz="Europe/Berlin")
    assert times[0].utcoffset() != times[-1].utcoffset()
    text = "date,y\n" + "".join(f"{t:%d.%m.%Y %H:%M %z},{i % 5}\n" for i, t in enumerate(times))
    csv = loaded(text, tmp_path, date_format="%d.%m.%Y %H:%M %z")
    (batch,) = csv.batches()
    assert batch.column("frequency").to_pylist() == ["D"]
    shown = lists_of(batch, "ds")[0].astype("datetime64[us]").astype("datetime64[s]").astype(str).tolist()
    assert shown == [f"{t:%Y-%m-%dT00:00:00}" for t in times]
    assert forecast_lines(csv)[0].startswith("25.11.2021 23:00 +0000,")


def test_a_frame_in_a_zone_has_its_seasons_on_that_clock() -> None:
    history = HOURS[HOURS < "2024-03-31 00:00+01:00"]
    frame = pd.DataFrame({"ds": history, "y": 10.0 + 5 * ((history.hour >= 8) & (history.hour < 18))})
    found = dropcast.forecast(frame, 48, daily_seasonality=12, weekly_seasonality=False)
    assert found.ds.dtype == frame.ds.dtype
    assert (found.ds.diff().dropna() == pd.Timedelta(hours=1)).all()
    hours = found.iloc[24:].set_index(found.ds.iloc[24:].dt.hour).yhat
    assert hours[7] < 12 < 13 < hours[8]


def test_a_frame_without_a_zone_takes_the_one_that_is_named() -> None:
    naive = HOURS[HOURS < "2023-11-01 00:00+01:00"].tz_localize(None)
    frame = pd.DataFrame({"ds": naive, "y": np.arange(len(naive)) % 24.0})
    found = dropcast.forecast(frame, 3, timezone="Europe/Berlin")
    assert found.ds.tolist() == [pd.Timestamp(f"2023-11-01 0{hour}:00") for hour in range(3)]


@pytest.mark.parametrize("name", ["Berlin", "../../etc/passwd", "/etc/passwd", "europe/berlin", "CEST", ""])
def test_a_zone_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ForecastSpec(timezone=name)
