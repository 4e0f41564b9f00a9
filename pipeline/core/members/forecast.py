"""Forecasts one series by a combination of members."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.members import combination, counts, of_prophet
from pipeline.core.members.backtest import cutoffs, windows_of
from pipeline.core.members.held_out import HeldOut, actual_after, scale_of, scales_of
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
HOURLY_MEMBERS = (*_FINER, WEEK, TWO_WEEKS)
OF_PROPHET = (PROPHET_FADING, PROPHET_LEVEL, PROPHET_LOGS)
WEEKLY_MEMBERS = (*_FINER, *OF_PROPHET)


@dataclass(frozen=True)
class CombinedForecast:
    """The forecast of one series.

    Attributes:
        prediction: shape (h,).
        lower, upper: ends of the intervals, each of shape (levels, h).
        weights: of the members that have a forecast, by name.
        members: their forecasts, shape (k, h).
        held_out: what was forecast from earlier cutoffs after which any value is known.
        median: shape (h,), if it is not the prediction.
    """

    prediction: Floats
    lower: Floats
    upper: Floats
    weights: dict[str, float]
    members: Floats
    held_out: HeldOut
    median: Floats | None = None

    def clipped(self, low: float | None, high: float | None) -> CombinedForecast:
        """Return the same within bounds, where there are any."""
        if low is None and high is None:
            return self
        prediction, lower, upper, members = (
            np.clip(part, low, high) for part in (self.prediction, self.lower, self.upper, self.members)
        )
        return replace(
            self, prediction=prediction, lower=lower, upper=upper, members=members,
            held_out=self.held_out.clipped(low, high),
            median=None if self.median is None else np.clip(self.median, low, high),
        )  # fmt: skip


def forecast_series(history: History, horizon: int, levels: tuple[float, ...]) -> CombinedForecast:
    """Forecast a series.

    Args:
        history: of the series.
        horizon: how many steps ahead.
        levels: of the intervals, in percent.
    """
    never_negative = bool(np.min(history.y) >= 0)
    ends = cutoffs(len(history.y), horizon, history.pace)
    probabilities = tuple(level / 100 for level in levels)
    if counts.has_many_zeros(history.y, history.pace.season):
        return _forecast_counts(history, ends, horizon, probabilities)
    largest = float(np.max(np.abs(history.y)))
    unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0  # a power of two: scaling changes no digit
    history = replace(history, y=history.y / unit, known=history.known / unit)
    found = combination_of(history, ends, horizon)
    windows, shape = ends[1:], (len(levels), len(ends) - 1, horizon)
    known = np.minimum(horizon, len(history.y) - windows) / horizon
    calibration, neighbours = combination.calibration_of(history.pace), windows_of(history.pace).neighbours
    (scale, _), past = scale_of(history.known, history.pace.season), np.empty(shape)
    widths = combination.half_widths(found.residuals, float(known.sum()), scale, calibration, probabilities)
    scales, _ = scales_of(history.known, history.pace.season, windows)
    for w in range(len(windows)):
        others = np.abs(np.arange(len(windows)) - w) > neighbours
        past[:, w] = combination.half_widths(
            found.residuals[others], float(known[others].sum()), float(scales[w]), calibration, probabilities
        )
    actual = actual_after(history.known, windows, horizon)
    combined = actual - found.residuals
    usable = np.flatnonzero(found.usable)
    chosen = members_of(history.pace)

    def floored(ends: Floats) -> Floats:
        return np.maximum(ends, 0.0) if never_negative else ends

    held_out = HeldOut(
        windows, actual, np.concatenate([combined[None], found.forecasts[1:, usable].transpose(1, 0, 2)]),
        floored(combined - past), floored(combined + past),
    )  # fmt: skip
    return CombinedForecast(
        found.prediction * unit, floored((found.prediction - widths) * unit),
        floored((found.prediction + widths) * unit),
        {NAMES[chosen[i]]: float(found.weights[i]) for i in usable.tolist()}, found.forecasts[0, usable] * unit,
        held_out.compared().times(unit),
    )  # fmt: skip


def _forecast_counts(history: History, ends: Ints, horizon: int, probabilities: tuple[float, ...]) -> CombinedForecast:
    """Forecast counts with many zeros: each step is forecast alike."""
    members = np.empty((len(ends), len(counts.MEMBERS)))
    with_median = (0.0, *probabilities)  # both ends of an interval of nothing
    low, high = np.zeros((len(ends), len(with_median))), np.zeros((len(ends), len(with_median)))
    for w, end in enumerate(ends.tolist()):
        members[w], low[w], high[w] = counts.forecast(history.y[:end], with_median)
    median, low, high = np.full(horizon, low[0, 0]), low[:, 1:], high[:, 1:]
    predictions = np.concatenate([members.mean(axis=1, keepdims=True), members], axis=1)

    def each_step(numbers: Floats) -> Floats:
        return np.repeat(numbers.T[..., None], horizon, axis=-1)

    windows = ends[1:]
    actual = actual_after(history.known, windows, horizon)
    held_out = HeldOut(windows, actual, each_step(predictions[1:]), each_step(low[1:]), each_step(high[1:]))
    equal = dict.fromkeys(counts.MEMBERS, 1 / len(counts.MEMBERS))
    return CombinedForecast(
        np.full(horizon, predictions[0, 0]),
        each_step(low[0]),
        each_step(high[0]),
        equal,
        each_step(members[0]),
        held_out.compared(),
        median,
    )


def members_of(pace: Pace) -> tuple[int, ...]:
    """Return the members of a series."""
    if is_weekly(pace):
        return WEEKLY_MEMBERS
    return HOURLY_MEMBERS if pace.season == HOURLY_SEASON else MEMBERS[pace.kind]


class Combination(NamedTuple):
    """A combination of members.

    Attributes:
        prediction: shape (h,).
        weights: of the members, shape (k,).
        residuals: its held-out errors by window, shape (w, h); see combination.combined.
        forecasts: of the members, after the whole history and after each cutoff, shape (1 + w, k, h).
        usable: whether each has one after the whole history, shape (k,).
    """

    prediction: Floats
    weights: Floats
    residuals: Floats
    forecasts: Floats
    usable: Bools


def combination_of(history: History, ends: Ints, horizon: int) -> Combination:
    """Return the combination of a series' members.

    Args:
        history: of the series.
        ends: cutoffs, the whole history first, shape (1 + w,).
        horizon: how many steps ahead.
    """
    y, pace = history.y, history.pace
    every = np.empty((len(ends), len(NAMES), horizon))
    window_forecasts(y, ends, pace, every)
    if is_weekly(pace):
        every[:, list(OF_PROPHET)] = of_prophet.forecasts(y, history.dates, ends, horizon)
    forecasts, usable = _bounded(y, ends, every, np.array(members_of(pace)))
    prediction, weights, residuals = combination.combined(history.known, ends, forecasts, usable, pace)
    low, high = float(np.min(y)), float(np.max(y))
    prediction = np.clip(prediction, low - (high - low), high + (high - low))  # within its members' bounds, exactly
    return Combination(prediction, weights, residuals, forecasts, usable)


@compiled
def _bounded(y: Floats, ends: Ints, every: Floats, chosen: Ints) -> tuple[Floats, Bools]:
    """Return the chosen members' forecasts, within bounds, and whether each has one after the whole history.

    A forecast goes no further beyond what is known of the history than the history is wide, and not below 0 if the
    history never does. In a window in which a member is not available, theta stands for it.
    """
    windows, _, horizon = every.shape
    forecasts, usable = np.empty((windows, len(chosen), horizon)), np.ones(len(chosen), np.bool_)
    for w in range(windows):
        low, high = np.min(y[: ends[w]]), np.max(y[: ends[w]])
        floor, ceiling = float(low - (high - low)), float(high + (high - low))
        if low >= 0:
            floor = max(floor, 0.0)
        for i in range(len(chosen)):
            member = chosen[i]
            for k in range(horizon):
                if not np.isfinite(every[w, chosen[i], k]):
                    member = THETA
                    if w == 0:
                        usable[i] = False
            for k in range(horizon):
                forecasts[w, i, k] = min(max(every[w, member, k], floor), ceiling)
    return forecasts, usable
