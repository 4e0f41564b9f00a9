"""Fits a block of series: which model each gets, and the kernel that solves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, cast

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.dates.calendars import Dates
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.design.changepoints import changepoints_of
from pipeline.core.model.design.columns import ColumnLayout
from pipeline.core.model.design.features import DateTable, date_table, feature_table
from pipeline.core.model.design.scaling import capacity, constant_in, scales, standardisation
from pipeline.core.model.design.structure import (
    HolidayColumn,
    Seasonality,
    automatic_seasonalities,
    holiday_columns,
    number_of_changepoints,
    seasonalities_of,
    years_of,
)
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.histories import Histories
from pipeline.core.model.solve.calendar_gram import STRETCH
from pipeline.core.model.solve.growth import FLAT, GROWTHS, LOGISTIC
from pipeline.core.model.solve.problem import RaggedRows, Results, SmoothColumns
from pipeline.core.model.solve.ragged import fit_nonlinear, fit_ragged
from pipeline.core.model.solve.shared import SharedDesign, fit_shared, shared_design
from pipeline.core.model.solve.solver import FLOOR

Numbers = TypeVar("Numbers", Floats, Ints)

TREND_PRECISION = 1 / 25  # k and m are Normal(0, 5)
SHARED_FROM = 4  # series on the same dates from which a shared design pays off
CONSTANT_SIGMA = 1e-9  # Prophet's, of a series that never changes


def fit(histories: Histories, spec: ForecastSpec) -> list[FittedSeries]:
    """Fit series; those with the same columns come back together.

    Args:
        histories: at least two rows for each series.
        spec: Prophet's options.
    """
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    span = histories.ds[ends - 1] - histories.ds[starts]
    steps = np.empty(len(histories.ds), np.int64)
    steps[:-1] = np.diff(histories.ds)
    steps[ends - 1] = np.iinfo(np.int64).max
    least = np.minimum.reduceat(steps, starts)
    changes = number_of_changepoints(ends - starts, spec)
    # series of one kind have the same columns
    automatic = automatic_seasonalities(span, least).values()
    kinds = sum((enough * 2**i for i, enough in enumerate(automatic)), 2 ** len(automatic) * changes)
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
        part = histories.take(members)
        seasonalities = seasonalities_of(spec, int(span[one]), int(least[one]))
        with_holidays = spec.holidays or spec.country_holidays is not None
        holidays = holiday_columns(spec, years_of(part.ds)) if with_holidays else ()
        columns = ColumnLayout.of(spec, seasonalities, holidays)
        fitted.append(_fit_alike(part, members, spec, columns, int(changes[one])))
    return fitted


@dataclass(frozen=True)
class _Alike:
    """Series with the same columns and number of changepoints, scaled.

    Attributes:
        histories: n series.
        spec: the options.
        columns: of beta.
        growth: LINEAR, LOGISTIC or FLAT.
        first: number of smooth parameters of the trend.
        changepoints: in scaled time, shape (n, S); [0] if there are none.
        hinges: those that the trend has: none if it is flat, shape (n, nd).
        y_scale, floor: of each series, shape (n,).
        floors: of each row.
        regressor_mean, regressor_std: by which regressors are standardised, shape (n, R).
        precision: of the smooth parameters' priors, shape (ns,).
    """

    histories: Histories
    spec: ForecastSpec
    columns: ColumnLayout
    growth: int
    first: int
    changepoints: Floats
    hinges: Floats
    y_scale: Floats
    floor: Floats
    floors: Floats
    regressor_mean: Floats
    regressor_std: Floats
    precision: Floats

    @classmethod
    def of(cls, histories: Histories, spec: ForecastSpec, columns: ColumnLayout, changes: int) -> _Alike:
        """Return series with what follows from the options and themselves."""
        growth = GROWTHS[spec.growth]
        first = 1 if growth == FLAT else 2
        changepoints = changepoints_of(histories, spec, changes)
        precision = np.concatenate([np.full(first, TREND_PRECISION), 1 / columns.prior_scales**2])
        return cls(
            histories, spec, columns, growth, first, changepoints,
            changepoints[:, :0] if growth == FLAT else changepoints,
            *scales(histories, spec), *standardisation(histories, spec), precision)  # fmt: skip

    @property
    def smooth_multiplicative(self) -> Bools:
        """Whether each smooth column multiplies the trend, shape (ns,)."""
        return np.concatenate([np.zeros(self.first, np.bool_), self.columns.multiplicative])

    @property
    def may_share_designs(self) -> bool:
        """Whether series on the same dates have the same design."""
        additive = self.growth != LOGISTIC and not self.columns.multiplicative.any()
        return additive and not self.columns.regressors and not self.columns.conditions


def _fit_alike(
    histories: Histories, members: Ints, spec: ForecastSpec, columns: ColumnLayout, changes: int
) -> FittedSeries:
    """Fit series with the same columns and number of changepoints."""
    alike = _Alike.of(histories, spec, columns, changes)
    n, starts = len(histories), histories.offsets[:-1]
    results = _empty_results(n, len(alike.precision) + alike.hinges.shape[1])
    constant = np.zeros(n, dtype=np.bool_)
    if alike.growth != LOGISTIC:
        constant = np.minimum.reduceat(histories.y, starts) == np.maximum.reduceat(histories.y, starts)
    alone = ~constant
    for together in _on_the_same_dates(histories, ~constant) if alike.may_share_designs else ():
        _fit_together(alike, together, results)
        alone[together] = False
    if alone.any():
        _fit_alone(alike, np.flatnonzero(alone), results)
    sigma = np.sqrt(results.s2)
    sigma[constant] = CONSTANT_SIGMA
    at = starts[constant]
    results.theta[constant, alike.first - 1] = (histories.y[at] - alike.floors[at]) / alike.y_scale[constant]
    return _fitted(alike, members, changes, results.theta, sigma, results.status)


def _empty_results(n: int, parameters: int) -> Results:
    return Results(np.zeros((n, parameters)), np.zeros(n), np.full(n, FLOOR, dtype=np.int64))


def _fit_together(alike: _Alike, together: Ints, results: Results) -> None:
    """Fit series on the same dates."""
    histories, one = alike.histories, int(together[0])
    a, b = int(histories.offsets[one]), int(histories.offsets[one + 1])
    design = _design(
        histories.ds[a:b].tobytes(), alike.changepoints[one].tobytes(), alike.growth, alike.columns.seasonalities,
        alike.columns.holidays, alike.precision.tobytes())  # fmt: skip
    values = _matrix(histories.y, histories.offsets[:-1][together], b - a)
    own = _empty_results(len(together), results.theta.shape[1])
    tau = alike.spec.changepoint_prior_scale
    fit_shared(values, alike.y_scale[together], alike.floor[together], design, tau, own)
    _put(own, results, together)


def _put(own: Results, results: Results, members: Ints) -> None:
    results.theta[members], results.s2[members], results.status[members] = own


def _fit_alone(alike: _Alike, chosen: Ints, results: Results) -> None:
    """Fit series that each have their own design."""
    histories, spec, columns = alike.histories, alike.spec, alike.columns
    part = histories.take(chosen)
    table = date_table(part.ds)
    features = feature_table(table.dates, columns.seasonalities, columns.holidays)
    kept = np.zeros(len(histories), np.bool_)
    kept[chosen] = True
    rows = np.repeat(kept, np.diff(histories.offsets))
    t, y = np.empty(len(part.ds)), np.empty(len(part.ds))
    _scale_rows(part.offsets, part.ds, part.y, alike.floors[rows], alike.y_scale[chosen], t, y)
    cap = np.empty(0)
    if alike.growth == LOGISTIC:
        caps = capacity(spec.cap, histories.extras, histories.y.shape)
        cap = ((caps - alike.floors) / np.repeat(alike.y_scale, np.diff(histories.offsets)))[rows]
    smooth = SmoothColumns(alike.growth, features, columns.condition_of_columns, alike.smooth_multiplicative)
    ragged = RaggedRows(
        part.offsets, t, np.ascontiguousarray(alike.hinges[chosen]), table.rows,
        _own_columns(alike, part, chosen), columns.conditions_met(part.extras, len(part.ds)), cap)  # fmt: skip
    own = _empty_results(len(chosen), results.theta.shape[1])
    tau = spec.changepoint_prior_scale
    if alike.growth == LOGISTIC or columns.multiplicative.any():
        fit_nonlinear(smooth, ragged, y, alike.precision, tau, own)
    else:
        fit_ragged(smooth, ragged, y, alike.precision, tau, _phase(table), own)
    _put(own, results, chosen)


def _phase(table: DateTable) -> int:
    """Return how far into a stretch of its calendar a table begins; negative if it has none."""
    return int(table.dates[0]) // table.step % STRETCH if table.step else -1


def _own_columns(alike: _Alike, part: Histories, chosen: Ints) -> Floats:
    """Return the standardised regressors of chosen series, shape (N, R)."""
    own = np.empty((len(part.ds), len(alike.columns.regressors)))
    lengths = np.diff(part.offsets)
    for i, name in enumerate(alike.columns.regressors):
        shift = np.repeat(alike.regressor_mean[chosen, i], lengths)
        scale = np.repeat(alike.regressor_std[chosen, i], lengths)
        own[:, i] = (part.extras[name] - shift) / scale
        # A regressor that never changes shows no effect, and would share the level with the trend: it gets none.
        own[:, i] = np.where(np.repeat(~constant_in(part, name), lengths), own[:, i], 0.0)
    return own


def _fitted(alike: _Alike, members: Ints, changes: int, theta: Floats, sigma: Floats, status: Ints) -> FittedSeries:
    """Return fitted series with Prophet's parameters."""
    histories, changepoints, first = alike.histories, alike.changepoints, alike.first
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    smooth = len(alike.precision)
    flat = alike.growth == FLAT
    k, m = (np.zeros(len(histories)), theta[:, 0]) if flat else (theta[:, 0], theta[:, 1])
    delta = np.zeros_like(changepoints) if flat else theta[:, smooth:]
    if not changes and not alike.spec.changepoints:
        # Prophet's dummy, a hinge at 0, becomes part of the slope; of a logistic one so that the curve stays the same
        whole = k + delta[:, 0]
        if alike.growth == LOGISTIC:
            m = np.where(whole != 0, m * k / np.where(whole != 0, whole, 1.0), m)
        k, delta = whole, np.zeros_like(delta)
    return FittedSeries(
        members=members,
        spec=alike.spec,
        columns=alike.columns,
        start=histories.ds[starts],
        t_scale=histories.ds[ends - 1] - histories.ds[starts],
        y_scale=alike.y_scale,
        floor=alike.floor,
        changepoints_t=changepoints,
        k=k,
        m=m,
        delta=delta,
        beta=theta[:, first:smooth],
        sigma_obs=sigma,
        regressor_mean=alike.regressor_mean,
        regressor_std=alike.regressor_std,
        status=status,
        rows=ends - starts,
    )


def _on_the_same_dates(histories: Histories, wanted: Bools) -> Iterator[Ints]:
    """Yield groups of series, large enough to share a design, whose dates are the same."""
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    some = np.flatnonzero(wanted)
    keys = np.stack([(ends - starts)[some], histories.ds[starts[some]], histories.ds[ends[some] - 1]])
    order = np.lexsort(keys)
    keys = keys[:, order]
    edges = np.flatnonzero((keys[:, 1:] != keys[:, :-1]).any(axis=0)) + 1
    bounds = np.concatenate([[0], edges, [len(some)]])
    for i in np.flatnonzero(np.diff(bounds) >= SHARED_FROM):
        left = some[order[bounds[i] : bounds[i + 1]]]  # as many dates, and the same ends
        dates = _matrix(histories.ds, starts[left], int(keys[0, bounds[i]]))
        same = (dates == dates[0]).all(axis=1)
        if same.all():
            yield left
            continue
        groups: dict[bytes, list[int]] = {}
        for member, own in zip(left.tolist(), dates, strict=True):
            groups.setdefault(own.tobytes(), []).append(member)
        yield from (np.array(group) for group in groups.values() if len(group) >= SHARED_FROM)


def _matrix(flat: Numbers, starts: Ints, length: int) -> Numbers:
    """Return pieces of the same length as rows, without a copy if they follow one another."""
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
