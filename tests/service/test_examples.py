"""The examples of docs/service.md, against a service that runs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from tests.conftest import daily_series
from tests.docs.pages import ROOT
from tests.service.test_on_request import started

PAGE = (ROOT / "docs/service.md").read_text()
ADDRESS = "http://127.0.0.1:8080"
CURL = re.findall(r"^curl .*$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, found = started(tmp_path_factory.mktemp("serve"))
    yield found
    process.kill()
    process.wait()


def test_there_are_examples() -> None:
    assert len(CURL) == 4
    assert all(ADDRESS in command for command in CURL)


@pytest.mark.parametrize("command", CURL)
def test_what_curl_sends_is_answered(command: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(daily_series(90))
    asked = command.replace(ADDRESS, url).replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
    done = subprocess.run(asked, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    if "/check" in command:
        assert json.loads(done.stdout)["problems"] == 0
    elif "json'" in command:
        assert "trend" in json.loads(done.stdout)["forecasts"][0]
    else:
        assert len(done.stdout.splitlines()) == 15
        assert ("prediction_lower_95" in done.stdout) == ("level" in command)


def test_what_python_sends_is_answered(url: str) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) == 3
    dates = pd.date_range("2026-01-01", periods=60).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"unique_id": "a", "ds": pd.to_datetime(dates), "y": [float(day % 7) for day in range(60)]})
    frame.loc[3, "y"] = float("nan")
    names: dict[str, Any] = {"requests": requests, "pandas": pd, "frame": frame}
    exec(code.replace(ADDRESS, url), names)
    forecast = names["forecast"]
    assert list(forecast.columns) == ["unique_id", "ds", "Dropcast", "Dropcast-lo-80", "Dropcast-hi-80"]
    assert len(forecast) == 28
