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
    assert {path.name for path in cache.rglob("*.nbc")} == compiled
