"""Draws the cost of a series against its rows, and against the number of series in a block.

    python benchmarks/cost_plot.py --output=cost.png

Shows the native engine's fit, forecast and intervals together: medians of rounds, in one thread. Stock Prophet's times
are shown for scale.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from itertools import count

import matplotlib
from native import time_native
from rivals import Rivals
from series import make_block
from threads import in_one_thread

matplotlib.use("Agg")  # before pyplot chooses
from matplotlib import pyplot as plt

ROWS = (100, 150, 225, 365, 550, 690, 780, 1200, 1800, 3000, 5000)  # from 731 on there is a yearly season
SERIES = (1, 2, 3, 4, 6, 8, 16, 32, 64, 128, 256, 512, 1024)  # from 4 series on, a design is shared
BLOCK, BLOCK_ROWS = 256, 365
PROPHET = {365: 4, 1095: 3, 3000: 2}  # series by rows
ROUNDS = 7
LABELS = {False: "native, the same dates", True: "native, ragged"}
COLOURS = {False: "tab:blue", True: "tab:orange"}


def main() -> None:
    """Measure and draw."""
    in_one_thread()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="the PNG to write")
    output = parser.parse_args().output
    sizes = [(rows, BLOCK, ragged) for rows in ROWS for ragged in (False, True)]
    sizes += [(BLOCK_ROWS, series, ragged) for series in SERIES for ragged in (False, True)]
    times: dict[tuple[int, int, bool], list[float]] = {size: [] for size in sizes}
    prophet: dict[int, list[float]] = {rows: [] for rows in PROPHET}
    rivals = Rivals(sys.executable)
    seeds = count(1)  # each block has new dates, and so pays for its own design
    for number in range(ROUNDS + 1):  # each round covers all sizes, so that a busy second does not distort one of them
        for size in times:
            rows, series, ragged = size
            seconds = sum(time_native(make_block(rows, series, ragged, next(seeds)), "additive"))
            if number:  # the first round warms the caches
                times[size].append(1e6 * seconds)
        for rows, series in PROPHET.items() if 0 < number <= 3 else ():
            prophet[rows].append(1e6 * sum(rivals.seconds("prophet", rows, series, False, number, "additive")))
    rivals.close()
    medians = {size: statistics.median(values) for size, values in times.items()}
    stock = {rows: statistics.median(values) for rows, values in prophet.items()}
    print_table(medians, stock)
    draw(medians, stock, output)


def print_table(medians: dict[tuple[int, int, bool], float], prophet: dict[int, float]) -> None:
    """Print what is drawn."""
    print("microseconds per series\n  rows  series  same dates      ragged")
    for rows, series in dict.fromkeys((rows, series) for rows, series, _ in medians):
        print(f"{rows:>6} {series:>7} {medians[rows, series, False]:>11,.1f} {medians[rows, series, True]:>11,.1f}")
    for rows, value in prophet.items():
        print(f"{rows:>6}   stock Prophet: {value:,.0f}")


def draw(medians: dict[tuple[int, int, bool], float], prophet: dict[int, float], output: str) -> None:
    """Write the picture."""
    figure, (by_rows, by_series) = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    for ragged, label in LABELS.items():
        style = {"marker": "o", "markersize": 4, "label": label, "color": COLOURS[ragged]}
        by_rows.plot(ROWS, [medians[rows, BLOCK, ragged] for rows in ROWS], **style)
        by_series.plot(SERIES, [medians[BLOCK_ROWS, series, ragged] for series in SERIES], **style)
    by_rows.plot([*prophet], [*prophet.values()], "s", color="tab:gray", label="stock Prophet")
    by_series.axhline(prophet[BLOCK_ROWS], color="tab:gray", linestyle="--", label="stock Prophet")
    by_rows.set(xlabel=f"rows of a series ({BLOCK} series in a block)", ylabel="microseconds per series")
    by_series.set(xlabel=f"series in a block ({BLOCK_ROWS} rows each)")
    for axes in (by_rows, by_series):
        axes.set(xscale="log", yscale="log")
        axes.grid(True, which="both", alpha=0.25)
        axes.legend()
    figure.suptitle("Fit, forecast of 28 days and 80 % interval, one thread")
    figure.savefig(output, dpi=120)


if __name__ == "__main__":
    main()
