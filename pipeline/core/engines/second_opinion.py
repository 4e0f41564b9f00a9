"""Stan's answer for a series in which the native engine's search ended where the posterior still rises."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import Dates
from pipeline.core.engines.prophet_objective import (
    native_parameters,
    objective,
    stan_parameters,
    without_constant_regressors,
)
from pipeline.core.errors import RecordError
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.histories import Histories
from pipeline.core.model.solve.solver import COLLAPSED, STAN, STUCK

LEAST_GAIN = 1e-6  # of the objective: a smaller improvement is not a different answer


def with_second_opinions(
    fitted: FittedSeries, histories: Histories, future: Dates, ahead: dict[str, Floats], seconds: float
) -> FittedSeries:
    """Return fitted series, those whose search got stuck with Stan's parameters where these are better.

    Stan's are taken if their objective is lower and their sigma has not collapsed; a search that came to no end at
    all has no objective. Status says which they are: STAN, or as before.

    Args:
        fitted: series of one model.
        histories: all that were fitted, of which `fitted.members` are these.
        future: dates to forecast, shape (N, H).
        ahead: numbers of the extra columns on these, each of shape (N, H).
        seconds: how long Stan may take for a series.
    """
    nonlinear = fitted.spec.growth == "logistic" or fitted.columns.multiplicative.any()
    stuck = np.flatnonzero(fitted.status >= STUCK)
    if not nonlinear or not len(stuck):
        return fitted
    changed = dataclasses.replace(fitted, **{name: getattr(fitted, name).copy() for name in _PARAMETERS})
    for i in stuck:
        member = int(fitted.members[i])
        rows = slice(int(histories.offsets[member]), int(histories.offsets[member + 1]))
        if np.ptp(histories.y[rows]) == 0:
            continue  # Prophet sets the parameters by its own rule
        extras = {name: np.concatenate([histories.extras[name][rows], ahead[name][member]]) for name in ahead}
        _ask_stan(changed, int(i), histories.ds[rows], histories.y[rows], future[member], extras, seconds)
    return changed


_PARAMETERS = ("k", "m", "delta", "beta", "sigma_obs", "status")


def _ask_stan(
    fitted: FittedSeries, i: int, dates: Dates, values: Floats, future: Dates, extras: dict[str, Floats], seconds: float
) -> None:
    """Replace a series' parameters with Stan's if these are better."""
    from pipeline.core.engines.stan import fitted_prophet  # takes seconds to import, and is seldom needed

    spec, varies = without_constant_regressors(fitted.spec, extras, len(dates))
    try:
        model, _ = fitted_prophet(dates, values, future, extras, spec, seconds)
    except RecordError:  # Stan found nothing either; the forecast's note says so
        return
    own = native_parameters(fitted, i, varies)
    found = stan_parameters(model, len(own["beta"]))
    scaled = model.history["y_scaled"].to_numpy()
    if not all(np.isfinite(value).all() for value in found.values()):
        return
    if found["sigma"] ** 2 <= COLLAPSED * float(np.var(scaled)):
        return
    if fitted.status[i] == STUCK and objective(model, spec, found) > objective(model, spec, own) - LEAST_GAIN:
        return
    fitted.k[i], fitted.m[i], fitted.sigma_obs[i] = found["k"], found["m"], found["sigma"]
    fitted.delta[i] = found["delta"]
    fitted.beta[i] = 0.0
    fitted.beta[i, np.concatenate([np.ones(fitted.beta.shape[1] - len(varies), dtype=np.bool_), varies])] = found[
        "beta"
    ]
    fitted.status[i] = STAN
