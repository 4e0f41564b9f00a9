"""Times the native engine's parts, and --model=auto, on a block of synthetic series."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from series import HORIZON, Block

from pipeline.core.dates.calendars import DAY
from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.members.forecast import forecast_series
from pipeline.core.members.history import History
from pipeline.core.model.fit import fit
from pipeline.core.model.histories import Histories
from pipeline.core.model.intervals.of_forecast import intervals
from pipeline.core.model.predict import predict

SPECS = {
    "additive": ForecastSpec(),
    "multiplicative": ForecastSpec(seasonality_mode="multiplicative"),
    "logistic": ForecastSpec(growth="logistic", cap="cap"),
}
LEVELS = (80.0,)


class Seconds(NamedTuple):
    """Seconds per series for each part."""

    fit: float
    predict: float
    intervals: float


def time_native(block: Block, mode: str) -> Seconds:
    """Fit and forecast a block."""
    spec = SPECS[mode]
    lengths = np.diff(block.offsets)
    extras = {"cap": np.repeat(block.cap, lengths)} if mode == "logistic" else {}
    histories = Histories(block.offsets, block.days * DAY, block.y, extras)
    ahead = (block.days[block.offsets[1:] - 1, None] + np.arange(1, HORIZON + 1)) * DAY
    caps = np.repeat(block.cap[:, None], HORIZON, axis=1)

    start = time.perf_counter()
    fitted = fit(histories, spec)
    after_fit = time.perf_counter()
    predictions = [predict(part, ahead[part.members], {"cap": caps[part.members]}) for part in fitted]
    after_predict = time.perf_counter()
    for part, prediction in zip(fitted, predictions, strict=True):
        intervals(part, prediction, LEVELS)
    end = time.perf_counter()
    n = len(lengths)
    return Seconds((after_fit - start) / n, (after_predict - after_fit) / n, (end - after_predict) / n)


def time_auto(block: Block, series: int) -> float:
    """Forecast the first series of a block with --model=auto; return seconds per series, with its backtests."""
    calendar = parse_frequency("D")
    start = time.perf_counter()
    for i in range(series):
        a, b = block.offsets[i], block.offsets[i + 1]
        dates = block.days[a:b] * DAY
        future = calendar.after(int(dates[-1]), HORIZON)
        forecast_series(History.of(calendar, dates, block.y[a:b], future), HORIZON, LEVELS)
    return (time.perf_counter() - start) / series


def mean_of_blocks(blocks: list[Block], mode: str) -> Seconds:
    """Fit and forecast blocks, and return the mean: a single block is too short to measure on a noisy machine."""
    timings = np.array([time_native(block, mode) for block in blocks])
    return Seconds(*timings.mean(axis=0).tolist())
