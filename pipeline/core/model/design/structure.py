"""Prophet's rules for the parts of a series' model: seasonalities, holidays, changepoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pipeline.core.dates.calendars import DAY, Dates
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.spec_limits import DEFAULT_ORDERS


@dataclass(frozen=True)
class Seasonality:
    """A Fourier series in the date; Prophet's add_seasonality under its own names, all settled.

    Attributes:
        period: in days.
        condition_name: a column that says when it applies, or None.
    """

    name: str
    period: float
    fourier_order: int
    prior_scale: float
    mode: str
    condition_name: str | None = None


@dataclass(frozen=True)
class HolidayColumn:
    """A column that is 1 on some days.

    Attributes:
        name: the holiday's name.
        offset: days from the holiday.
        prior_scale: of its effect.
        days: since 1970-01-01, on which it is 1, ascending.
    """

    name: str
    offset: int
    prior_scale: float
    days: tuple[int, ...]

    @property
    def key(self) -> str:
        """Prophet's name of the column."""
        return f"{self.name}_delim_{'+' if self.offset >= 0 else '-'}{abs(self.offset)}"


def automatic_seasonalities(span: npt.ArrayLike, least_step: npt.ArrayLike) -> dict[str, npt.NDArray[np.bool_]]:
    """Return, by name, for which of Prophet's own seasonalities histories are long and dense enough.

    Args:
        span: from the first date to the last, in microseconds.
        least_step: the least difference between neighbouring dates, in microseconds.
    """
    span, least_step = np.asarray(span), np.asarray(least_step)
    return {
        "yearly": span >= 730 * DAY,
        "weekly": (span >= 14 * DAY) & (least_step < 7 * DAY),
        "daily": (span >= 2 * DAY) & (least_step < DAY),
    }


PERIODS = {"yearly": 365.25, "weekly": 7.0, "daily": 1.0}  # days


def seasonalities_of(spec: ForecastSpec, span: int, least_step: int) -> tuple[Seasonality, ...]:
    """Return a series' seasonalities in Prophet's order: custom ones, then its own.

    Args:
        spec: the options.
        span, least_step: as for automatic_seasonalities.
    """
    chosen = {
        custom.name: Seasonality(
            custom.name, custom.period, custom.fourier_order, custom.prior_scale or spec.seasonality_prior_scale,
            custom.mode or spec.seasonality_mode, custom.condition_name)
        for custom in spec.seasonalities
    }  # fmt: skip
    for name, enough in automatic_seasonalities(span, least_step).items():
        wanted, default_order = getattr(spec, f"{name}_seasonality"), DEFAULT_ORDERS[name]
        if wanted == "auto":
            order = default_order if enough and name not in chosen else 0
        elif isinstance(wanted, bool):
            order = default_order if wanted else 0
        else:
            order = int(wanted)
        if order > 0:
            chosen[name] = Seasonality(name, PERIODS[name], order, spec.seasonality_prior_scale, spec.seasonality_mode)
    return tuple(chosen.values())


def given_changepoints(spec: ForecastSpec) -> npt.NDArray[np.int64]:
    """Return the changepoints that the options give, in microseconds and in their order."""
    return np.array([np.datetime64(date, "us") for date in spec.changepoints or ()]).astype(np.int64)


def number_of_changepoints(rows: npt.NDArray[np.int64], spec: ForecastSpec) -> npt.NDArray[np.int64]:
    """Return how many changepoints histories of some lengths get, shape (n,)."""
    if spec.changepoints is not None:
        return np.full(len(rows), len(spec.changepoints), dtype=np.int64)
    most: npt.NDArray[np.int64] = np.floor(rows * spec.changepoint_range).astype(np.int64) - 1
    return np.minimum(np.maximum(most, 0), spec.n_changepoints)


def holiday_columns(spec: ForecastSpec, years: Iterable[int]) -> tuple[HolidayColumn, ...]:
    """Return the columns of the holidays of some years, in Prophet's order."""
    columns: dict[str, tuple[str, int, float, set[int]]] = {}

    def add(name: str, day: int, offset: int, prior_scale: float) -> None:
        key = HolidayColumn(name, offset, prior_scale, ()).key
        columns.setdefault(key, (name, offset, prior_scale, set()))[3].add(day + offset)

    for holiday in spec.holidays:
        for date in holiday.ds:
            day = int(np.datetime64(date, "D").astype(np.int64))
            for offset in range(holiday.lower_window, holiday.upper_window + 1):
                add(holiday.holiday, day, offset, holiday.prior_scale or spec.holidays_prior_scale)
    if spec.country_holidays is not None:
        priors = {holiday.holiday: holiday.prior_scale for holiday in spec.holidays}
        for year in sorted(set(years)):
            for day, name in country_holidays(spec.country_holidays, year):
                add(name, day, 0, priors.get(name) or spec.holidays_prior_scale)
    return tuple(
        HolidayColumn(name, offset, scale, tuple(sorted(days)))
        for _, (name, offset, scale, days) in sorted(columns.items())
    )


@cache
def country_holidays(country: str, year: int) -> tuple[tuple[int, str], ...]:
    """Return a country's public holidays in a year: days since 1970-01-01 and English names."""
    import holidays  # slow, and seldom needed

    found = holidays.country_holidays(country, years=year, expand=False, language="en_US")
    return tuple(
        (int(np.datetime64(date, "D").astype(np.int64)), name)
        for date in sorted(found)
        for name in found.get_list(date)
    )


def years_of(dates: Dates) -> list[int]:
    """Return the years from the first date to the last."""
    first, last = (
        np.datetime64(int(date), "us").astype("datetime64[Y]").astype(int) for date in (dates.min(), dates.max())
    )
    return list(range(int(first) + 1970, int(last) + 1971))
