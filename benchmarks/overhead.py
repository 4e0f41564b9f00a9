"""The pipeline's overhead beyond the fits: 100 files of 365 rows, on DirectRunner and by the command line's core.

Prints the wall time, the time within the fits, and their difference and ratio, for both, measured in turn.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline import launch
from pipeline.core.engines.by_name import engine_named
from pipeline.folder.query import connect
from pipeline.folder.run import forecast_files
from pipeline.runs import run_from

FILES, ROWS, ROUNDS = 100, 365, 5


def main() -> None:
    """Run the benchmark."""
    engine_named("stan")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "in"
        write_files(inputs)
        overheads: dict[str, list[float]] = {"pipeline": [], "core": []}
        for round_number in range(ROUNDS + 1):
            for name, run in (("pipeline", run_pipeline), ("core", run_core)):
                output = Path(folder) / f"{name}-{round_number}"
                start = time.perf_counter()
                run(inputs, output)
                wall = time.perf_counter() - start
                fits = connect(output).sql("SELECT sum(fit_seconds) FROM receipts").fetchall()[0][0]
                if round_number:  # the first round warms the caches
                    overheads[name].append(wall - fits)
                note = "" if round_number else "   (first, not counted)"
                print(
                    f"{name:<9} wall {wall:6.2f} s  fits {fits:6.2f} s  overhead {wall - fits:5.2f} s  "
                    f"ratio {wall / fits:.3f}{note}"
                )
        for name, seconds in overheads.items():
            print(
                f"{name:<9} overhead: median {statistics.median(seconds):.2f} s of {ROUNDS} rounds, "
                f"{1000 * statistics.median(seconds) / FILES:.1f} ms per file"
            )


def write_files(folder: Path) -> None:
    """Write the input files."""
    folder.mkdir()
    dates = np.datetime64("2024-01-01") + np.arange(ROWS)
    for number in range(FILES):
        random = np.random.default_rng(number)
        values = 100 + np.arange(ROWS) / 10 + 10 * np.sin(np.arange(ROWS) * 2 * np.pi / 7) + random.normal(0, 2, ROWS)
        rows = "".join(f"{date},{value:.2f}\n" for date, value in zip(dates, values, strict=True))
        (folder / f"{number:03d}.csv").write_text("date,y\n" + rows)


def run_pipeline(inputs: Path, output: Path) -> None:
    """Run the Beam pipeline in this process."""
    with contextlib.redirect_stdout(io.StringIO()):
        launch.run([f"--input={inputs}/*.csv", f"--output={output}", "--runner=DirectRunner", *sys.argv[1:]])


def run_core(inputs: Path, output: Path) -> None:
    """Do what `dropcast forecast` does, in one process."""
    forecast_files(run_from({"output": str(output)}, [f"{inputs}/*.csv"]))


if __name__ == "__main__":
    main()
