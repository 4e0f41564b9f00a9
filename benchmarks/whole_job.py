"""A whole job compared with just reading its input: CSV to forecasts, in one process and one thread.

    python benchmarks/whole_job.py [--series=10000] [--rounds=3]

Measured in turn on one CSV of series of 365 rows (columns store, date, sales):
    read   pyarrow reads the CSV with given column types: the least that any program must do
    core   `dropcast forecast`: CSV to CSV and Parquet tables
    beam   the Beam job on the DirectRunner
    start  the Beam job on a CSV of one series: what Beam takes to start, subtracted in the line "beam - start"
Each stage runs in a fresh process, which does its imports and two small CSVs before the clock starts; of three readings
per round, the median counts. CPU seconds count all threads. If they exceed the wall clock's, a second thread helped; if
they are far fewer, the machine was busy with something else, and the ratio of CPU seconds is the one to trust.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from series import make_block
from threads import in_one_thread

ROWS = 365
SERIES = {"small": 1, "shared": 8}  # of the small CSVs: single series and shared dates take different paths
READS = 3
STAGES = {"read": "large", "core": "large", "beam": "large", "start": "small"}  # and the CSV that each is given


def main() -> None:
    """Run the benchmark, or one measurement of it."""
    in_one_thread()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000, help="[%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="[%(default)s]")
    parser.add_argument("--measure", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        stage, folder = arguments.measure
        measure(stage, Path(folder))
        return
    results: dict[str, list[dict[str, float]]] = {stage: [] for stage in STAGES}
    with tempfile.TemporaryDirectory(prefix="dropcast-") as name:
        write_csv(Path(name) / "large.csv", arguments.series)
        for small, series in SERIES.items():
            write_csv(Path(name) / f"{small}.csv", series)
        size = (Path(name) / "large.csv").stat().st_size
        print(f"{arguments.series:,} series of {ROWS} rows, {size / 1e6:.0f} MB", flush=True)
        for number in range(arguments.rounds):
            for stage in STAGES:
                runs = [in_fresh_process(stage, Path(name)) for _ in range(READS if stage == "read" else 1)]
                results[stage].append(sorted(runs, key=lambda run: run["wall"])[len(runs) // 2])
            print(
                f"round {number + 1}: "
                + "  ".join(f"{stage} {runs[-1]['wall']:.2f} s" for stage, runs in results.items()),
                flush=True,
            )
    report(results, arguments.series)


def write_csv(path: Path, series: int) -> None:
    """Write series a few at a time: a child's peak memory includes that of the process that started it."""
    with path.open("w") as file:
        file.write("store,date,sales\n")
        for store in range(series):
            block = make_block(ROWS, 1, False, store, first_day=0)
            dates = np.datetime_as_string(block.days.astype("datetime64[D]"))
            pairs = zip(dates.tolist(), block.y.tolist(), strict=True)
            file.write("".join(f"store {store:05d},{date},{value:.2f}\n" for date, value in pairs))


def in_fresh_process(stage: str, folder: Path) -> dict[str, float]:
    """Return wall and CPU seconds and peak memory of a stage."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=folder) as scratch:
        for path in folder.glob("*.csv"):
            (Path(scratch) / path.name).symlink_to(path)
        command = [sys.executable, __file__, "--measure", stage, scratch]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(stage: str, folder: Path) -> None:
    """Run a stage on the small CSVs, then on its own CSV, and print what the last run took."""
    logging.disable(logging.WARNING)  # Beam warns about optional libraries
    with contextlib.redirect_stdout(io.StringIO()):
        run = runner_of(stage)
        for small in SERIES:
            run(folder / f"{small}.csv", folder / f"out-{small}")
        start, start_cpu = time.perf_counter(), time.process_time()
        run(folder / f"{STAGES[stage]}.csv", folder / "out")
        wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak * unit}))


def runner_of(stage: str) -> Callable[[Path, Path], None]:
    """Import what a stage needs and nothing else, since all of it counts as its memory."""
    if stage == "read":
        import pyarrow as pa
        from pyarrow import csv

        types = {"store": pa.string(), "date": pa.timestamp("us"), "sales": pa.float64()}

        def read(path: Path, output: Path) -> None:
            csv.read_csv(path, csv.ReadOptions(use_threads=False), None, csv.ConvertOptions(column_types=types))

        return read
    if stage == "core":
        from pipeline.folder.run import forecast_files
        from pipeline.runs import run_from

        def core(path: Path, output: Path) -> None:
            outcome = forecast_files(run_from({"output": str(output)}, [str(path)]))
            assert outcome.exit_code == 0

        return core
    from pipeline import launch

    def beam(path: Path, output: Path) -> None:
        assert launch.run([f"--input={path}", f"--output={output}", "--runner=DirectRunner"]) == 0

    return beam


def report(results: dict[str, list[dict[str, float]]], series: int) -> None:
    """Print medians, and medians of the rounds' ratios to plain reading."""
    clocks: dict[str, dict[str, list[float]]] = {}
    for clock in ("wall", "cpu"):
        times = {stage: [run[clock] for run in runs] for stage, runs in results.items()}
        times["beam - start"] = [beam - start for beam, start in zip(times["beam"], times["start"], strict=True)]
        clocks[clock] = times
    print(f"\n{'':<14}{'wall s':>22} {'to read':>8} {'CPU s':>8} {'to read':>8} {'us per series':>12} {'peak MB':>8}")
    for stage, seconds in clocks["wall"].items():
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} .. {max(seconds):.2f})"
        each = f"{1e6 * statistics.median(seconds) / series:,.0f}" if stage != "start" else ""
        wall_ratio, cpu_ratio = (
            statistics.median([one / base for one, base in zip(times[stage], times["read"], strict=True)])
            for times in clocks.values()
        )
        cpu = statistics.median(clocks["cpu"][stage])
        peak = f"{max(run['peak'] for run in results[stage]) / 1e6:,.0f}" if stage in results else ""
        print(f"{stage:<14}{spread:>22} {wall_ratio:>8.2f} {cpu:>8.2f} {cpu_ratio:>8.2f} {each:>12} {peak:>8}")


if __name__ == "__main__":
    main()
