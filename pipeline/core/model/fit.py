"""Fits a block of series: which model each gets, and the kernel that solves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar, cast

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.dates.calendars import DAY, Dates
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.compiled import compiled
from pipeline.core.model.features import date_table, feature_table
from pipeline.core.model.gauss_newton import FLAT, LINEAR, LOGISTIC
from pipeline.core.model.ragged import fit_nonlinear, fit_ragged
from pipeline.core.model.shared import SharedDesign, fit_shared, shared_design
from pipeline.core.model.solver import FLOOR
from pipeline.core.model.structure import (
    HolidayColumn,
    Seasonality,
    given_changepoints,
    holiday_columns,
    number_of_changepoints,
    seasonalities_of,
    years_of,
)

Numbers = TypeVar("Numbers", Floats, Ints)

GROWTHS = {"linear": LINEAR, "logistic": LOGISTIC, "flat": FLAT}
TREND_PRECISION = 1 / 25  # k and m are Normal(0, 5)
SHARED_FROM = 4  # series on the same dates, from which on a design of their own pays
CONSTANT_SIGMA = 1e-9  # Prophet's, of a series that never changes


@dataclass(frozen=True)
class Histories:
    """Series to fit, their rows one after another.

    Attributes:
        offsets: series i has rows offsets[i] to offsets[i + 1], shape (n + 1,).
        ds: microseconds, ascending within a series, shape (N,).
        y: shape (N,).
        extras: numbers of extra columns (regressors, caps, floors, conditions) on ds, each of shape (N,).
    """

    offsets: Ints
    ds: Dates
    y: Floats
    extras: dict[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, members: Ints) -> Histories:
        """Return some of the series."""
        if len(members) == len(self):
            return self
        lengths = np.diff(self.offsets)[members]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.offsets[members] - offsets[:-1], lengths) + np.arange(offsets[-1])
        extras = {name: column[rows] for name, column in self.extras.items()}
        return Histories(offsets, self.ds[rows], self.y[rows], extras)


@dataclass(frozen=True)
class FittedSeries:
    """Fitted series whose models have the same columns, with Prophet's parameters.

    Attributes:
        members: which of the histories these are, shape (n,).
        spec: the options of the fit.
        seasonalities, holidays: what the columns of beta are, in this order; the spec's regressors follow.
        start: first date, microseconds, shape (n,).
        t_scale: last date less first, microseconds, shape (n,).
        y_scale: shape (n,).
        floor: what values are lessened by before they are scaled, if no column or option says so; shape (n,).
        changepoints_t: in scaled time, ascending, shape (n, S); [0] if there are none, as in Prophet.
        k, m, sigma_obs: shape (n,).
        delta: shape (n, S).
        beta: shape (n, K).
        regressor_mean, regressor_std: by which regressors are standardised, shape (n, R).
        status: how sigma was found, see solver.py; shape (n,).
        rows: lengths of the histories, shape (n,).
    """

    members: Ints
    spec: ForecastSpec
    seasonalities: tuple[Seasonality, ...]
    holidays: tuple[HolidayColumn, ...]
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

    @property
    def multiplicative(self) -> Bools:
        """Which columns of beta multiply the trend, shape (K,)."""
        return multiplicative_columns(self.spec, self.seasonalities, self.holidays)


def multiplicative_columns(
    spec: ForecastSpec, seasonalities: tuple[Seasonality, ...], holidays: tuple[HolidayColumn, ...]
) -> Bools:
    """Return for each column of beta whether it multiplies the trend, shape (K,)."""
    modes = [s.mode for s in seasonalities for _ in range(2 * s.fourier_order)]
    modes += [spec.holidays_mode or spec.seasonality_mode] * len(holidays)
    modes += [regressor.mode or spec.seasonality_mode for regressor in spec.regressors]
    return np.array([mode == "multiplicative" for mode in modes], dtype=np.bool_)


def prior_scales(
    spec: ForecastSpec, seasonalities: tuple[Seasonality, ...], holidays: tuple[HolidayColumn, ...]
) -> Floats:
    """Return the prior scale of each column of beta, shape (K,)."""
    scales = [s.prior_scale for s in seasonalities for _ in range(2 * s.fourier_order)]
    scales += [holiday.prior_scale for holiday in holidays]
    scales += [regressor.prior_scale or spec.holidays_prior_scale for regressor in spec.regressors]
    return np.array(scales, dtype=np.float64)


def gates_of_columns(seasonalities: tuple[Seasonality, ...], columns: int) -> tuple[list[str], Ints]:
    """Return the names of the conditions, and for each column of the feature table its condition or -1."""
    names = list(dict.fromkeys(s.condition_name for s in seasonalities if s.condition_name is not None))
    gates = np.full(columns, -1, dtype=np.int64)
    at = 0
    for seasonality in seasonalities:
        if seasonality.condition_name is not None:
            gates[at : at + 2 * seasonality.fourier_order] = names.index(seasonality.condition_name)
        at += 2 * seasonality.fourier_order
    return names, gates


def gate_columns(names: list[str], extras: dict[str, Floats], rows: int) -> Floats:
    """Return whether each condition holds, as 0 or 1, shape (rows, C): any number but 0 meets it."""
    if not names:
        return np.empty((rows, 0))
    return np.column_stack([extras[name].ravel() != 0 for name in names]).astype(np.float64)


def capacity(option: float | str | None, extras: dict[str, Floats], shape: tuple[int, ...]) -> Floats:
    """Return a cap or floor for each row: a number for all, or a column."""
    if isinstance(option, str):
        return extras[option]
    return np.full(shape, 0.0 if option is None else option)


def fit(histories: Histories, spec: ForecastSpec) -> list[FittedSeries]:
    """Fit series; those with the same columns come back together.

    Args:
        histories: at least two rows a series.
        spec: Prophet's options.
    """
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    rows = ends - starts
    span = histories.ds[ends - 1] - histories.ds[starts]
    steps = np.empty(len(histories.ds), np.int64)
    steps[:-1] = np.diff(histories.ds)
    steps[ends - 1] = np.iinfo(np.int64).max
    least = np.minimum.reduceat(steps, starts)
    long = (span >= 730 * DAY) + 2 * ((span >= 14 * DAY) & (least < 7 * DAY)) + 4 * ((span >= 2 * DAY) & (least < DAY))
    changes = number_of_changepoints(rows, spec)
    kinds = long + 8 * changes
    if spec.country_holidays is not None:  # the columns are the holidays of a series' own years
        years = (
            np.stack([histories.ds[starts], histories.ds[ends - 1]]).astype("datetime64[us]").astype("datetime64[Y]")
        )
        _, spans = np.unique(years.astype(np.int64), axis=1, return_inverse=True)
        kinds = kinds + (int(kinds.max()) + 1) * spans
    fitted = []
    for kind in np.unique(kinds).tolist():
        members = np.flatnonzero(kinds == kind)
        one = int(members[0])
        seasonalities = seasonalities_of(spec, int(span[one]), int(least[one]))
        fitted.append(_fit_alike(histories.take(members), members, spec, seasonalities, int(changes[one])))
    return fitted


def _fit_alike(
    histories: Histories, members: Ints, spec: ForecastSpec, seasonalities: tuple[Seasonality, ...], changes: int
) -> FittedSeries:
    """Fit series with the same seasonalities and number of changepoints."""
    n, offsets = len(histories), histories.offsets
    starts, ends = offsets[:-1], offsets[1:]
    rows = ends - starts
    start = histories.ds[starts]
    t_scale = histories.ds[ends - 1] - start
    holidays: tuple[HolidayColumn, ...] = ()
    if spec.holidays or spec.country_holidays is not None:
        holidays = holiday_columns(spec, years_of(histories.ds))
    y_scale, floor, floors = _scales(histories, spec)
    if spec.changepoints:
        given = given_changepoints(spec)
        changepoints = np.sort((given[None, :] - start[:, None]) / t_scale[:, None], axis=1)
    else:
        changepoints = np.zeros((n, max(changes, 1)))
        if changes:
            _place_changepoints(offsets, histories.ds, spec.changepoint_range, changepoints)
    mean, std = _standardisation(histories, spec)

    growth = GROWTHS[spec.growth]
    first = 1 if growth == FLAT else 2
    multiplicative = multiplicative_columns(spec, seasonalities, holidays)
    scales = prior_scales(spec, seasonalities, holidays)
    hinges = changepoints[:, :0] if growth == FLAT else changepoints
    ns = first + len(scales)
    theta, s2 = np.zeros((n, ns + hinges.shape[1])), np.zeros(n)
    status = np.full(n, FLOOR, dtype=np.int64)
    constant = np.zeros(n, dtype=np.bool_)
    if growth != LOGISTIC:
        constant = np.minimum.reduceat(histories.y, starts) == np.maximum.reduceat(histories.y, starts)
    precision = np.concatenate([np.full(first, TREND_PRECISION), 1 / scales**2])
    may_share = growth != LOGISTIC and not multiplicative.any() and not spec.regressors
    may_share &= all(s.condition_name is None for s in seasonalities)

    alone = ~constant
    for together in _on_the_same_dates(histories, ~constant) if may_share else ():
        alone[together] = False
        a, b = int(starts[together[0]]), int(ends[together[0]])
        design = _design(
            histories.ds[a:b].tobytes(), changepoints[together[0]].tobytes(), growth, seasonalities, holidays,
            precision.tobytes())  # fmt: skip
        values = _matrix(histories.y, starts[together], b - a)
        results = np.empty((len(together), theta.shape[1])), np.empty(len(together)), np.empty(len(together), np.int64)
        fit_shared(
            values, y_scale[together], floor[together], design.z, design.t, design.changepoints, design.gram,
            design.pull, design.rotation, first - 1, spec.changepoint_prior_scale, *results)  # fmt: skip
        theta[together], s2[together], status[together] = results
    if alone.any():
        chosen = np.flatnonzero(alone)
        part = histories.take(chosen)
        table, table_rows = date_table([part.ds])
        features = feature_table(table, seasonalities, holidays)
        names, gate_of = gates_of_columns(seasonalities, features.shape[1])
        lengths = np.diff(part.offsets)
        own = np.empty((len(part.ds), len(spec.regressors)))
        for i, regressor in enumerate(spec.regressors):
            shift, scale = np.repeat(mean[chosen, i], lengths), np.repeat(std[chosen, i], lengths)
            own[:, i] = (part.extras[regressor.name] - shift) / scale
            # What never changes says nothing of its effect, and would share the level with the trend: it has none.
            changes_here = np.repeat(~constant_in(part, regressor.name), lengths)
            own[:, i] = np.where(changes_here, own[:, i], 0.0)
        kept = np.repeat(alone, rows)
        t, y = np.empty(len(part.ds)), np.empty(len(part.ds))
        _scale_rows(part.offsets, part.ds, part.y, floors[kept], y_scale[chosen], t, y)
        cap = np.empty(0)
        if growth == LOGISTIC:
            caps = capacity(spec.cap, histories.extras, histories.y.shape)
            cap = ((caps - floors) / np.repeat(y_scale, rows))[kept]
        results = np.empty((len(chosen), theta.shape[1])), np.empty(len(chosen)), np.empty(len(chosen), np.int64)
        own_hinges, gates = np.ascontiguousarray(hinges[chosen]), gate_columns(names, part.extras, len(part.ds))
        tau = spec.changepoint_prior_scale
        if growth == LOGISTIC or multiplicative.any():
            fit_nonlinear(
                growth, part.offsets, t, y, cap, own_hinges, table_rows[0], features, own, gates, gate_of,
                np.concatenate([np.zeros(first, np.bool_), multiplicative]), precision, tau, *results)  # fmt: skip
        else:
            fit_ragged(
                growth, part.offsets, t, y, own_hinges, table_rows[0], features, own, gates, gate_of, precision, tau,
                *results)  # fmt: skip
        theta[chosen], s2[chosen], status[chosen] = results

    sigma = np.sqrt(s2)
    sigma[constant] = CONSTANT_SIGMA
    at = starts[constant]
    theta[constant, first - 1] = (histories.y[at] - floors[at]) / y_scale[constant]
    k, m = (np.zeros(n), theta[:, 0]) if growth == FLAT else (theta[:, 0], theta[:, 1])
    delta = np.zeros_like(changepoints) if growth == FLAT else theta[:, ns:]
    if not changes and not spec.changepoints:
        # Prophet's dummy, a hinge at 0, becomes part of the slope; of a logistic one so that the curve stays the same
        whole = k + delta[:, 0]
        m = np.where(whole != 0, m * k / np.where(whole != 0, whole, 1.0), m) if growth == LOGISTIC else m
        k, delta = whole, np.zeros_like(delta)
    return FittedSeries(
        members, spec, seasonalities, holidays, start, t_scale, y_scale, floor, changepoints, k, m, delta,
        theta[:, first:ns], sigma, mean, std, status, rows)  # fmt: skip


def _scales(histories: Histories, spec: ForecastSpec) -> tuple[Floats, Floats, Floats]:
    """Return Prophet's y_scale and floor of each series, and the floor of each row."""
    starts, rows = histories.offsets[:-1], np.diff(histories.offsets)
    if spec.growth == "logistic" and spec.floor is not None:
        floors = capacity(spec.floor, histories.extras, histories.y.shape)
        floor = np.zeros(len(histories))
        if spec.scaling == "absmax":
            y_scale = np.maximum.reduceat(np.abs(histories.y - floors), starts)
        else:
            caps = capacity(spec.cap, histories.extras, histories.y.shape)
            y_scale = np.maximum.reduceat(caps, starts) - np.minimum.reduceat(floors, starts)
    elif spec.scaling == "absmax":
        floor = np.zeros(len(histories))
        y_scale, floors = np.maximum.reduceat(np.abs(histories.y), starts), np.zeros(len(histories.y))
    else:
        floor = np.minimum.reduceat(histories.y, starts)
        y_scale, floors = np.maximum.reduceat(histories.y, starts) - floor, np.repeat(floor, rows)
    return np.where(y_scale == 0, 1.0, y_scale), floor, floors


def constant_in(histories: Histories, name: str) -> Bools:
    """Return in which series an extra column has one and the same number throughout the history, shape (n,)."""
    x, starts = histories.extras[name], histories.offsets[:-1]
    never: Bools = np.minimum.reduceat(x, starts) == np.maximum.reduceat(x, starts)
    return never


def _standardisation(histories: Histories, spec: ForecastSpec) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each regressor in each series; 0 and 1 where it is left as it is."""
    starts, rows = histories.offsets[:-1], np.diff(histories.offsets)
    mean = np.zeros((len(histories), len(spec.regressors)))
    std = np.ones((len(histories), len(spec.regressors)))
    for i, regressor in enumerate(spec.regressors):
        x = histories.extras[regressor.name]
        varies = np.minimum.reduceat(x, starts) != np.maximum.reduceat(x, starts)
        wanted = varies if regressor.standardize is not False else np.zeros_like(varies)
        if regressor.standardize == "auto":
            wanted = wanted & ~np.logical_and.reduceat((x == 0) | (x == 1), starts)
        average = np.add.reduceat(x, starts) / rows
        squares = np.add.reduceat((x - np.repeat(average, rows)) ** 2, starts)
        mean[wanted, i] = average[wanted]
        std[wanted, i] = np.sqrt(squares / (rows - 1))[wanted]
    return mean, std


def _on_the_same_dates(histories: Histories, wanted: Bools) -> Iterator[Ints]:
    """Yield groups of series, large enough to share a design, whose dates are the same."""
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    rows = ends - starts
    left = np.flatnonzero(wanted)
    while len(left) >= SHARED_FROM:
        one = left[0]
        a, b = starts[one], ends[one]
        like = left[
            (rows[left] == b - a) & (histories.ds[starts[left]] == histories.ds[a])
            & (histories.ds[ends[left] - 1] == histories.ds[b - 1])
        ]  # fmt: skip
        if len(like) >= SHARED_FROM:
            dates = _matrix(histories.ds, starts[like], b - a)
            like = like[(dates == dates[0]).all(axis=1)]
            if len(like) >= SHARED_FROM:
                yield like
        left = np.setdiff1d(left, like, assume_unique=True)


def _matrix(flat: Numbers, starts: Ints, length: int) -> Numbers:
    """Return pieces of the same length as rows, without a copy if they lie one after another."""
    if (np.diff(starts) == length).all():
        return cast(Numbers, flat[starts[0] : starts[-1] + length].reshape(len(starts), length))
    return cast(Numbers, flat[starts[:, None] + np.arange(length)])


@lru_cache(maxsize=16)
def _design(
    dates: bytes, changepoints: bytes, growth: int, seasonalities: tuple[Seasonality, ...],
    holidays: tuple[HolidayColumn, ...], precision: bytes,
) -> SharedDesign:  # fmt: skip
    ds = np.frombuffer(dates, np.int64)
    t = (ds - ds[0]) / (ds[-1] - ds[0])
    features = feature_table(ds, seasonalities, holidays)
    trend = [np.ones(len(t))] if growth == FLAT else [t, np.ones(len(t))]
    columns = np.ascontiguousarray(np.column_stack([*trend, features]))
    hinges = np.empty(0) if growth == FLAT else np.frombuffer(changepoints)
    return shared_design(columns, np.frombuffer(precision), t, hinges, len(trend) - 1)


@compiled
def _scale_rows(offsets: Ints, ds: Dates, y: Floats, floors: Floats, y_scale: Floats, t: Floats, ys: Floats) -> None:
    for i in range(len(offsets) - 1):
        a, b = offsets[i], offsets[i + 1]
        span = ds[b - 1] - ds[a]
        for row in range(a, b):
            t[row] = (ds[row] - ds[a]) / span
            ys[row] = (y[row] - floors[row]) / y_scale[i]


@compiled
def _place_changepoints(offsets: Ints, ds: Dates, share: float, changepoints: Floats) -> None:
    """Write Prophet's automatic changepoints: evenly over the rows of the first part of the history but the first."""
    n, number = changepoints.shape
    for i in range(n):
        a, b = offsets[i], offsets[i + 1]
        span = ds[b - 1] - ds[a]
        last = int(np.floor((b - a) * share)) - 1
        step = last / number
        for j in range(number):
            row = last if j == number - 1 else int(np.rint((j + 1) * step))
            changepoints[i, j] = (ds[a + row] - ds[a]) / span
