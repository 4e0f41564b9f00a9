"""This project's engine: Prophet's model solved exactly (pipeline/core/model), blocks at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.arrays import Floats, Ints
from pipeline.core.engines.fit_cost import (
    CHUNK_NUMBERS,
    WATCHED_SECONDS,
    design_numbers,
    estimated_seconds,
    fit_timeout,
    too_costly,
)
from pipeline.core.engines.forecast_batch import Forecasts, faulty_forecasts, forecast_batch
from pipeline.core.engines.refusals import bad_capacity, changepoints_outside
from pipeline.core.engines.second_opinion import with_second_opinions
from pipeline.core.errors import RecordError
from pipeline.core.faults.isolation import CHILD_START_SECONDS, in_child
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.model.design.collinearity import collinear_regressors
from pipeline.core.model.design.scaling import capacity, constant_in
from pipeline.core.model.design.structure import given_changepoints
from pipeline.core.model.fit import fit
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.model.histories import Histories
from pipeline.core.model.intervals.of_forecast import intervals
from pipeline.core.model.predict import components, predict
from pipeline.core.model.solve.solver import STAN, STUCK
from pipeline.core.plain_text import printable
from pipeline.core.series.arrow_lists import flat_list

Extras = dict[str, Floats]


class NativeEngine:
    """Fits all series of a block in compiled code; exact intervals for linear and flat growth."""

    model = "native 1"  # changes whenever results change

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        """Forecast a block; see engine.Engine.

        A series that costs too much is refused; one that takes seconds is fitted in a child, with a time limit.
        """
        rows = np.diff(flat_list(series, "ds")[1])
        refused = too_costly(rows, spec, limits)
        watched = estimated_seconds(rows, spec) > WATCHED_SECONDS
        watched &= rows > 0  # a series with a fault has none
        apart = watched.copy()
        apart[list(refused)] = True

        def part(first: int, last: int) -> pa.RecordBatch:
            some = series.slice(first, last - first)
            if first in refused:
                return faulty_forecasts(_with_fault(some, refused[first]), spec)
            if watched[first]:
                return _watched(some, extras, spec, limits)
            return forecast_light(some, extras, spec, limits.max_fit_seconds)

        parts = [part(*ends) for ends in _chunks(design_numbers(rows, spec), apart)]
        return pa.concat_batches(parts) if parts else forecast_light(series, extras, spec, limits.max_fit_seconds)


def forecast_light(
    series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, stan_seconds: float
) -> pa.RecordBatch:
    """Forecast series in this process, however long it takes."""
    block = SeriesArrays.of(series, extras, spec)
    return forecast_fitted(series, block, fit_block(block, spec, stan_seconds), spec)


def _watched(one: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits) -> pa.RecordBatch:
    """Forecast one series in a child, and stop it if it takes too long."""
    try:
        done: pa.RecordBatch = in_child(
            forecast_light,
            one,
            extras,
            spec,
            limits.max_fit_seconds,
            seconds=limits.max_fit_seconds + CHILD_START_SECONDS,
        )
    except TimeoutError:
        return faulty_forecasts(_with_fault(one, fit_timeout(limits.max_fit_seconds)), spec)
    return done


def _with_fault(one: pa.RecordBatch, error: RecordError) -> pa.RecordBatch:
    """Return a series with a fault."""
    at = one.schema.get_field_index("fault")
    return one.set_column(at, "fault", pa.array([error.to_json()], pa.string()))


def _chunks(numbers: Ints, alone: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield ranges of series to fit together: series that must be fitted alone, others grouped by size."""
    first, size = 0, 0
    for row, (own, apart) in enumerate(zip(numbers.tolist(), alone.tolist(), strict=True)):
        if row > first and (apart or alone[first] or size + own > CHUNK_NUMBERS):
            yield first, row
            first, size = row, 0
        size += own
    if len(numbers) > first:
        yield first, len(numbers)


@dataclasses.dataclass(frozen=True)
class SeriesArrays:
    """A block as arrays.

    Attributes:
        faults: of series that are not forecast, by row.
        members: rows of the others, shape (n,).
        histories: of these.
        future: dates to forecast, shape (n, H).
        ahead: numbers of the extra columns on these dates, each of shape (n, H).
    """

    faults: dict[int, RecordError]
    members: Ints
    histories: Histories
    future: npt.NDArray[np.int64]
    ahead: Extras

    @classmethod
    def of(cls, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec) -> SeriesArrays:
        """Return the arrays of a block; extra columns have the names in the spec; the CSV's may differ in case."""
        texts = enumerate(series.column("fault").to_pylist())
        faults = {row: RecordError.from_json(text) for row, text in texts if text is not None}
        members = np.array([row for row in range(len(series)) if row not in faults], dtype=np.int64)
        ds, offsets = flat_list(series, "ds")
        y, _ = flat_list(series, "y")
        future, _ = flat_list(series, "future")
        starts, ends = offsets[:-1][members], offsets[1:][members]  # a series with a fault has no rows
        lengths = ends - starts
        compact = np.concatenate([[0], np.cumsum(lengths)])
        past, ahead = {}, {}
        for name, column in zip(spec.extra_columns(), extras, strict=True):
            numbers, own_offsets = flat_list(series, f"extra_{column}")
            begin = own_offsets[:-1][members]
            past[name] = numbers[np.repeat(begin - compact[:-1], lengths) + np.arange(compact[-1])]
            ahead[name] = numbers[(begin + lengths)[:, None] + np.arange(spec.horizon)]
        histories = Histories(compact, ds, y, past)
        block = cls(faults, members, histories, future.reshape(len(members), spec.horizon), ahead)
        faults |= block._misfits(spec)
        good = np.array([i for i, row in enumerate(members.tolist()) if row not in faults], dtype=np.int64)
        if len(good) == len(members):
            return block
        ahead = {name: column[good] for name, column in ahead.items()}
        return cls(faults, members[good], histories.take(good), block.future[good], ahead)

    def _misfits(self, spec: ForecastSpec) -> dict[int, RecordError]:
        """Return the faults of series that the options do not fit."""
        found: dict[int, RecordError] = {}
        if not len(self.members):
            return found
        starts, ends = self.histories.offsets[:-1], self.histories.offsets[1:]
        if spec.changepoints:
            given = given_changepoints(spec)
            ds = self.histories.ds
            outside = (given.min() < ds[starts]) | (given.max() > ds[ends - 1])
            found |= {row: changepoints_outside() for row in self.members[outside].tolist()}
        if spec.growth == "logistic":
            past, ahead = (
                capacity(spec.cap, columns, shape) <= capacity(spec.floor, columns, shape)
                for columns, shape in ((self.histories.extras, self.histories.y.shape), (self.ahead, self.future.shape))
            )
            bad = np.logical_or.reduceat(past, starts) | ahead.any(axis=1)
            found |= {row: bad_capacity() for row in self.members[bad].tolist()}
        return found


def fit_block(block: SeriesArrays, spec: ForecastSpec, stan_seconds: float | None = None) -> list[FittedSeries]:
    """Fit the series of a block; `members` of what comes back are positions among the block's own members.

    Args:
        block: the series.
        spec: the options.
        stan_seconds: how long Stan may take for a series that gets stuck; the default limit of a fit if None.
    """
    if not len(block.members):
        return []
    seconds = Limits().max_fit_seconds if stan_seconds is None else stan_seconds
    return [
        with_second_opinions(part, block.histories, block.future, block.ahead, seconds)
        for part in fit(block.histories, spec)
    ]


def forecast_fitted(
    series: pa.RecordBatch, block: SeriesArrays, fitted: list[FittedSeries], spec: ForecastSpec
) -> pa.RecordBatch:
    """Return the forecasts of a block from its fitted series."""
    forecasts = Forecasts.empty(len(series), spec)
    for part in fitted:
        at = part.members
        ahead = {name: column[at] for name, column in block.ahead.items()}
        prediction = predict(part, block.future[at], ahead)
        rows = block.members[at]
        forecasts.prediction[rows] = prediction.yhat
        forecasts.lower[:, rows], forecasts.upper[:, rows] = intervals(part, prediction, spec.level)
        if spec.components:
            for name, values in components(part, prediction, block.future[at], ahead).items():
                forecasts.components[name][rows] = values
    return forecast_batch(series, forecasts, block.faults, spec, _notes(block, fitted, spec))


STAN_NOTE = "fitted by stan because the native engine's search got stuck"
STUCK_NOTE = "neither engine found the best fit; this is the better of the two that they found"


def _notes(block: SeriesArrays, fitted: list[FittedSeries], spec: ForecastSpec) -> dict[int, str]:
    """Return notes for the owners of some series about their forecasts, by row."""
    notes: dict[int, list[str]] = {}
    for part in fitted:
        for status, told in ((STAN, STAN_NOTE), (STUCK, STUCK_NOTE)):
            for member in part.members[part.status == status].tolist():
                notes.setdefault(int(block.members[member]), []).append(told)
    for regressor in spec.regressors if len(block.members) else ():
        first = block.histories.extras[regressor.name][block.histories.offsets[:-1]]
        changes_later = (block.ahead[regressor.name] != first[:, None]).any(axis=1)
        for member in np.flatnonzero(constant_in(block.histories, regressor.name) & changes_later).tolist():
            told = f"{printable(regressor.name)} never changes in the history and is taken to have no effect"
            notes.setdefault(int(block.members[member]), []).append(told)
    names = [regressor.name for regressor in spec.regressors]
    for member, (number, together) in collinear_regressors(block.histories, names).items():
        listed = ", ".join(map(printable, together))
        told = f"the effects of {listed} cannot be told apart (condition number {number:.3g}): they move together"
        notes.setdefault(int(block.members[member]), []).append(told)
    return {row: "; ".join(texts) for row, texts in notes.items()}
