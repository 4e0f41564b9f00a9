from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@pytest.mark.long
def test_after_the_installation_nothing_is_left_to_compile(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run([sys.executable, "-m", "pipeline.core.compile_kernels"], env=environment, check=True)
    compiled = {path.name for path in cache.rglob("*.nbc")}
    assert len(compiled) > 50
    for frequency, rows in {"YS": 30, "QS": 40, "MS": 100, "W-SUN": 200, "D": 400, "B": 300, "h": 500}.items():
        y = 5 + np.sin(np.arange(rows) * 7.7) + np.arange(rows) / rows
        dates = pd.date_range("1990-01-01", periods=rows, freq=frequency)
        lines = [f"{store},{date},{value}" for store in "ab" for date, value in zip(dates, y, strict=True)]
        source = tmp_path / f"{frequency}.csv"
        source.write_text("store,date,y\n" + "\n".join(lines) + "\n")
        for model in ("prophet", "auto"):
            call = ["forecast", str(source), f"--output={tmp_path / model}", f"--model={model}", "--level=50,80"]
            subprocess.run([sys.executable, "-m", "pipeline.cli", *call], env=environment, check=True)
    many = tmp_path / "many.csv"  # more ids than Python numbers, and quotes
    many.write_text(
        "region,store,date,y\n"
        + "".join(f'"{n % 11000}","s{n % 10500}","2024-01-{day:02d}",1\n' for day in (1, 2, 3) for n in range(11_000))
    )
    call = ["forecast", str(many), f"--output={tmp_path / 'many'}", "--quiet", "--score=false", "--frequency=D"]
    subprocess.run([sys.executable, "-m", "pipeline.cli", *call], env=environment, check=True)
    assert {path.name for path in cache.rglob("*.nbc")} == compiled


KERNEL = """
import sys, tempfile
import numba.core.caching
from pipeline.core.compiled import compiled

if sys.argv[1:]:
    def refused(**_):
        raise PermissionError("the folder cannot be written")
    numba.core.caching.tempfile.TemporaryFile = refused
    numba.core.caching.IndexDataCacheFile.save = lambda *_: refused()

@compiled
def doubled(x):
    return 2 * x

assert doubled(2.0) == 4.0
print(sum(doubled.stats.cache_hits.values()), sum(doubled.stats.cache_misses.values()))
if sys.argv[1:]:
    assert doubled(2) == 4  # whole numbers are compiled anew, and cannot be kept
"""


def test_kept_code_is_used_where_nothing_can_be_written(tmp_path: Path) -> None:
    module = tmp_path / "kernel.py"
    module.write_text(KERNEL)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(Path.cwd())}

    def hits_and_misses(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, str(module), *arguments], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert hits_and_misses() == "0 1"
    kept = sorted(path.name for path in (tmp_path / "cache").rglob("*.nbc"))
    assert len(kept) == 1
    assert hits_and_misses("unwritable") == "1 0"
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*.nbc")) == kept
