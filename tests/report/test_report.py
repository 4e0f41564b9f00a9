"""What stands in a report; how it behaves in a browser is tested in tests/browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.commands import report as command
from pipeline.core.engines import auto
from pipeline.core.members.forecast import CombinedForecast
from pipeline.core.members.history import History
from pipeline.folder.query import connect
from pipeline.folder.run import forecast_files
from pipeline.report.page import SERIES_A_BLOCK
from pipeline.runs import FolderRun
from tests.conftest import daily_series

MakeSettings = Callable[..., FolderRun]
WriteCsv = Callable[..., Path]


class Report:
    """A page, taken apart."""

    def __init__(self, page: bytes) -> None:
        self.text = page.decode()
        found = re.search(r'id="summary">(.*?)</script>', self.text, re.DOTALL)
        assert found
        self.summary: dict[str, Any] = json.loads(found[1])
        packed = re.findall(r'id="block-\d+">(.*?)</script>', self.text)
        self.details = [one for block in packed for one in json.loads(gzip.decompress(base64.b64decode(block)))]

    def of(self, name: str) -> dict[str, Any]:
        row = self.summary["series"]["name"].index(name)
        return {**{key: values[row] for key, values in self.summary["series"].items()}, **self.details[row]}


def report(settings: FolderRun, most: int = 1000) -> Report:
    return Report(command.report(str(settings.output), "Sales", most))


def stores(count: int, days: int = 90) -> str:
    lines = [f"{s:03d},{line}" for s in range(count) for line in daily_series(days, seed=s).splitlines()[1:]]
    return "store,date,y\n" + "\n".join(lines) + "\n"


def test_each_series_stands_there_with_what_was_written(make_settings: MakeSettings, write_csv: WriteCsv) -> None:
    path = write_csv("in/stores.csv", stores(3))
    settings = make_settings(level="80,95", horizon="7")
    assert forecast_files(settings).exit_code == 0
    found = report(settings)
    history = pd.read_csv(path, dtype={"store": str})
    forecast = pd.read_csv(settings.output / "stores.csv", dtype={"store": str})
    for store in ("000", "001", "002"):
        one = found.of(store)
        past, ahead = history[history.store == store], forecast[forecast.store == store]
        assert (one["frequency"], one["n"], one["code"], one["cut"]) == ("D", 90, "", 0)
        assert pd.to_datetime(np.cumsum(one["d"]), unit="s").strftime("%F").tolist() == past.date.tolist()
        assert one["y"] == past.y.tolist()
        assert pd.to_datetime(np.cumsum(one["f"]), unit="s").strftime("%F").tolist() == ahead.date.tolist()
        np.testing.assert_allclose(one["p"], ahead.prediction, rtol=1e-5)
        assert [level for level, _, _ in one["i"]] == ["80", "95"]
        np.testing.assert_allclose(one["i"][1][2], ahead.prediction_upper_95, rtol=1e-5)
        assert {name: over for name, over, *_ in one["c"]} == {"trend": "dates", "weekly": "week"}
    assert found.summary["series"]["score"] == sorted(found.summary["series"]["score"], reverse=True)
    assert sum(found.summary["histogram"]) == 3


def test_components_are_those_of_the_forecast(make_settings: MakeSettings, write_csv: WriteCsv) -> None:
    write_csv("in/a.csv", daily_series(800))
    settings = make_settings(components="true", horizon="28", country_holidays="US", seasonality_mode="multiplicative")
    assert forecast_files(settings).exit_code == 0
    forecast = pd.read_csv(settings.output / "a.csv")
    parts = {name: (over, share, x, y) for name, over, share, x, y in report(settings).of("y")["c"]}
    assert {name: (over, share) for name, (over, share, _, _) in parts.items()} == {
        "trend": ("dates", False), "yearly": ("year", True), "weekly": ("week", True), "holidays": ("dates", True),
    }  # fmt: skip
    assert parts["trend"][3][-1] == pytest.approx(forecast.trend.iloc[-1], rel=1e-5)
    weekdays = pd.to_datetime(forecast.date).dt.weekday
    np.testing.assert_allclose(np.array(parts["weekly"][3])[weekdays], forecast.weekly, rtol=2e-5, atol=1e-9)
    np.testing.assert_allclose(parts["holidays"][3], forecast.holidays, rtol=2e-5, atol=1e-9)


def test_past_forecasts_of_auto_are_drawn_and_its_members_named(
    make_settings: MakeSettings, write_csv: WriteCsv
) -> None:
    path = write_csv("in/stores.csv", stores(2))
    settings = make_settings(model="auto", level="80,95", horizon="7")
    assert forecast_files(settings).exit_code == 0
    found, one = report(settings), report(settings).of("000")
    assert sum(weight for _, weight in one["w"]) == pytest.approx(1)
    assert one["w"] == sorted(one["w"], key=lambda named: -named[1])
    history = pd.read_csv(path, dtype={"store": str}).query("store == '000'")
    assert len(one["b"]) == 5
    starts = [pd.to_datetime(dates[0], unit="s").strftime("%F") for dates, _ in one["b"]]
    assert starts == history.date.iloc[[-7, -14, -21, -28, -35]].tolist()
    tables = connect(settings.output)
    rows = tables.sql(
        "SELECT confidence_level, mase, coverage FROM accuracy WHERE series_id = '000' AND model = 'auto' ORDER BY 1"
    ).fetchall()
    cutoffs, error, levels = one["e"]
    assert cutoffs == 5
    assert error == pytest.approx(rows[0][1], rel=1e-4)
    assert levels == [["80", pytest.approx(rows[0][2])], ["95", pytest.approx(rows[1][2])]]
    (score,) = tables.sql("SELECT mase FROM backtests WHERE series_id = '000' AND model = 'auto'"
                          " AND confidence_level = 0.8 ORDER BY cutoff DESC LIMIT 1").fetchall()[0]  # fmt: skip
    assert one["score"] == pytest.approx(score, rel=1e-4), "of the last horizon"
    assert found.summary["files"][0]["model"] == "auto 1"


def test_a_series_that_auto_cannot_forecast_again_is_shown_without_its_past(
    make_settings: MakeSettings, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv("in/stores.csv", stores(2))
    settings = make_settings(model="auto", horizon="7")
    assert forecast_files(settings).exit_code == 0
    real, calls = auto.forecast_series, []

    def broken(history: History, *arguments: Any) -> CombinedForecast:
        calls.append(history)
        if len(calls) == 1:
            raise ZeroDivisionError
        return real(history, *arguments)

    monkeypatch.setattr(auto, "forecast_series", broken)
    found = report(settings)
    assert [bool(found.of(name)["b"]) for name in ("000", "001")] == [False, True]
    assert len(found.of("000")["p"]) == 7


def test_numbers_at_the_end_of_the_range_can_be_drawn(make_settings: MakeSettings, write_csv: WriteCsv) -> None:
    values = {"a": ("1e308", "-1e308", "1.7e308"), "b": ("1", "2", "3")}
    rows = [f"{name},2024-01-{day:02d},{y}\n" for name, own in values.items() for day, y in enumerate(own, 1)]
    write_csv("in/a.csv", "store,date,y\n" + "".join(rows))
    settings = make_settings(frequency="D", horizon="3")
    forecast_files(settings)
    assert len(report(settings).summary["series"]["spark"]) == 2


def test_failed_series_and_files_come_with_their_reasons_and_first(
    make_settings: MakeSettings, write_csv: WriteCsv
) -> None:
    write_csv("in/stores.csv", stores(2) + "short,2024-01-01,1\n")
    write_csv("in/bad.csv", "date,y\n")
    write_csv("in/x.manifest.json", "{")
    settings = make_settings(horizon="7")
    assert forecast_files(settings).exit_code == 3
    found = report(settings)
    assert found.summary["series"]["name"][0] == "short"
    short = found.of("short")
    assert (short["code"], short["n"], short["p"]) == ("TOO_FEW_ROWS", 0, [])
    assert "short" not in short["hint"]
    assert short["hint"]
    assert {file["output"]: file["status"] for file in found.summary["files"]} == {
        "bad.csv": "failed", "stores.csv": "partial",
    }  # fmt: skip
    assert [letter["code"] for letter in found.summary["strays"]] == ["BAD_MANIFEST"]
    assert dict(found.summary["letters"]["codes"]) == {"TOO_FEW_ROWS": 1, "NO_ROWS": 1, "BAD_MANIFEST": 1}


def test_of_too_many_series_the_worst_are_shown(make_settings: MakeSettings, write_csv: WriteCsv) -> None:
    write_csv("in/stores.csv", stores(SERIES_A_BLOCK + 3) + "short,2024-01-01,1\n")
    settings = make_settings(horizon="7")
    forecast_files(settings)
    whole, part = report(settings), report(settings, most=10)
    assert len(whole.details) == SERIES_A_BLOCK + 4
    assert part.summary["series"]["name"] == whole.summary["series"]["name"][:10]
    assert part.details == whole.details[:10]
    assert (part.summary["shown"], part.summary["count"]) == (10, SERIES_A_BLOCK + 4)
    assert part.summary["histogram"] == whole.summary["histogram"]


def test_a_source_that_is_gone_or_another_leaves_the_forecast(make_settings: MakeSettings, write_csv: WriteCsv) -> None:
    gone, other = write_csv("in/gone.csv", stores(2)), write_csv("in/other.csv")
    settings = make_settings(horizon="7")
    forecast_files(settings)
    gone.unlink()
    other.write_text(daily_series(30))
    found = report(settings)
    assert sorted(found.summary["series"]["name"]) == ["000", "001", "other"]
    one = found.of("000")
    assert (one["d"], one["score"], len(one["p"])) == ([], None, 7)
    zipped = write_csv("in/zipped.csv").read_bytes()
    gone = write_csv("in/zipped.csv.gz")
    gone.write_bytes(gzip.compress(zipped))
    (gone.with_suffix("")).unlink()
    comma = write_csv("in/comma.csv", stores(2).replace("store,", '"the, store",', 1))
    forecast_files(make_settings("in/zipped.csv.gz", "in/comma.csv", horizon="7", id_columns='["the, store"]'))
    forecast_files(make_settings("in/zipped.csv.gz", horizon="7"))
    gone.unlink()
    comma.unlink()
    assert report(settings).summary["series"]["name"].count("000") == 2
    assert "zipped" in report(settings).summary["series"]["name"]
    cut = settings.output / "zipped.csv.gz"
    cut.write_bytes(cut.read_bytes()[:40])
    assert "zipped" not in report(settings).summary["series"]["name"]
    (settings.output / "other.csv").unlink()
    for name in ("zipped.csv.gz", "comma.csv"):
        (settings.output / name).unlink()
    assert sorted(report(settings).summary["series"]["name"]) == ["000", "001"]


def test_names_are_text_and_the_page_is_the_same_each_time(make_settings: MakeSettings, write_csv: WriteCsv) -> None:
    evil = "</script><script>alert(1)</script><!--"
    text = stores(2).replace("000,", f'"{evil}",').replace("001,", '"{{CSS}} \u2028",')
    write_csv("in/stores.csv", text)
    settings = make_settings(horizon="7")
    assert forecast_files(settings).exit_code == 0
    pages = [command.report(str(settings.output), f"{evil} {{{{JS}}}}", 100) for _ in range(2)]
    assert pages[0] == pages[1]
    page = pages[0].decode()
    assert "<script>alert(1)" not in page
    assert "<!--" not in page.partition('id="summary"')[2].partition("</script>")[0]
    assert evil in Report(pages[0]).summary["series"]["name"]
    assert page.count("default-src 'none'") == 1


def test_a_long_history_is_cut_where_there_are_many(
    make_settings: MakeSettings, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv("in/stores.csv", stores(2))
    settings = make_settings(horizon="7")
    forecast_files(settings)
    monkeypatch.setattr("pipeline.report.page.POINTS", 140)
    one = report(settings).of("000")
    assert (len(one["d"]), len(one["y"]), one["cut"], one["n"]) == (70, 70, 20, 90)
    assert pd.Timestamp(sum(one["d"]), unit="s") == pd.Timestamp("2024-03-30")


def test_what_stan_has_forecast_is_told_too(make_settings: MakeSettings, write_csv: WriteCsv) -> None:
    write_csv("in/a.csv")
    settings = make_settings(horizon="7", engine="stan")
    assert forecast_files(settings).exit_code == 0
    one = report(settings).of("y")
    assert [name for name, *_ in one["c"]] == ["trend", "weekly"]
    assert one["score"] is not None


def test_the_command(
    make_settings: MakeSettings, write_csv: WriteCsv, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([str(tmp_path / "absent")]) == 2
    assert "forecast something into it first" in capsys.readouterr().err
    write_csv("in/a.csv")
    settings = make_settings(horizon="7")
    forecast_files(settings)
    assert command.main([str(settings.output)]) == 0
    assert capsys.readouterr().out == f"{settings.output}/report.html\n"
    assert command.main([str(settings.output), f"--save={tmp_path}/x/y.html", "--title=A & B"]) == 0
    assert "<title>A &amp; B</title>" in (tmp_path / "x/y.html").read_text()
    for wrong in (["--most=0"], ["--most=x"], [f"--save={settings.output}/a.csv"], ["--save=/proc/x/y"], ["--ttle=x"]):
        assert command.main([str(settings.output), *wrong]) == 2
