"""Reads Prophet's own JSON of a fitted model, whoever wrote it; checked, and without the prophet package."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec, Holiday, Regressor
from pipeline.core.model.design.columns import ColumnLayout
from pipeline.core.model.design.structure import Seasonality, holiday_columns
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.solve.solver import MAXIMUM

MOST = 1e150  # of a parameter: products of two are still numbers
MOST_SECONDS = 4e11  # from 1970, or between two dates: more than there are from the year 1 to 9999


class _Seasonality(BaseModel):
    period: float = Field(gt=0, allow_inf_nan=False)
    fourier_order: int = Field(ge=1, le=1000)
    prior_scale: float = Field(gt=0)
    mode: str = Field(pattern="^(additive|multiplicative)$")
    condition_name: str | None = None


class _Regressor(BaseModel):
    prior_scale: float = Field(gt=0)
    mu: float = Field(ge=-MOST, le=MOST)
    std: float = Field(ge=-MOST, le=MOST)
    mode: str = Field(pattern="^(additive|multiplicative)$")


class _Parameters(BaseModel):
    k: list[list[float]]
    m: list[list[float]]
    delta: list[list[float]]
    beta: list[list[float]]
    sigma_obs: list[list[float]]


class _Model(BaseModel):
    """The fields of the JSON that are used; others are ignored."""

    model_config = ConfigDict(extra="ignore")

    growth: str = Field(pattern="^(linear|logistic|flat)$")
    start: float = Field(ge=-MOST_SECONDS, le=MOST_SECONDS)
    t_scale: float = Field(gt=0, le=MOST_SECONDS)
    y_scale: float = Field(gt=0, le=MOST)
    y_min: float = Field(0.0, ge=-MOST, le=MOST)
    scaling: str = Field("absmax", pattern="^(absmax|minmax)$")
    logistic_floor: bool
    changepoints_t: list[float]
    seasonality_mode: str = Field(pattern="^(additive|multiplicative)$")
    holidays_mode: str | None = None
    holidays_prior_scale: float = 10.0
    seasonalities: tuple[list[str], dict[str, _Seasonality]]
    extra_regressors: tuple[list[str], dict[str, _Regressor]]
    country_holidays: str | None = None
    holidays: str | None = None
    train_holiday_names: str | None = None
    history: str
    params: _Parameters


def from_prophet_json(text: str) -> FittedSeries:
    """Return the series that the JSON describes.

    Raises:
        RecordError: BAD_MODEL if it is not such JSON, or the model is not supported.
    """
    try:
        return _fitted(_Model.model_validate_json(text))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise _bad(f"{where}: {fault['msg']}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _bad(str(error)) from None


def _bad(reason: str) -> RecordError:
    return RecordError(
        "BAD_MODEL",
        f"The model cannot be used: {reason}",
        "Use a model that Prophet's model_to_json or --save_models wrote.",
    )


def _fitted(model: _Model) -> FittedSeries:
    keys, known = model.seasonalities
    seasonalities = tuple(Seasonality(key, **known[key].model_dump()) for key in keys)
    names, regressors = model.extra_regressors
    holidays = _holidays(model)
    spec = ForecastSpec(
        growth=model.growth,
        cap=1.0 if model.growth == "logistic" else None,  # the forecast's own takes its place
        scaling=model.scaling,
        seasonality_mode=model.seasonality_mode,
        holidays_mode=model.holidays_mode,
        holidays_prior_scale=model.holidays_prior_scale,
        country_holidays=model.country_holidays,
        holidays=holidays,
        regressors=tuple(
            Regressor(name=name, prior_scale=regressors[name].prior_scale, mode=regressors[name].mode) for name in names
        ),
    )
    history = json.loads(model.history)["data"]
    years = sorted({int(str(row["ds"])[:4]) for row in history})
    trained = set(json.loads(model.train_holiday_names)["data"]) if model.train_holiday_names else set()
    columns = tuple(column for column in holiday_columns(spec, years) if column.name in trained)
    p = {name: np.array(value, dtype=np.float64) for name, value in model.params.model_dump().items()}
    if any(value.ndim != 2 or len(value) != 1 for value in p.values()):
        raise ValueError("it has more than one draw of its parameters (mcmc_samples)")
    if not all((np.abs(value) <= MOST).all() for value in (*p.values(), np.array(model.changepoints_t))):
        raise ValueError("its parameters are not finite, or too large")  # false for NaN, too
    layout = ColumnLayout.of(spec, seasonalities, columns)
    beta = p["beta"] if len(layout) else np.empty((1, 0))
    if beta.shape[1] != len(layout) or p["delta"].shape[1] != len(model.changepoints_t):
        raise ValueError(f"it has {beta.shape[1]} coefficients for {len(layout)} features")
    return FittedSeries(
        members=np.zeros(1, np.int64),
        spec=spec,
        columns=layout,
        start=np.array([round(model.start * 1e6)], dtype=np.int64),
        t_scale=np.array([round(model.t_scale * 1e6)], dtype=np.int64),
        y_scale=np.array([model.y_scale]),
        floor=np.array([model.y_min if model.scaling == "minmax" and not model.logistic_floor else 0.0]),
        changepoints_t=np.array([model.changepoints_t]),
        k=p["k"][:, 0],
        m=p["m"][:, 0],
        delta=p["delta"],
        beta=beta,
        sigma_obs=p["sigma_obs"][:, 0],
        regressor_mean=np.array([[regressors[name].mu for name in names]]),
        regressor_std=np.array([[regressors[name].std for name in names]]),
        status=np.full(1, MAXIMUM),
        rows=np.array([len(history)]),
    )


def _holidays(model: _Model) -> tuple[Holiday, ...]:
    rows: list[dict[str, Any]] = json.loads(model.holidays)["data"] if model.holidays else []
    return tuple(
        Holiday(
            holiday=row["holiday"],
            ds=(date.fromisoformat(str(row["ds"])[:10]),),
            lower_window=int(row.get("lower_window") or 0),
            upper_window=int(row.get("upper_window") or 0),
            prior_scale=row.get("prior_scale"),
        )
        for row in rows
    )
