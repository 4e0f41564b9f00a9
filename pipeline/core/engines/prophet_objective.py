"""Prophet's objective on Prophet's own design, for the parameters that either engine found."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core.arrays import Bools, Floats
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.objective import negative_log_posterior


def without_constant_regressors(spec: ForecastSpec, extras: dict[str, Floats], past: int) -> tuple[ForecastSpec, Bools]:
    """Return the options without regressors that never change in the history, and which ones are left, shape (R,).

    The native engine gives them no effect; Prophet would divide the level between them and the trend.

    Args:
        spec: the options.
        extras: numbers of the extra columns, the first `past` of them those of the history.
        past: length of the history.
    """
    varies = [bool(np.ptp(extras[regressor.name][:past]) > 0) for regressor in spec.regressors]
    kept = tuple(regressor for regressor, wanted in zip(spec.regressors, varies, strict=True) if wanted)
    return spec.model_copy(update={"regressors": kept}), np.array(varies, dtype=np.bool_)


def native_parameters(fitted: FittedSeries, i: int, varies: Bools) -> dict[str, Any]:
    """Return the parameters of one fitted series, as the objective takes them.

    Args:
        fitted: with the series.
        i: which one it is.
        varies: which regressors are in the design, shape (R,).
    """
    beta = fitted.beta[i]
    own = np.concatenate([np.ones(len(beta) - len(varies), dtype=np.bool_), varies])
    return {
        "k": fitted.k[i], "m": fitted.m[i], "delta": fitted.delta[i], "beta": beta[own], "sigma": fitted.sigma_obs[i],
    }  # fmt: skip


def stan_parameters(model: Any, columns: int) -> dict[str, Any]:
    """Return the parameters of a prophet.Prophet fitted by Stan, as the objective takes them.

    Args:
        model: it.
        columns: number of features; Prophet uses one of zeros if there is none.
    """
    found = {name: np.asarray(value).ravel() for name, value in model.params.items()}
    return {"k": found["k"][0], "m": found["m"][0], "delta": found["delta"], "beta": found["beta"][:columns],
            "sigma": found["sigma_obs"][0]}  # fmt: skip


def objective(model: Any, spec: ForecastSpec, parameters: dict[str, Any]) -> float:
    """Return Prophet's objective on Prophet's own design, whoever found the parameters.

    Args:
        model: a prophet.Prophet that was fitted to the history.
        spec: its options.
        parameters: k, m, delta, beta and sigma.
    """
    features, scales, components, _ = model.make_all_seasonality_features(model.history)
    if list(features.columns) == ["zeros"]:
        features, scales = features.iloc[:, :0], []
    multiplicative = components["multiplicative_terms"].to_numpy() == 1
    return negative_log_posterior(
        spec.growth, model.history["t"].to_numpy(), model.history["y_scaled"].to_numpy(),
        model.history["cap_scaled"].to_numpy() if spec.growth == "logistic" else None, model.changepoints_t,
        features.to_numpy(float), np.array(scales), multiplicative[: features.shape[1]], spec.changepoint_prior_scale,
        **parameters)  # fmt: skip
