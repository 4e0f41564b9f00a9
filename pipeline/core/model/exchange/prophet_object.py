"""Fitted series as prophet.Prophet objects, so that all code written for these works on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import prophet

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import Dates
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.fitted import FittedSeries


def _as_it_is(name: str, position: int = 0) -> str:
    return name


def prophet_model(
    spec: ForecastSpec,
    regressor_name: Callable[[str, int], str] = _as_it_is,
    condition_name: Callable[[str], str] = _as_it_is,
) -> Any:
    """Return a Prophet object, not fitted, with the options of a spec.

    Args:
        spec: the options.
        regressor_name: what to call a regressor in Prophet, given its name and position.
        condition_name: what to call a seasonality's condition, given its name.

    Raises:
        ValueError: if Prophet keeps a name for itself.
    """
    holidays = [
        {"holiday": holiday.holiday, "ds": day, "lower_window": holiday.lower_window,
         "upper_window": holiday.upper_window, "prior_scale": holiday.prior_scale or spec.holidays_prior_scale}
        for holiday in spec.holidays for day in holiday.ds
    ]  # fmt: skip
    model = prophet.Prophet(
        growth=spec.growth,
        changepoints=None if spec.changepoints is None else list(spec.changepoints),
        n_changepoints=spec.n_changepoints,
        changepoint_range=spec.changepoint_range,
        changepoint_prior_scale=spec.changepoint_prior_scale,
        yearly_seasonality=spec.yearly_seasonality,
        weekly_seasonality=spec.weekly_seasonality,
        daily_seasonality=spec.daily_seasonality,
        holidays=pd.DataFrame(holidays) if holidays else None,
        seasonality_mode=spec.seasonality_mode,
        seasonality_prior_scale=spec.seasonality_prior_scale,
        holidays_prior_scale=spec.holidays_prior_scale,
        holidays_mode=spec.holidays_mode,
        scaling=spec.scaling,
        mcmc_samples=spec.mcmc_samples,
        uncertainty_samples=spec.uncertainty_samples,
    )
    if spec.country_holidays is not None:
        model.add_country_holidays(country_name=spec.country_holidays)
    for seasonality in spec.seasonalities:
        name = seasonality.condition_name
        model.add_seasonality(
            seasonality.name,
            seasonality.period,
            seasonality.fourier_order,
            prior_scale=seasonality.prior_scale,
            mode=seasonality.mode,
            condition_name=None if name is None else condition_name(name),
        )
    for i, regressor in enumerate(spec.regressors):
        model.add_regressor(
            regressor_name(regressor.name, i),
            prior_scale=regressor.prior_scale,
            standardize=regressor.standardize,
            mode=regressor.mode,
        )
    return model


def to_prophet(fitted: FittedSeries, i: int, ds: Dates, y: Floats, extras: dict[str, Floats]) -> Any:
    """Return a fitted series as a fitted Prophet object: its predict, its plots and its JSON work.

    Args:
        fitted: fitted series.
        i: index of the series.
        ds: its history's dates, microseconds, shape (n,).
        y: its values, shape (n,).
        extras: numbers of the extra columns on these dates, each of shape (n,).

    Raises:
        ValueError: if Prophet keeps the name of a regressor for itself.
    """
    spec = fitted.spec
    model = prophet_model(spec)
    frame = pd.DataFrame({"ds": ds.astype("datetime64[us]"), "y": y})
    for name, option in (("cap", spec.cap), ("floor", spec.floor)):
        if option is not None:
            frame[name] = extras[option] if isinstance(option, str) else option
    for regressor in spec.regressors:
        frame[regressor.name] = extras[regressor.name]
    for seasonality in spec.seasonalities:
        if seasonality.condition_name is not None:
            frame[seasonality.condition_name] = extras[seasonality.condition_name] != 0
    model.preprocess(frame)
    ours = dict(zip(fitted.columns.names, fitted.beta[i].tolist(), strict=True))
    features, *_ = model.make_all_seasonality_features(model.history)
    # a holiday of years that this series lacks has no effect; `zeros` is the only column if there is no feature
    beta = np.array([ours.get(name, 0.0) for name in features.columns])
    model.params = {
        "k": fitted.k[i].reshape(1, 1), "m": fitted.m[i].reshape(1, 1), "delta": fitted.delta[i][None],
        "sigma_obs": fitted.sigma_obs[i].reshape(1, 1), "beta": beta[None],
    }  # fmt: skip
    return model
