"""The forecasts that this machine makes of the same files, for comparison."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import DEAD_LETTERED
from verification.project import ROOT
from verification.report import Failed

SECONDS = 900
LOOK_AT = "docs/commands.md, forecast"


def forecast_locally(folder: Path, output: Path, parameters: dict[str, str], python: str) -> dict[str, Any]:
    """Forecast all files of a folder with the job's options; return receipts and dead letters.

    Args:
        folder: the files; what is below it keeps its name.
        output: a folder for the forecasts.
        parameters: the job's, of which those are taken that say how to forecast.
        python: an interpreter that has the release; "" for this one.

    Raises:
        Failed: if the command fails.
    """
    how = {*ForecastSpec.model_fields, *Limits.model_fields}
    options = [f"--{name}={value}" for name, value in parameters.items() if name in how]
    command = [
        python or sys.executable,
        "-m",
        "pipeline.cli",
        "forecast",
        f"{folder}/**",
        f"--output={output}",
        "--json",
    ]
    done = subprocess.run(
        [*command, *options], cwd=None if python else ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode not in (0, DEAD_LETTERED):
        raise Failed(
            "`dropcast forecast` to forecast the files on this machine", f"{done.stdout}{done.stderr}"[-1500:], LOOK_AT
        )
    return dict(json.loads(done.stdout))


def what_is_compared() -> str:
    """Return version and commit of the package that makes the local forecasts."""
    commit = "commit unknown"
    try:
        asked = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        commit = f"commit {done.stdout.strip()[:12]}" if done.returncode == 0 else commit
    except OSError:
        pass
    return f"the local package {__version__}, {commit}"


def unpacked(name: str, content: bytes) -> bytes:
    """Return a forecast's CSV: the bytes of a compressed one depend on the compressor's version."""
    return gzip.decompress(content) if name.endswith(".gz") else content


def difference(name: str, here: bytes, there: bytes) -> str:
    """Return where two forecasts first differ."""
    ours, theirs = unpacked(name, here).splitlines(), unpacked(name, there).splitlines()
    for number, (own, other) in enumerate(zip(ours, theirs, strict=False), start=1):
        if own != other:
            return f"{name} line {number}: {other[:80]!r} in the project, {own[:80]!r} on this machine"
    return f"{name} has {len(theirs)} lines in the project, {len(ours)} on this machine"
