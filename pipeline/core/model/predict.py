"""Forecasts fitted series: Prophet's predict, and its intervals without simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.dates.calendars import Dates
from pipeline.core.model.design.features import date_table, feature_table
from pipeline.core.model.design.scaling import capacity
from pipeline.core.model.design.structure import holiday_columns, years_of
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.solve.growth import FLAT, GROWTHS, LOGISTIC
from pipeline.core.model.solve.problem import RaggedRows, SmoothColumns
from pipeline.core.model.solve.ragged import predict_ragged


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
    spec, columns = fitted.spec, fitted.columns
    n, horizon = dates.shape
    growth = GROWTHS[spec.growth]
    flat = growth == FLAT
    t = (dates - fitted.start[:, None]) / fitted.t_scale[:, None]
    features, table_row = features_on(fitted, dates)
    own = np.empty((n * horizon, len(columns.regressors)))
    for i in range(len(columns.regressors)):
        own[:, i] = standardised(fitted, i, extras).ravel()
    floor = np.repeat(fitted.floor[:, None], horizon, axis=1)
    cap = np.empty(0)
    if growth == LOGISTIC:
        if spec.floor is not None:
            floor = capacity(spec.floor, extras, dates.shape)
        cap = (capacity(spec.cap, extras, dates.shape) - floor) / fitted.y_scale[:, None]
    smooth = [fitted.m] if flat else [fitted.k, fitted.m]
    hinges = fitted.changepoints_t[:, :0] if flat else fitted.changepoints_t
    delta = fitted.delta[:, :0] if flat else fitted.delta
    theta = np.column_stack([*smooth, fitted.beta, delta])
    multiplicative = np.concatenate([np.zeros(len(smooth), np.bool_), columns.multiplicative])
    rows = RaggedRows(
        np.arange(n + 1) * horizon, t.ravel(), np.ascontiguousarray(hinges), table_row, own,
        columns.conditions_met(extras, n * horizon), cap.ravel())  # fmt: skip
    trend, factor, yhat = np.empty(n * horizon), np.empty(n * horizon), np.empty(n * horizon)
    predict_ragged(
        SmoothColumns(growth, features, columns.condition_of_columns, multiplicative), rows, theta, trend, factor, yhat
    )
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
    columns = fitted.columns
    table, rows = features_on(fitted, dates)
    features = table[rows].reshape(n, horizon, table.shape[1])
    found = {"trend": prediction.trend}

    def add(name: str, part: slice, values: Floats) -> None:
        effect = np.einsum("nhk,nk->nh", values, fitted.beta[:, part])
        scale = fitted.y_scale[:, None] if not columns.multiplicative[part].any() else 1.0
        found[name] = found.get(name, 0.0) + effect * scale

    for seasonality, part in zip(columns.seasonalities, columns.of_seasonalities, strict=True):
        values = features[:, :, part]
        if seasonality.condition_name is not None:
            values = values * (extras[seasonality.condition_name] != 0)[:, :, None]
        add(seasonality.name, part, values)
    if columns.holidays:
        add("holidays", columns.of_holidays, features[:, :, columns.of_holidays])
    for i, name in enumerate(columns.regressors):
        add(name, columns.of_regressor(i), standardised(fitted, i, extras)[:, :, None])
    return found


def standardised(fitted: FittedSeries, i: int, extras: dict[str, Floats]) -> Floats:
    """Return the i-th regressor as the fit has seen it, shape (n, H)."""
    x = extras[fitted.columns.regressors[i]]
    return (x - fitted.regressor_mean[:, i, None]) / fitted.regressor_std[:, i, None]


def features_on(fitted: FittedSeries, dates: Dates) -> tuple[Floats, Ints]:
    """Return the table of features of some dates, and each date's row in it."""
    holidays = fitted.columns.holidays
    if holidays:  # the same columns, with the days of other years
        days = {column.key: column for column in holiday_columns(fitted.spec, years_of(dates))}
        holidays = tuple(days.get(column.key, column) for column in holidays)
    if len(dates) > 1 and (dates == dates[0]).all():
        table, rows = dates[0], np.tile(np.arange(dates.shape[1]), len(dates))
    else:
        table, rows, _ = date_table(dates.ravel())
    return feature_table(table, fitted.columns.seasonalities, holidays), rows
