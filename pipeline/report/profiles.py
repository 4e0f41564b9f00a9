"""What fitted series consist of, in few numbers: their trend over all their dates, one period of each season."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import DAY, Dates
from pipeline.core.engines.native import SeriesArrays
from pipeline.core.model.design.structure import Seasonality
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.predict import Prediction, components, predict

HISTORY_POINTS, FUTURE_POINTS = 48, 12
MONDAY = int(np.datetime64("2023-01-02", "us").astype(np.int64))
NEW_YEAR = int(np.datetime64("2023-01-01", "us").astype(np.int64))


@dataclass(frozen=True)
class Profile:
    """One component of n series.

    Attributes:
        name: Prophet's name of it.
        over: what it goes along: `dates`, or `week`, `year`, `day`, `period` (one of it, from its beginning).
        share: whether the values are shares of the trend, not in units of y.
        x: microseconds, shape (n, K), if it goes along dates; else days from the beginning, shape (K,).
        values: shape (n, K).
    """

    name: str
    over: str
    share: bool
    x: Dates | Floats
    values: Floats


def profiles(fitted: FittedSeries, block: SeriesArrays) -> list[Profile]:
    """Return the components of fitted series, the trend first.

    Args:
        fitted: some of the block's series.
        block: the series that they were fitted to.
    """
    found = [_trend(fitted, block)]
    columns = fitted.columns

    def is_share(part: slice) -> bool:
        return bool(columns.multiplicative[part.start])

    by_day = any(seasonality.period <= 1 for seasonality in columns.seasonalities)
    for seasonality, part in zip(columns.seasonalities, columns.of_seasonalities, strict=True):
        over, first, days = _one_period(seasonality, by_day)
        dates = np.tile(first + np.round(days * DAY).astype(np.int64), (len(fitted), 1))
        effect = _effects(fitted, block, dates)[seasonality.name]
        found.append(Profile(seasonality.name, over, is_share(part), days, effect))
    if columns.holidays or columns.regressors:
        future = block.future[fitted.members]
        ahead = {name: column[fitted.members] for name, column in block.ahead.items()}
        effects = components(fitted, _nothing(future.shape), future, ahead)
        parts = {"holidays": columns.of_holidays} if columns.holidays else {}
        parts |= {name: columns.of_regressor(i) for i, name in enumerate(columns.regressors)}
        found += [Profile(name, "dates", is_share(part), future, effects[name]) for name, part in parts.items()]
    return found


def _trend(fitted: FittedSeries, block: SeriesArrays) -> Profile:
    """Return the trend at some of each history's dates, and some of those forecast."""
    offsets = block.histories.offsets
    starts, rows = offsets[:-1][fitted.members], np.diff(offsets)[fitted.members]
    past = starts[:, None] + np.round(np.linspace(0, 1, HISTORY_POINTS) * (rows[:, None] - 1)).astype(np.int64)
    horizon = block.future.shape[1]
    next_ = np.unique(np.round(np.linspace(0, horizon - 1, FUTURE_POINTS)).astype(np.int64))
    dates = np.column_stack([block.histories.ds[past], block.future[fitted.members][:, next_]])
    extras = {
        name: np.column_stack([column[past], block.ahead[name][fitted.members][:, next_]])
        for name, column in block.histories.extras.items()
    }
    return Profile("trend", "dates", False, dates, predict(fitted, dates, extras).trend)


def _one_period(seasonality: Seasonality, by_day: bool) -> tuple[str, int, Floats]:
    """Return the name of a season's period, the start of one, and the days from there to evaluate."""
    if seasonality.period == 7:
        return "week", MONDAY, np.arange(56) / 8 if by_day else np.arange(7.0)
    if seasonality.period == 365.25:
        return "year", NEW_YEAR, np.arange(0, 365, 7.0)
    if seasonality.period == 1:
        return "day", MONDAY, np.arange(48) / 48
    return "period", NEW_YEAR, np.linspace(0, seasonality.period, 49)


def _effects(fitted: FittedSeries, block: SeriesArrays, dates: Dates) -> dict[str, Floats]:
    """Return the components on dates without extra columns; conditional seasonalities apply throughout."""
    extras = {name: np.ones(dates.shape) for name in block.ahead}
    for i, regressor in enumerate(fitted.spec.regressors):
        extras[regressor.name] = np.broadcast_to(fitted.regressor_mean[:, i, None], dates.shape)
    return components(fitted, _nothing(dates.shape), dates, extras)


def _nothing(shape: tuple[int, ...]) -> Prediction:
    empty = np.zeros(shape)
    return Prediction(empty, empty, empty, empty, empty, empty)
