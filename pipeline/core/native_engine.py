"""This project's engine: Prophet's model solved exactly (pipeline/core/model), blocks at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.engine import bad_capacity, changepoints_outside
from pipeline.core.forecast_batch import Forecasts, forecast_batch
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.model.fit import Histories, fit
from pipeline.core.model.predict import intervals, predict
from pipeline.core.series_batch import flat_list
from pipeline.errors import RecordError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class NativeEngine:
    """Fits all series of a block in compiled code; exact intervals for linear and flat growth."""

    model = "native 1"  # changes when numbers do

    def forecast(
        self, series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits
    ) -> pa.RecordBatch:
        """Forecast a block; see engine.Engine."""
        faults = {
            i: RecordError.from_json(text)
            for i, text in enumerate(series.column("fault").to_pylist()) if text is not None
        }  # fmt: skip
        histories, ahead, ahead_extras, members = _arrays(series, extras, spec, faults)
        _refuse_bad_input(histories, ahead_extras, members, spec, faults)
        forecasts = Forecasts.empty(len(series), spec)
        good = np.array([i for i, member in enumerate(members.tolist()) if member not in faults], dtype=np.int64)
        if len(good):
            for fitted in fit(histories.take(good), spec):
                rows = good[fitted.members]
                prediction = predict(fitted, ahead[rows], {name: column[rows] for name, column in ahead_extras.items()})
                lower, upper = intervals(fitted, prediction, spec.level)
                at = members[rows]
                forecasts.prediction[at] = prediction.yhat
                forecasts.lower[:, at], forecasts.upper[:, at] = lower, upper
        return forecast_batch(series, forecasts, faults, spec)


def _arrays(
    series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, faults: dict[int, RecordError]
) -> tuple[Histories, npt.NDArray[np.int64], dict[str, Floats], Ints]:
    """Return the series without a fault as arrays: histories, dates to forecast (n, H), extras on these, and rows."""
    members = np.array([i for i in range(len(series)) if i not in faults], dtype=np.int64)
    ds, offsets = flat_list(series, "ds")
    y, _ = flat_list(series, "y")
    future, _ = flat_list(series, "future")
    # a series with a fault has no rows
    ends = offsets[1:][members]
    starts = offsets[:-1][members]
    compact = np.concatenate([[0], np.cumsum(ends - starts)])
    horizon = len(future) // len(members) if len(members) else 0
    past, ahead = {}, {}
    names = spec.extra_columns()  # by the spec's names: those in the CSV may differ in case
    for name, column in zip(names, extras, strict=True):
        flat, own_offsets = flat_list(series, f"extra_{column}")
        begin = own_offsets[:-1][members]
        history = np.repeat(begin - compact[:-1], ends - starts) + np.arange(compact[-1])
        past[name] = flat[history]
        ahead[name] = flat[(begin + ends - starts)[:, None] + np.arange(horizon)]
    return Histories(compact, ds, y, past), future.reshape(len(members), horizon), ahead, members


def _refuse_bad_input(
    histories: Histories, ahead: dict[str, Floats], members: Ints, spec: ForecastSpec, faults: dict[int, RecordError]
) -> None:
    """Note series whose options do not fit their data."""
    if not len(members):
        return
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    if spec.changepoints:
        given = np.array([np.datetime64(date, "us") for date in spec.changepoints]).astype(np.int64)
        outside = (given.min() < histories.ds[starts]) | (given.max() > histories.ds[ends - 1])
        for i in np.flatnonzero(outside).tolist():
            faults[int(members[i])] = changepoints_outside()
    if spec.growth == "logistic":
        past_gap = _numbers(spec.cap, histories.extras) - _numbers(spec.floor, histories.extras)
        next_gap = _numbers(spec.cap, ahead) - _numbers(spec.floor, ahead)
        bad = np.minimum.reduceat(np.broadcast_to(past_gap, histories.y.shape), starts) <= 0
        bad |= np.broadcast_to(next_gap <= 0, (len(members), spec.horizon)).any(axis=1)
        for i in np.flatnonzero(bad).tolist():
            faults[int(members[i])] = bad_capacity()


def _numbers(option: float | str | None, columns: dict[str, Floats]) -> Floats:
    if isinstance(option, str):
        return columns[option]
    return np.array(0.0 if option is None else option)
