"""The batch pipeline on Spark, as far as it goes: the bytes of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import daily_series
from tests.folder_contents import forecasts_and_notes

pytestmark = [pytest.mark.spark, pytest.mark.long]
SECONDS = 600.0


def test_folders_have_the_bytes_of_the_command_line(spark: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / f"in/{number}.csv").write_text(daily_series(90, seed=number))
    rows = daily_series(60).splitlines()[1:]
    many = [f"s{number},{row}\n" for number in range(1200) for row in rows]  # several blocks
    (tmp_path / "in/many.csv").write_text("store,date,y\n" + "".join(many))
    (tmp_path / "in/bad.csv").write_text("a,b\n1,2\n")
    given = f"{tmp_path}/in/*.csv"
    forecast = ["-m", "pipeline.cli", "forecast", "--quiet", given, f"--output={tmp_path}/expected"]
    assert subprocess.run([sys.executable, *forecast]).returncode == 3
    job = [sys.executable, "-m", "pipeline.main", *spark, f"--input={given}", f"--output={tmp_path}/out"]
    done = subprocess.run(job, cwd=tmp_path, capture_output=True, timeout=SECONDS)
    assert done.returncode == 3, done.stderr.decode()[-3000:] + (tmp_path / "spark.log").read_text()[-3000:]
    expected = forecasts_and_notes(tmp_path / "expected")
    assert expected["many.csv"].count(b"\n") == 1 + 28 * 1200
    found = forecasts_and_notes(tmp_path / "out")
    assert {name: found[name] for name in expected if name.endswith(".csv")} == {
        name: content for name, content in expected.items() if name.endswith(".csv")
    }
