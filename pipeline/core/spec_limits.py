"""The cost of a request's options alone, checked against the operator's limits."""

from __future__ import annotations

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits

# Fourier orders of Prophet's own seasonalities by default.
DEFAULT_ORDERS = {"yearly": 10, "weekly": 3, "daily": 4}
LIMIT_OF_CODE = {
    "TOO_MANY_FEATURES": "max_features", "TOO_MANY_LEVELS": "max_levels", "FORECAST_TOO_LARGE": "max_outputs",
}  # fmt: skip
COUNTRY_HOLIDAYS = 60  # at least as many as a country's calendar has names


def features_of(spec: ForecastSpec) -> int:
    """Return the most columns that a series' model may have: trend, changepoints, seasonalities, holidays, regressors.

    Every automatic seasonality that may be chosen counts.
    """
    columns = 2 + len(spec.regressors)
    columns += spec.n_changepoints if spec.changepoints is None else len(spec.changepoints)
    columns += sum(2 * seasonality.fourier_order for seasonality in spec.seasonalities)
    for name, order in DEFAULT_ORDERS.items():
        wanted = getattr(spec, f"{name}_seasonality")
        own = order if wanted == "auto" or wanted is True else int(wanted)
        columns += 2 * own
    columns += sum(
        max(holiday.upper_window - holiday.lower_window + 1 for holiday in spec.holidays if holiday.holiday == name)
        for name in {holiday.holiday for holiday in spec.holidays}
    )
    return columns + (COUNTRY_HOLIDAYS if spec.country_holidays is not None else 0)


def outputs_of(spec: ForecastSpec) -> int:
    """Return how many numbers a series' forecast has: on each date its value, interval ends and components."""
    return spec.horizon * (1 + 2 * len(spec.level) + len(spec.component_names))


def refuse_costly(spec: ForecastSpec, limits: Limits) -> RecordError | None:
    """Return the error for options that cost more than is allowed; None if they do not."""
    features, outputs = features_of(spec), outputs_of(spec)
    if features > limits.max_features:
        return RecordError(
            "TOO_MANY_FEATURES",
            f"The options give the model up to {features:,} columns (changepoints, two for each Fourier term, one for "
            f"each day of a holiday's window, regressors); at most {limits.max_features:,} are allowed.",
            "Ask for fewer, or ask the operator to raise --max_features.",
        )
    if len(spec.level) > limits.max_levels:
        return RecordError(
            "TOO_MANY_LEVELS",
            f"The options ask for {len(spec.level):,} levels; at most {limits.max_levels:,} are allowed.",
            "Ask for fewer, or ask the operator to raise --max_levels.",
        )
    if outputs > limits.max_outputs:
        return RecordError(
            "FORECAST_TOO_LARGE",
            f"The forecast would have {outputs:,} numbers for each series: horizon times one for itself, two for each "
            f"level, one for each component; at most {limits.max_outputs:,} are allowed.",
            "Shorten the horizon, or ask the operator to raise --max_outputs.",
        )
    return None


def refuse_large_forecast(series: int, spec: ForecastSpec, limits: Limits) -> RecordError | None:
    """Return the error for a file whose forecast has too many rows in the table; None if it does not."""
    rows = series * spec.horizon * max(len(spec.level), 1)
    if rows <= limits.max_forecast_rows:
        return None
    return RecordError(
        "FORECAST_TOO_LARGE",
        f"The forecast would have {rows:,} rows: {series:,} series times horizon times levels; "
        f"at most {limits.max_forecast_rows:,} are allowed.",
        "Shorten the horizon, split the file, or ask the operator to raise --max_forecast_rows.",
    )
