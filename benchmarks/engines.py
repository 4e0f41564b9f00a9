"""The native engine and --model=auto compared with their rivals: time per series, measured in turn, in one thread.

    python benchmarks/engines.py [--rivals=PATH/TO/python] [--rounds=5]

The rivals run in their own environment (requirements-rivals.txt). Without it, only stock Prophet is compared, in this
environment. All engines forecast 28 days with an interval of 80 %; a rival's ratio is the median over the rounds
of its time over the native engine's in the same round, for fit, forecast and interval together.

The native engine's compiled code and its table of half widths are warm (the last lines show what they cost when
they are not). Each of its blocks has new dates, so a block pays for its own design; the line "same dates" shows what a
block costs on the dates of the block before it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from native import Seconds, mean_of_blocks, time_auto
from rivals import Rivals
from series import make_block
from threads import in_one_thread

BLOCK, BLOCKS = 512, 3  # series in a block of the native engine, and blocks per round
CASES = [(rows, ragged, "additive") for rows in (365, 1095, 3000) for ragged in (False, True)]
CASES += [(365, False, "multiplicative"), (365, False, "logistic")]
# How many series a rival gets, by rows: no more than are needed to measure it fairly.
SERIES = {
    "prophet": {365: 6, 1095: 4, 3000: 3},
    "prophet-batch": {365: 64, 1095: 64, 3000: 32},
    "AutoETS": {365: 2, 1095: 1},
    "AutoTheta": {365: 4, 1095: 4},
    "SeasonalNaive": {365: 512, 1095: 512, 3000: 512},
}
AUTO_SERIES = 64  # that --model=auto gets in a round
STATSFORECAST = ("AutoETS", "AutoTheta", "SeasonalNaive")
FIRST_USE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from series import make_block
block = make_block(365, int(sys.argv[2]), False, 1)
begin = time.perf_counter()
import pipeline.core.engines.native
imported = time.perf_counter()
from native import time_native
start = time.perf_counter()
time_native(block, "additive")
print(imported - begin, time.perf_counter() - start)
"""


def main() -> None:
    """Run the benchmark."""
    in_one_thread()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", default=".venv-rivals/bin/python", help="the rivals' interpreter [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="[%(default)s]")
    arguments = parser.parse_args()
    python, names = arguments.rivals, list(SERIES)
    if not Path(python).exists():
        print(f"{python} does not exist: comparing only with stock Prophet, in this environment\n")
        python, names = sys.executable, ["prophet"]
    rivals = Rivals(python)
    print("Microseconds per series: median of the rounds (least .. most).\n")
    for rows, ragged, mode in CASES:
        compare(rows, ragged, mode, rivals, names, arguments.rounds)
    rivals.close()
    for series in (1, BLOCK):
        print_first_use(series)


def compare(rows: int, ragged: bool, mode: str, rivals: Rivals, names: list[str], rounds: int) -> None:
    """Run and print one case."""
    names = [name for name in names if takes_part(name, rows, ragged, mode)]
    shares = not ragged and mode == "additive"  # one design for all series
    native: list[Seconds] = []
    again: list[Seconds] = []
    auto: list[tuple[float]] = []
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for seed in range(rounds + 1):
        seeds = [1 + BLOCKS * seed + i for i in range(BLOCKS)]
        fresh = mean_of_blocks([make_block(rows, BLOCK, ragged, one) for one in seeds], mode)
        same = fresh
        if shares:
            blocks = [make_block(rows, BLOCK, ragged, 1000 + one, first_day=seeds[-1]) for one in seeds]
            same = mean_of_blocks(blocks, mode)
        if not seed:
            continue  # the first round warms the caches
        if mode == "additive":
            auto.append((time_auto(make_block(rows, AUTO_SERIES, ragged, seeds[0]), AUTO_SERIES),))
        native.append(fresh)
        again.append(same)
        for name in names:
            times[name].append(rivals.seconds(name, rows, SERIES[name][rows], ragged, seed, mode))

    print(f"{rows} rows, {'ragged' if ragged else 'the same dates'}, {mode}")
    print(f"  {'':<15}{'series':>7} {'fit':>28} {'forecast':>28} {'interval':>24} {'all':>30} {'ratio':>8}")
    print_line("native", BLOCK, [*zip(*native, strict=True)], "1")
    if shares:
        print_line("  same dates", BLOCK, [*zip(*again, strict=True)], "")
    if auto:
        ratios = [all_of_it / sum(ours) for (all_of_it,), ours in zip(auto, native, strict=True)]
        whole = spread([seconds for (seconds,) in auto])
        print(
            f"  {'auto':<15}{AUTO_SERIES:>7} {'':>28} {'':>28} {'':>24} {whole:>30} {statistics.median(ratios):>8,.0f}"
        )
    for name in names:
        ratios = [sum(one) / sum(ours) for one, ours in zip(times[name], native, strict=True)]
        print_line(name, SERIES[name][rows], [*zip(*times[name], strict=True)], f"{statistics.median(ratios):,.0f}")
    for name in STATSFORECAST if auto else ():
        if name in times:
            ratios = [sum(one) / own for one, (own,) in zip(times[name], auto, strict=True)]
            print(f"  {name} takes {statistics.median(ratios):,.1f} times as long as auto")
    print(flush=True)


def takes_part(name: str, rows: int, ragged: bool, mode: str) -> bool:
    """Return whether a rival runs: models other than Prophet's have no modes, and gain nothing from shared dates."""
    return rows in SERIES[name] and (name not in STATSFORECAST or (mode == "additive" and not ragged))


def print_line(name: str, series: int, columns: list[tuple[float, ...]], ratio: str) -> None:
    """Print an engine's times; a rival's forecast includes its intervals."""
    cells = [spread(column) for column in columns]
    if len(cells) == 2:
        cells.append("with the forecast")
    if name in STATSFORECAST:
        cells[1:] = ["with the fit", "with the fit"]
    total = spread([sum(parts) for parts in zip(*columns, strict=True)])
    print(f"  {name:<15}{series:>7} {cells[0]:>28} {cells[1]:>28} {cells[2]:>24} {total:>30} {ratio:>8}")


def spread(seconds: list[float] | tuple[float, ...]) -> str:
    """Return median, least and most in microseconds."""
    digits = 1 if max(seconds) < 1e-3 else 0
    median, least, most = (
        f"{1e6 * value:,.{digits}f}" for value in (statistics.median(seconds), min(seconds), max(seconds))
    )
    return f"{median} ({least} .. {most})"


def print_first_use(series: int) -> None:
    """Time the first forecast of fresh processes, with the compiled code in its cache on disk."""
    command = [sys.executable, "-c", FIRST_USE, str(Path(__file__).parent), str(series)]
    runs = [
        [float(number) for number in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]
        for _ in range(6)
    ]
    imports, firsts = ([run[i] for run in runs[1:]] for i in range(2))  # not the first: it may have compiled
    print(
        f"first use, {series} series of 365 rows: {statistics.median(firsts):.3f} s "
        f"({min(firsts):.3f} .. {max(firsts):.3f}) after an import of {statistics.median(imports):.2f} s"
    )


if __name__ == "__main__":
    main()
