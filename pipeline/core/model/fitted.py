"""Fitted series, with Prophet's parameters."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.arrays import Floats, Ints
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.design.columns import ColumnLayout


@dataclass(frozen=True)
class FittedSeries:
    """Fitted series whose models have the same columns, with Prophet's parameters.

    Attributes:
        members: which of the histories these are, shape (n,).
        spec: the options of the fit.
        columns: what the columns of beta are.
        start: first date, microseconds, shape (n,).
        t_scale: last date less first, microseconds, shape (n,).
        y_scale: shape (n,).
        floor: what values are lessened by before they are scaled, if no column or option says so; shape (n,).
        changepoints_t: in scaled time, ascending, shape (n, S); [0] if there are none, as in Prophet.
        k, m, sigma_obs: shape (n,).
        delta: shape (n, S).
        beta: shape (n, K).
        regressor_mean, regressor_std: by which regressors are standardised, shape (n, R).
        status: how sigma was found, see solve/solver.py; shape (n,).
        rows: lengths of the histories, shape (n,).
    """

    members: Ints
    spec: ForecastSpec
    columns: ColumnLayout
    start: Ints
    t_scale: Ints
    y_scale: Floats
    floor: Floats
    changepoints_t: Floats
    k: Floats
    m: Floats
    delta: Floats
    beta: Floats
    sigma_obs: Floats
    regressor_mean: Floats
    regressor_std: Floats
    status: Ints
    rows: Ints

    def __len__(self) -> int:
        return len(self.members)
