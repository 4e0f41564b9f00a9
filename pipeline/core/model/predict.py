"""Forecasts fitted series: Prophet's predict, and its intervals without simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.dates.calendars import Dates
from pipeline.core.model.features import date_table, feature_table
from pipeline.core.model.fit import (
    GROWTHS,
    FittedSeries,
    capacity,
    gate_columns,
    gates_of_columns,
    multiplicative_columns,
)
from pipeline.core.model.gauss_newton import FLAT, LOGISTIC
from pipeline.core.model.ragged import predict_ragged
from pipeline.core.model.structure import holiday_columns, years_of


@dataclass(frozen=True)
class Prediction:
    """The forecast of fitted series at n series' H dates, in units of y.

    Attributes:
        trend: with the floor, shape (n, H).
        factor: 1 + the multiplicative terms, shape (n, H).
        yhat: shape (n, H).
        t: scaled time, shape (n, H).
        floor: shape (n, H).
        cap: scaled, shape (n, H); empty unless growth is logistic.
    """

    trend: Floats
    factor: Floats
    yhat: Floats
    t: Floats
    floor: Floats
    cap: Floats


def predict(fitted: FittedSeries, dates: Dates, extras: dict[str, Floats]) -> Prediction:
    """Forecast fitted series.

    Args:
        fitted: n series.
        dates: microseconds, ascending in each row, shape (n, H).
        extras: numbers of the extra columns on these dates, each of shape (n, H).
    """
    spec = fitted.spec
    n, horizon = dates.shape
    growth = GROWTHS[spec.growth]
    first = 1 if growth == FLAT else 2
    t = (dates - fitted.start[:, None]) / fitted.t_scale[:, None]
    features, rows = features_on(fitted, dates)
    names, gate_of = gates_of_columns(fitted.seasonalities, features.shape[1])
    own = np.empty((n * horizon, len(spec.regressors)))
    for i in range(len(spec.regressors)):
        own[:, i] = standardised(fitted, i, extras).ravel()
    gates = gate_columns(names, extras, n * horizon)
    floor = np.repeat(fitted.floor[:, None], horizon, axis=1)
    cap = np.empty(0)
    if growth == LOGISTIC:
        if spec.floor is not None:
            floor = capacity(spec.floor, extras, dates.shape)
        cap = (capacity(spec.cap, extras, dates.shape) - floor) / fitted.y_scale[:, None]
    smooth = [fitted.m] if growth == FLAT else [fitted.k, fitted.m]
    hinges = fitted.changepoints_t[:, :0] if growth == FLAT else fitted.changepoints_t
    delta = fitted.delta[:, :0] if growth == FLAT else fitted.delta
    theta = np.column_stack([*smooth, fitted.beta, delta])
    multiplicative = multiplicative_columns(spec, fitted.seasonalities, fitted.holidays)
    trend, factor, yhat = np.empty(n * horizon), np.empty(n * horizon), np.empty(n * horizon)
    predict_ragged(
        growth, np.arange(n + 1) * horizon, t.ravel(), cap.ravel(), np.ascontiguousarray(hinges), rows, features, own,
        gates, gate_of, np.concatenate([np.zeros(first, np.bool_), multiplicative]),
        theta, trend, factor, yhat)  # fmt: skip
    shape = (n, horizon)
    scale = fitted.y_scale[:, None]
    trend, factor = trend.reshape(shape) * scale + floor, factor.reshape(shape)
    # Prophet's multiplicative terms multiply the floor as well
    return Prediction(trend, factor, yhat.reshape(shape) * scale + floor * factor, t, floor, cap)


def components(
    fitted: FittedSeries, prediction: Prediction, dates: Dates, extras: dict[str, Floats]
) -> dict[str, Floats]:
    """Return the components of a forecast as Prophet gives them, each of shape (n, H).

    The trend and additive components are in units of y, multiplicative ones are shares of the trend.
    """
    n, horizon = dates.shape
    table, rows = features_on(fitted, dates)
    features = table[rows].reshape(n, horizon, table.shape[1])
    additive = ~multiplicative_columns(fitted.spec, fitted.seasonalities, fitted.holidays)
    found = {"trend": prediction.trend}

    def add(name: str, columns: slice, values: Floats) -> None:
        effect = np.einsum("nhk,nk->nh", values, fitted.beta[:, columns])
        scale = fitted.y_scale[:, None] if additive[columns].all() else 1.0
        found[name] = found.get(name, 0.0) + effect * scale

    at = 0
    for seasonality in fitted.seasonalities:
        columns = slice(at, at + 2 * seasonality.fourier_order)
        values = features[:, :, columns]
        if seasonality.condition_name is not None:
            values = values * (extras[seasonality.condition_name] != 0)[:, :, None]
        add(seasonality.name, columns, values)
        at = columns.stop
    if fitted.holidays:
        columns = slice(at, at + len(fitted.holidays))
        add("holidays", columns, features[:, :, columns])
        at = columns.stop
    for i, regressor in enumerate(fitted.spec.regressors):
        add(regressor.name, slice(at + i, at + i + 1), standardised(fitted, i, extras)[:, :, None])
    return found


def standardised(fitted: FittedSeries, i: int, extras: dict[str, Floats]) -> Floats:
    """Return the i-th regressor as the fit has seen it, shape (n, H)."""
    x = extras[fitted.spec.regressors[i].name]
    return (x - fitted.regressor_mean[:, i, None]) / fitted.regressor_std[:, i, None]


def features_on(fitted: FittedSeries, dates: Dates) -> tuple[Floats, Ints]:
    """Return the table of features of some dates, and each date's row in it."""
    holidays = fitted.holidays
    if holidays:  # the same columns, with the days of other years
        days = {column.key: column for column in holiday_columns(fitted.spec, years_of(dates))}
        holidays = tuple(days.get(column.key, column) for column in holidays)
    if len(dates) > 1 and (dates == dates[0]).all():
        table, rows = dates[0], np.tile(np.arange(dates.shape[1]), len(dates))
    else:
        table, parts = date_table([dates.ravel()])
        rows = parts[0]
    return feature_table(table, fitted.seasonalities, holidays), rows
