"""Forecasts one series by a combination of members."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.members import combination, counts, of_prophet
from pipeline.core.members.backtest import cutoffs
from pipeline.core.members.history import History
from pipeline.core.members.members import (
    ADDITIVE,
    AR,
    AR_LOGS,
    DAMPED_LOGS,
    DRIFT,
    HOURLY_SEASON,
    MEDIAN,
    MOVED,
    MULTIPLICATIVE,
    NAIVE,
    NAMES,
    PROPHET_FADING,
    PROPHET_LEVEL,
    PROPHET_LOGS,
    RIDGE,
    RIDGE_LOGS,
    RIDGE_MEANS,
    SEASONAL_NAIVE,
    SHARES,
    THETA,
    TWO_WEEKS,
    WEEK,
    window_forecasts,
)  # fmt: skip
from pipeline.core.members.pace import FINER, MONTHLY, YEARLY, Pace, is_weekly

_FINER = (SEASONAL_NAIVE, THETA, ADDITIVE, AR, SHARES, MEDIAN, MOVED, RIDGE, RIDGE_MEANS, RIDGE_LOGS)
MEMBERS = {
    YEARLY: (DRIFT, THETA, DAMPED_LOGS, AR_LOGS, NAIVE),
    MONTHLY: (THETA, DAMPED_LOGS, ADDITIVE, MULTIPLICATIVE, AR, AR_LOGS, SHARES, MEDIAN),
    FINER: _FINER,
}
COUNT_MEMBERS = ("mean", "mean of the last values", "exponential smoothing", "Teunter-Syntetos-Babai")
HOURLY_MEMBERS = (*_FINER, WEEK, TWO_WEEKS)
OF_PROPHET = (PROPHET_FADING, PROPHET_LEVEL, PROPHET_LOGS)
WEEKLY_MEMBERS = (*_FINER, *OF_PROPHET)


@dataclass(frozen=True)
class CombinedForecast:
    """The forecast of one series.

    Attributes:
        prediction: shape (h,).
        lower, upper: ends of the intervals, each of shape (levels, h).
        weights: of the members that count, by name, the largest first.
    """

    prediction: Floats
    lower: Floats
    upper: Floats
    weights: dict[str, float]


def forecast_series(history: History, horizon: int, levels: tuple[float, ...]) -> CombinedForecast:
    """Forecast a series.

    Args:
        history: of the series.
        horizon: how many steps ahead.
        levels: of the intervals, in percent.
    """
    y, known, pace = history.y, history.known, history.pace
    never_negative = bool(np.min(y) >= 0)
    if counts.has_many_zeros(y):
        mean, low, high = counts.forecast(y, tuple(level / 100 for level in levels))
        equal = dict.fromkeys(COUNT_MEMBERS, 1 / len(COUNT_MEMBERS))
        return CombinedForecast(np.full(horizon, mean), _each_step(low, horizon), _each_step(high, horizon), equal)
    largest = float(np.max(np.abs(y)))
    unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0  # a power of two: scaling changes no digit
    history = replace(history, y=y / unit, known=known / unit)
    ends = cutoffs(len(y), horizon, pace)
    prediction, weights, residuals = combined_errors(history, ends, horizon)
    windows = float(sum(min(horizon, len(y) - end) / horizon for end in ends[1:]))
    calibration, scale = combination.calibration_of(pace), naive_error(history.known, pace.season)
    widths = np.empty((len(levels), horizon))
    for i, level in enumerate(levels):
        widths[i] = combination.half_widths(residuals, windows, scale, calibration, level / 100)
    named = {NAMES[i]: float(weight) for i, weight in zip(members_of(pace), weights, strict=True) if weight > 0}
    by_weight = dict(sorted(named.items(), key=lambda item: -item[1]))
    lower, upper = (prediction - widths) * unit, (prediction + widths) * unit
    return CombinedForecast(prediction * unit, np.maximum(lower, 0.0) if never_negative else lower, upper, by_weight)


def _each_step(ends: Floats, horizon: int) -> Floats:
    """Return interval ends that are the same at each step, shape (levels, h)."""
    return np.repeat(ends[:, None], horizon, axis=1)


def members_of(pace: Pace) -> tuple[int, ...]:
    """Return the members of a series."""
    if is_weekly(pace):
        return WEEKLY_MEMBERS
    return HOURLY_MEMBERS if pace.season == HOURLY_SEASON else MEMBERS[pace.kind]


def combined_errors(history: History, ends: Ints, horizon: int) -> tuple[Floats, Floats, Floats]:
    """Return a series' forecast, the members' weights, and the held-out errors of the combination; see `combined`.

    Args:
        history: of the series.
        ends: cutoffs, the whole history first.
        horizon: how many steps ahead.
    """
    y, pace = history.y, history.pace
    every = np.empty((len(ends), len(NAMES), horizon))
    window_forecasts(y, ends, pace, every)
    if is_weekly(pace):
        every[:, list(OF_PROPHET)] = of_prophet.forecasts(y, history.dates, ends, horizon)
    forecasts, usable = _bounded(y, ends, every, members_of(pace))
    prediction, weights, residuals = combination.combined(history.known, ends, forecasts, usable, pace)
    return prediction, weights, residuals


def _bounded(y: Floats, ends: Ints, every: Floats, chosen: tuple[int, ...]) -> tuple[Floats, Bools]:
    """Return the chosen members' forecasts, within bounds, and whether each has one after the whole history.

    A forecast goes no further beyond what is known of the history than the history is wide, and not below 0 if the
    history never does. In a window in which a member is not available, theta stands for it.
    """
    forecasts = np.ascontiguousarray(every[:, list(chosen)])
    usable = np.isfinite(forecasts[0]).all(axis=1)
    for w, end in enumerate(ends.tolist()):
        gaps = ~np.isfinite(forecasts[w]).all(axis=1)
        forecasts[w, gaps] = every[w, THETA]
        low, high = float(np.min(y[:end])), float(np.max(y[:end]))
        floor = low - (high - low)
        np.clip(forecasts[w], max(floor, 0.0) if low >= 0 else floor, high + (high - low), out=forecasts[w])
    return forecasts, usable


def naive_error(y: Floats, season: int) -> float:
    """Return the mean absolute error of the seasonal naive forecast within a history, or of the naive one."""
    for lag in (season, 1):
        if len(y) > lag:
            errors = np.abs(y[lag:] - y[:-lag])
            errors = errors[np.isfinite(errors)]
            if len(errors):
                return float(np.mean(errors))
    return 0.0
