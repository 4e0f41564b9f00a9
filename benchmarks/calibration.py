"""Learns the constants of the intervals of --model=auto: python benchmarks/calibration.py FILE HORIZON ...

Each FILE is a CSV with unique_id, ds and y. What is printed goes into pipeline/core/members/combination.py: how errors
grow with the steps ahead, the half width before any window in units of the seasonal naive error, and the factor by
which errors in a window are larger than those of the windows before it. Name a file with several horizons and take the
geometric mean of the factors: series of one set often have their shocks on the same dates. No value after a history is
used.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from pipeline.core.dates.infer_frequency import infer_calendar
from pipeline.core.members import combination
from pipeline.core.members.backtest import cutoffs, windows_of
from pipeline.core.members.forecast import combination_of
from pipeline.core.members.held_out import scale_of
from pipeline.core.members.history import History

LEVELS = (0.5, 0.8, 0.9, 0.95)
MAX_RATIO = 5.0  # of one error to its series' mean, for the growth
ROUNDS = 4
MIN_OLDER = 2  # windows before a window, for it to count: with fewer the prior decides, and most forecasts have more


def main() -> None:
    """Print the constants of each file, level by level."""
    for file, horizon in zip(sys.argv[1::2], map(int, sys.argv[2::2]), strict=True):
        learn(file, horizon)


def learn(file: str, horizon: int) -> None:
    """Print the constants of a file."""
    residuals, known, scales, neighbours = [], [], [], 0
    for _, group in pd.read_csv(file, parse_dates=["ds"]).groupby("unique_id", sort=False):
        dates = group.ds.to_numpy().astype("datetime64[us]").astype(np.int64)
        calendar = infer_calendar(dates)
        history = History.of(calendar, dates, group.y.to_numpy(float), calendar.after(dates[-1], horizon))
        pace, values = history.pace, history.known
        ends = cutoffs(len(values), horizon, pace)
        scale = scale_of(values, pace.season)[0]
        if len(ends) < 2 or scale == 0:
            continue
        errors = combination_of(history, ends, horizon).residuals
        residuals.append(np.abs(errors))
        known.append(np.array([min(horizon, len(values) - end) / horizon for end in ends[1:]]))
        scales.append(scale)
        neighbours = windows_of(pace).neighbours
    growth = growth_of(residuals, horizon)
    shape = 1 + growth * (np.sqrt(np.arange(1, horizon + 1)) - 1)
    print(f"{file}: {len(residuals)} series, growth {growth:.2f}")
    for level in LEVELS:
        own = [quantile(errors / shape, level) / scale for errors, scale in zip(residuals, scales, strict=True)]
        prior = float(np.exp(np.nanmedian(np.log(np.maximum(own, 1e-3)))))
        ratios = []
        for errors, windows, scale in zip(residuals, known, scales, strict=True):
            for w in range(len(errors)):
                older = errors[w + neighbours + 1 :]
                if len(older) < MIN_OLDER:
                    continue
                constants = combination.Calibration(growth, (prior,) * 4, (1.0,) * 4)
                count = float(np.sum(windows[w + neighbours + 1 :]))
                width = combination.half_widths(older, count, scale, constants, (level,))[0]
                ratios.append((errors[w] / width)[np.isfinite(errors[w])])
        factor = float(np.quantile(np.concatenate(ratios), level))
        print(f"  {level:.0%}: prior {prior:.2f}, factor {factor:.2f}")


def quantile(errors: np.ndarray, level: float) -> float:
    """Return a quantile of what is known."""
    found = errors[np.isfinite(errors)]
    return float(np.quantile(found, level)) if len(found) else np.nan


def growth_of(residuals: list[np.ndarray], horizon: int) -> float:
    """Return r in the shape 1 + r (sqrt(h) - 1) that errors follow on average."""
    root = np.sqrt(np.arange(1, horizon + 1)) - 1
    growth = 0.5
    for _ in range(ROUNDS):
        shape = 1 + growth * root
        ratios = []
        for errors in residuals:
            mean = np.nanmean(errors / shape)
            if mean > 0:
                ratios.append(np.minimum(errors / mean, MAX_RATIO))
        by_step = np.nanmean(np.concatenate(ratios), axis=0)
        rise, start = np.polyfit(root, by_step, 1)
        growth = max(float(rise / start), 0.0)
    return growth


if __name__ == "__main__":
    main()
