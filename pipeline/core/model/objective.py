"""Prophet's own objective, written plainly from its Stan program, for comparing engines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.core.arrays import Floats


def negative_log_posterior(
    growth: str, t: Floats, y: Floats, cap: Floats | None, changepoints: Floats, features: Floats,
    prior_scales: Floats, multiplicative: npt.NDArray[np.bool_], tau: float,
    k: float, m: float, delta: Floats, beta: Floats, sigma: float,
) -> float:  # fmt: skip
    """Return Prophet's negative log posterior without its constants.

    Args:
        growth: linear, logistic or flat.
        t: scaled time, shape (T,).
        y: scaled values, shape (T,).
        cap: scaled capacities, shape (T,), for logistic growth.
        changepoints: shape (S,).
        features: X, shape (T, K).
        prior_scales: of beta, shape (K,).
        multiplicative: of each feature, shape (K,).
        tau: changepoint_prior_scale.
        k, m, delta, beta, sigma: Prophet's parameters; delta of shape (S,), beta of shape (K,).
    """
    after = t[:, None] >= changepoints[None, :]
    if growth == "flat":
        trend = np.full(len(t), m)
    elif growth == "linear":
        trend = (k + after @ delta) * t + (m - after @ (changepoints * delta))
    else:
        assert cap is not None
        rates = np.concatenate([[k], k + np.cumsum(delta)])
        offset, gamma = m, np.zeros(len(changepoints))
        for i, s in enumerate(changepoints):
            gamma[i] = (s - offset) * (1 - rates[i] / rates[i + 1])
            offset += gamma[i]
        trend = cap / (1 + np.exp(-(k + after @ delta) * (t - (m + after @ gamma))))
    mean = trend * (1 + features @ (beta * multiplicative)) + features @ (beta * ~multiplicative)
    likelihood = len(y) * np.log(sigma) + np.sum((y - mean) ** 2) / (2 * sigma**2)
    priors = (
        (k**2 + m**2) / (2 * 5**2)
        + np.sum(np.abs(delta)) / tau
        + sigma**2 / (2 * 0.5**2)
        + np.sum((beta / prior_scales) ** 2) / 2
    )
    return float(likelihood + priors)
