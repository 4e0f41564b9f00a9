"""The cost of a fit by the native engine, from the numbers of rows and columns alone: the same on every machine.

A compiled kernel cannot be stopped from outside, so its cost is estimated beforehand. The iterations of
every kernel are bounded; the costs below are those of their usual number. Measured on one core (docs/engine.md).
"""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.spec_limits import features_of

GRAM_SECONDS = 5e-10  # for each row and pair of columns
ROTATION_SECONDS = 2e-7  # for each column cubed: eigenvectors, where columns nearly depend on each other
NONLINEAR_ROUNDS = 20  # of Gauss-Newton, each with its own Gram matrix
WATCHED_SECONDS = 3.0  # a fit that costs more is done in a child, which can be stopped
CHUNK_NUMBERS = 50_000_000  # of features of the dates of series that are fitted together
MAX_DESIGN_NUMBERS = 200_000_000  # of those of one series: 1.6 GB


def estimated_seconds(rows: Ints, spec: ForecastSpec) -> Floats:
    """Return what the fits of series cost in seconds, shape (n,).

    Args:
        rows: lengths of the histories, shape (n,).
        spec: the options.
    """
    columns = features_of(spec)
    nonlinear = spec.growth == "logistic" or "multiplicative" in modes_of(spec)
    rounds = NONLINEAR_ROUNDS if nonlinear else 1
    grams = rounds * GRAM_SECONDS * rows.astype(np.float64) * columns**2
    seconds: Floats = grams + ROTATION_SECONDS * columns**3
    return seconds


def modes_of(spec: ForecastSpec) -> set[str]:
    """Return the modes that terms of the model have."""
    modes = {spec.seasonality_mode, spec.holidays_mode or spec.seasonality_mode}
    modes |= {seasonality.mode or spec.seasonality_mode for seasonality in spec.seasonalities}
    return modes | {regressor.mode or spec.seasonality_mode for regressor in spec.regressors}


def design_numbers(rows: Ints, spec: ForecastSpec) -> Ints:
    """Return how many features the dates of series have, history and horizon, shape (n,)."""
    numbers: Ints = (rows + spec.horizon) * features_of(spec)
    return numbers


def too_costly(rows: Ints, spec: ForecastSpec, limits: Limits) -> dict[int, RecordError]:
    """Return the refusals of series whose fit would take too long or too much memory, by row."""
    seconds, numbers = estimated_seconds(rows, spec), design_numbers(rows, spec)
    refused = {row: fit_timeout(limits.max_fit_seconds) for row in np.flatnonzero(seconds > limits.max_fit_seconds)}
    refused |= {row: _too_large(int(numbers[row])) for row in np.flatnonzero(numbers > MAX_DESIGN_NUMBERS)}
    return {int(row): error for row, error in refused.items() if rows[row]}  # others have a fault already


def fit_timeout(seconds: float) -> RecordError:
    """Return the fault of a series whose fit takes too long."""
    return RecordError(
        "FIT_TIMEOUT",
        f"The fit takes longer than {seconds:g} seconds.",
        "Ask for fewer seasonalities, holidays or changepoints, or ask the operator to raise --max_fit_seconds.",
    )


def _too_large(numbers: int) -> RecordError:
    return RecordError(
        "TOO_MANY_FEATURES",
        f"Rows plus horizon, times the model's columns, are {numbers:,} numbers; at most {MAX_DESIGN_NUMBERS:,} can be "
        "fitted.",
        "Ask for fewer seasonalities, holidays or changepoints, or a shorter horizon.",
    )
