"""How the time and memory of a job grow with its series: python benchmarks/scale.py [--series=10000,100000,1000000]

With --shuffled the file goes date by date, dates and series in random order, with quotes around each cell and a bad
cell on some days (1M series are 12 GB). With --flink=1,2,4 a Flink cluster with that many slots, on this machine,
forecasts the same files (see tests/flink).

One CSV of series of 365 rows each (columns store, date, sales; 1M of them are 9.6 GB) is forecast by the command line,
in one process and in two. Printed are wall and CPU seconds, microseconds of CPU for each series beyond what a job of
one series takes, and the largest memory of all of its processes together. CPU per series should stay within 10 % from
one size to the next.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

ROWS, PART = 365, 1000  # rows of a series; series that are written at a time
FIRST_DAY = np.datetime64("2024-01-01")
BAD_EACH = 50  # days
LOOK_SECONDS = 0.2
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds, and bytes of memory."""

    wall: float
    cpu: float
    memory: int


def main() -> None:
    """Measure each size with each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="10000,100000,1000000", help="sizes [%(default)s]")
    parser.add_argument("--workers", default="1,2", help="numbers of processes [%(default)s]")
    parser.add_argument("--flink", default="", help="numbers of slots of a Flink cluster [none]")
    parser.add_argument("--shuffled", action="store_true", help="rows in random order, and quoted")
    parser.add_argument("--folder", type=Path, help="for the files: 1M series need 20 GB, or 30 [the system's own]")
    arguments = parser.parse_args()
    print("   series  processes   wall s    CPU s   CPU us a series   memory GB")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        workers_of = [int(workers) for workers in arguments.workers.split(",")]
        one = written(folder / "one.csv", 1)
        measured(one, folder / "warm", max(workers_of))
        starts = {workers: measured(one, folder / "start", workers).cpu for workers in workers_of}
        for series in map(int, arguments.series.split(",")):
            write = written_shuffled if arguments.shuffled else written
            source = write(folder / "series.csv", series)
            for slots in map(int, filter(None, arguments.flink.split(","))):
                print(f"{series:9,} {slots:4} slots {on_flink(source, folder / f'flink-{series}-{slots}', slots):9.1f}")
            for workers in workers_of:
                cost = measured(source, folder / f"out-{series}-{workers}", workers)
                each = 1e6 * (cost.cpu - starts[workers]) / series
                print(
                    f"{series:9,} {workers:10} {cost.wall:8.1f} {cost.cpu:8.1f} {each:17.0f} {cost.memory / 1e9:11.2f}"
                )


def written(path: Path, series: int) -> Path:
    """Write a CSV of daily series with a weekly season."""
    random = np.random.default_rng(0)
    dates = pa.array((FIRST_DAY + np.arange(ROWS)).astype(str).tolist())
    with path.open("wb") as file:
        file.write(b"store,date,sales\n")
        for first in range(0, series, PART):
            count = min(PART, series - first)
            rows = np.arange(count * ROWS)
            values = np.round(100 + 10 * np.sin(rows * 2 * np.pi / 7) + random.normal(0, 5, len(rows)), 2)
            names = pa.array([f"s{number:07d}" for number in range(first, first + count)])
            table = pa.table({
                "store": names.take(pa.array(rows // ROWS)), "date": dates.take(pa.array(rows % ROWS)), "sales": values,
            })  # fmt: skip
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))
    return path


def written_shuffled(path: Path, series: int) -> Path:
    """Write the same kind of series date by date, in random order and quoted, with a few cells that are no numbers."""
    random = np.random.default_rng(0)
    names = pa.array([f"s{number:07d}" for number in range(series)])
    with path.open("wb") as file:
        file.write(b'"store","date","sales"\n')
        for number, day in enumerate(random.permutation(ROWS).tolist()):
            stores = random.permutation(series)
            values = np.round(100 + 10 * np.sin(day * 2 * np.pi / 7) + random.normal(0, 5, series), 2)
            texts = pa.array(values).cast(pa.string())
            if number % BAD_EACH == 0:
                texts = pa.concat_arrays([pa.array(["oops"]), texts[1:]])
            dates = pa.repeat(str(FIRST_DAY + day), series)
            table = pa.table({"store": names.take(pa.array(stores)), "date": dates, "sales": texts})
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    return path


def measured(source: Path, output: Path, workers: int) -> Cost:
    """Forecast a CSV, and return what it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "forecast", str(source), f"--output={output}", f"--workers={workers}",
         "--quiet", "--max_bytes=30000000000"], start_new_session=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    most = [0]

    def watch() -> None:
        while process.poll() is None:
            most[0] = max(most[0], memory_of_session(process.pid))
            time.sleep(LOOK_SECONDS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.wait() in (0, 3)  # 3: some series are bad
    wall = time.perf_counter() - start
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["rm", "-r", str(output)], check=True)  # it would fill the disk
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, most[0])


def on_flink(source: Path, folder: Path, slots: int) -> float:
    """Forecast a CSV on a cluster that is there already; return the seconds from its submission to its end."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.flink.cluster import FlinkCluster
    from tests.flink.install import parts

    folder.mkdir()
    managers = min(slots, 2)
    with FlinkCluster(parts(), folder / "cluster", {}, managers, slots // managers) as cluster:
        command = [sys.executable, "-m", "pipeline.main", *cluster.options, f"--output={folder / 'out'}"]
        start = time.perf_counter()
        subprocess.run([*command, f"--input={source}"], check=True, cwd=folder, capture_output=True)
        return time.perf_counter() - start


def memory_of_session(session: int) -> int:
    """Return the resident bytes of all processes of a session; what they share counts for each."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (OSError, ProcessLookupError):  # it has just ended
            continue
        if int(fields[3]) == session:
            total += int(fields[21]) * PAGE
    return total


if __name__ == "__main__":
    main()
