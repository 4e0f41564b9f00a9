"""All members of a series, after each of some first parts of its history."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.members import autoregression, repeating, ridge, smoothing, theta
from pipeline.core.members.pace import FINER, YEARLY, Pace
from pipeline.core.members.seasonality import is_seasonal, seasonal_indices

NAMES = (
    "naive", "drift", "last season", "seasonal median", "theta", "damped trend on logs", "Holt-Winters additive",
    "Holt-Winters multiplicative", "autoregression", "autoregression on logs", "season means", "last year moved",
    "last week", "mean of two weeks", "ridge", "ridge on means", "ridge on logs", "Prophet flat, last error fading",
    "Prophet, level moved", "Prophet on logs, level moved",
)  # fmt: skip
(
    NAIVE, DRIFT, SEASONAL_NAIVE, MEDIAN, THETA, DAMPED_LOGS, ADDITIVE, MULTIPLICATIVE, AR, AR_LOGS, SHARES, MOVED,
    WEEK, TWO_WEEKS, RIDGE, RIDGE_MEANS, RIDGE_LOGS, PROPHET_FADING, PROPHET_LEVEL, PROPHET_LOGS,
) = range(20)  # fmt: skip
MAX_LOG_RISE = 3.0  # that a forecast of logs may be above the history's largest
LEAST_INDEX = 0.02  # of a multiplicative season: below it the series is taken for additive
MAX_ROWS = 600  # of the end of a history, to which recursions are applied
MAX_AR_ORDER, MAX_PLAIN_ORDER = 13, 5
HOURLY_SEASON = 24


@compiled
def window_forecasts(y: Floats, ends: Ints, pace: Pace, out: Floats) -> None:
    """Write the forecast of each member after each of some first parts of a history, NaN where it is not available.

    Parameters of smoothing and theta are searched on the whole history; the parts run their states anew.

    Args:
        y: values without gaps, shape (n,).
        ends: lengths of the parts, the whole history first; shape (w,).
        pace: of the series.
        out: shape (w, members, h).
    """
    out[:] = np.nan
    parameters = np.zeros((4, 4))
    for w in range(len(ends)):
        end = ends[w]
        part = y[max(0, end - max(MAX_ROWS, 6 * pace.season)) : end]
        _members_of(y[:end], part, pace, w == 0, parameters, out[w])
    if pace.kind == FINER:
        _ridges(y, ends, pace, out)


@compiled
def _members_of(whole: Floats, y: Floats, pace: Pace, first: bool, parameters: Floats, out: Floats) -> None:
    """Write the members after one part; `y` is the end of it, and parameters are searched for the first."""
    n, m, horizon = len(y), pace.season, out.shape[1]
    positive = bool(np.min(y) > 0)
    repeating.naive(y, out[NAIVE])
    if pace.kind == YEARLY:
        repeating.drift(y, out[DRIFT])
    if pace.kind == FINER:
        repeating.seasonal_naive(y, m, out[SEASONAL_NAIVE])
        _long_season(whole, pace, out)
    if m > 1 and n >= 4 * m:
        repeating.seasonal_median(y, m, out[MEDIAN])
    season, multiplicative, adjusted = np.zeros(m), False, y.copy()
    if m > 1 and n >= 2 * m + 2:
        ratios = seasonal_indices(y, m, True) if positive else season
        may_multiply = bool(positive and np.min(ratios) > LEAST_INDEX)
        differences = seasonal_indices(y, m, False)
        _holt_winters(y, smoothing.ADDITIVE, differences, first, parameters[0], out[ADDITIVE])
        if may_multiply:
            _holt_winters(y, smoothing.MULTIPLICATIVE, ratios, first, parameters[1], out[MULTIPLICATIVE])
        if n < 3 * m or is_seasonal(y, m):
            multiplicative = may_multiply
            season = ratios if multiplicative else differences
            for i in range(n):
                adjusted[i] = y[i] / season[i % m] if multiplicative else y[i] - season[i % m]
    seasonal = bool(np.any(season != 0))
    if first:
        theta.search(adjusted, parameters[2])
    theta.forecast(adjusted, parameters[2], out[THETA])
    logs_exist = bool(positive and np.min(adjusted) > 0)
    if logs_exist:
        logs = np.log(adjusted)
        level, trend = smoothing.start_of(logs[: min(n, smoothing.TREND_ROWS)])
        series = smoothing.Smoothing(logs, smoothing.NO_SEASON, np.zeros(1), level, trend)
        if first:
            smoothing.search(series, parameters[3])
        smoothing.forecast(series, parameters[3], out[DAMPED_LOGS])
        _exponentiate(out[DAMPED_LOGS], np.max(logs) + MAX_LOG_RISE)
    if seasonal:
        for member in (THETA, DAMPED_LOGS):
            _with_season(out[member], season, n, multiplicative)
    for member in (AR, AR_LOGS):
        if member == AR or logs_exist:
            _autoregression(y, adjusted, m, season, multiplicative, seasonal, member == AR_LOGS, out[member])
    if m > 1 and n >= 3 * m:
        means = repeating.season_means(y, m)
        ahead = np.empty((horizon + m - 1) // m)
        rise = means[1] - means[0]
        series = smoothing.Smoothing(means, smoothing.NO_SEASON, np.zeros(1), means[0] - rise, rise)
        own = np.zeros(4)
        smoothing.search(series, own)
        smoothing.forecast(series, own, ahead)
        repeating.shared_out(y, m, means, ahead, positive, out[SHARES])


@compiled
def _long_season(y: Floats, pace: Pace, out: Floats) -> None:
    long, n = pace.long_season, len(y)
    if long > 0 and n >= long:
        if pace.season == HOURLY_SEASON:
            repeating.seasonal_naive(y, long, out[WEEK])
            repeating.mean_season(y, long, out[TWO_WEEKS])
        elif n >= 2 * long:
            repeating.moved_season(y, long, pace.level_rows, out[MOVED])


@compiled
def _holt_winters(y: Floats, kind: int, season: Floats, first: bool, parameters: Floats, out: Floats) -> None:
    """Write the forecast of Holt-Winters' method, which begins with the season and trend of the first two seasons."""
    m = len(season)
    rows = min(len(y), 2 * m)
    adjusted = np.empty(rows)
    for i in range(rows):
        adjusted[i] = y[i] / season[i % m] if kind == smoothing.MULTIPLICATIVE else y[i] - season[i % m]
    level, trend = smoothing.start_of(adjusted)
    series = smoothing.Smoothing(y, kind, season, level, trend)
    if first:
        smoothing.search(series, parameters)
    smoothing.forecast(series, parameters, out)


@compiled
def _autoregression(
    y: Floats, adjusted: Floats, m: int, season: Floats, multiplicative: bool, seasonal: bool, logs: bool, out: Floats
) -> None:
    """Write the forecast of an autoregression on seasonal differences, or without a season on differences."""
    n, horizon = len(y), len(out)
    if seasonal and n >= 3 * m:
        x = np.empty(n - m)
        for i in range(n - m):
            x[i] = np.log(y[i + m] / y[i]) if logs else y[i + m] - y[i]
        autoregression.forecast(x, min(m + 1, MAX_AR_ORDER, len(x) // 4), out)
        for k in range(horizon):
            before = out[k - m] if k >= m else (np.log(y[n - m + k]) if logs else y[n - m + k])
            out[k] += before
        if logs:
            _exponentiate(out, np.log(np.max(y)) + MAX_LOG_RISE)
    elif n >= autoregression.ROWS_LEFT:
        x = np.empty(n - 1)
        for i in range(n - 1):
            x[i] = np.log(adjusted[i + 1] / adjusted[i]) if logs else adjusted[i + 1] - adjusted[i]
        autoregression.forecast(x, min(MAX_PLAIN_ORDER, len(x) // 4), out)
        value = np.log(adjusted[n - 1]) if logs else adjusted[n - 1]
        for k in range(horizon):
            value += out[k]
            out[k] = value
        if logs:
            _exponentiate(out, np.log(np.max(adjusted)) + MAX_LOG_RISE)
        if seasonal:
            _with_season(out, season, n, multiplicative)


@compiled
def _exponentiate(out: Floats, largest: float) -> None:
    for k in range(len(out)):
        out[k] = np.exp(min(out[k], largest))


@compiled
def _with_season(out: Floats, season: Floats, n: int, multiplicative: bool) -> None:
    for k in range(len(out)):
        index = season[(n + k) % len(season)]
        out[k] = out[k] * index if multiplicative else out[k] + index


@compiled
def _ridges(y: Floats, ends: Ints, pace: Pace, out: Floats) -> None:
    """Write the three regressions."""
    windows, horizon = len(ends), out.shape[2]
    values, available = np.empty((windows, horizon)), np.empty(windows, np.bool_)
    hourly, daily = pace.season == HOURLY_SEASON, 1 < pace.season < HOURLY_SEASON
    errors = 24 if hourly else 7 if daily else 2
    seasons = 3 if hourly else 8
    averaged = 2 if hourly else 8 if daily else 4
    positive = np.min(y[: ends[0]]) > 0
    for member in (RIDGE, RIDGE_MEANS, RIDGE_LOGS):
        if member == RIDGE_LOGS and not positive:
            continue
        own = averaged if member == RIDGE_MEANS else 1
        softness = 1.0 if member == RIDGE_LOGS else 4.0
        regression = ridge.Ridge(pace.season, pace.long_season, own, errors, seasons, softness)
        ridge.forecasts(np.log(y) if member == RIDGE_LOGS else y, ends, regression, values, available)
        for w in range(windows):
            if available[w]:
                out[w, member] = values[w]
                if member == RIDGE_LOGS:
                    _exponentiate(out[w, member], np.log(np.max(y[: ends[w]])) + MAX_LOG_RISE)
