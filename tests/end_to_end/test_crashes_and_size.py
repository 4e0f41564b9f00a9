"""What takes long: runs that are killed, and files that are large. Run by `make check-long`."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as pa_csv

from tests.conftest import daily_series
from tests.folder_contents import contents

pytestmark = pytest.mark.long
WriteCsv = Callable[..., Path]
COMMANDS = {
    "pipeline": ["-m", "pipeline.main", "--input={inbox}/*", "--output={out}", "--runner=DirectRunner"],
    "forecast": ["-m", "pipeline.cli", "forecast", "{inbox}/*", "--output={out}", "--workers=1"],
    "processes": ["-m", "pipeline.cli", "forecast", "{inbox}/*", "--output={out}", "--workers=2"],
}


def start(command: str, inbox: Path, out: Path) -> subprocess.Popen[bytes]:
    arguments = [part.format(inbox=inbox, out=out) for part in COMMANDS[command]]
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_is_not(
    command: str, write_csv: WriteCsv, tmp_path: Path
) -> None:
    for number in range(12):
        write_csv(f"in/{number:02d}.csv", daily_series(60, seed=number))
    stores = [f"{s},{line}" for s in range(70) for line in daily_series(15, seed=s).splitlines()[1:]]
    write_csv("in/stores.csv", "store,date,y\n" + "\n".join(stores) + "\n")
    write_csv("in/bad.csv", "date,y\n2024-01-01,x\n")
    inbox, undisturbed, disturbed = tmp_path / "in", tmp_path / "undisturbed", tmp_path / "disturbed"
    process = start(command, inbox, undisturbed)
    began = os.times().elapsed
    assert process.wait() == 3
    seconds = os.times().elapsed - began
    moments = random.Random(7)
    unfinished = 0
    for _ in range(8):
        process = start(command, inbox, disturbed)
        try:
            process.wait(timeout=moments.uniform(0.3, 1) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            unfinished += 1
    assert unfinished > 0
    assert start(command, inbox, disturbed).wait() == 3
    assert contents(disturbed) == contents(undisturbed)
    assert not [path for path in (disturbed / "_dropcast/work").rglob("*") if path.is_file()]


SERIES, DAYS = 20_000, 1_500
ORDERS = ("series", "date", "shuffled")


def write_a_gigabyte(path: Path, order: str) -> None:
    ids = pa.array([f"series_{number:08d}" for number in range(SERIES)])
    dates = pa.array((np.datetime64("2018-01-01") + np.arange(DAYS)).astype(str))
    rows = SERIES * DAYS
    shuffled = np.random.default_rng(0).permutation(rows) if order == "shuffled" else None
    with path.open("wb") as file:
        file.write(b"unique_id,ds,y\n")
        for first in range(0, rows, 1_000_000):
            at = np.arange(first, min(first + 1_000_000, rows))
            at = at if shuffled is None else shuffled[at]
            series, day = (at % SERIES, at // SERIES) if order == "date" else (at // DAYS, at % DAYS)
            values = pa.array(np.round(100 + series % 17 + 5 * np.sin(day) + 0.01, 6))
            table = pa.table(
                [ids.take(pa.array(series)), dates.take(pa.array(day)), values], names=["unique_id", "ds", "y"]
            )
            options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
            pa_csv.write_csv(table, file, options)


@pytest.mark.parametrize("order", ORDERS)
def test_a_gigabyte_is_checked_within_a_gigabyte_whatever_its_order(order: str, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    write_a_gigabyte(path, order)
    assert path.stat().st_size > 1e9
    result = tmp_path / "result.json"
    with result.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "pipeline.cli", "check", str(path), "--json"], stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
    path.unlink()
    assert os.waitstatus_to_exitcode(status) == 0
    found = json.loads(result.read_text())
    assert (found["rows"], found["series"], found["frequencies"]) == (SERIES * DAYS, SERIES, {"D": SERIES})
    assert found["would_forecast"] == ["2022-02-09", "2022-03-08"]
    print(f"{order}: {usage.ru_maxrss / 1e6:.2f} GB")
    assert usage.ru_maxrss < 1_000_000  # kilobytes
