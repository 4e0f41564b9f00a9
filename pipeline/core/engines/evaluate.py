"""Models compared on their forecasts from earlier cutoffs, where the values that followed are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Floats, Ints
from pipeline.core.engines.auto import possible_forecasts
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import AUTO, BACKTEST
from pipeline.core.engines.score import held_out, seasonal_naive_forecasts, seasonal_naive_scales
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import coverage, interval_pinball, mase, rmsse, smape
from pipeline.core.members.forecast import CombinedForecast
from pipeline.core.series.arrow_lists import flat_list, lists_of, timestamps

PROPHET, SEASONAL_NAIVE = "prophet", "seasonal naive"
MODELS = (PROPHET, AUTO, SEASONAL_NAIVE)
"""The models that are compared; others are members of auto."""
EVALUATION = pa.schema([("series_id", pa.string()), *((field.name, field.type) for field in BACKTEST)])
"""A row for each series, cutoff and model; for each level too, if the model has intervals. See BACKTEST."""


def evaluate_block(
    series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits, cutoffs: int
) -> pa.Table:
    """Forecast a block from each cutoff with each of MODELS and with each member of auto; return EVALUATION.

    A series and cutoff count if prophet and auto have a forecast there, so that MODELS are compared on the same values;
    a member may have none. Each cutoff needs at least a horizon of values before it.

    Args:
        series: the block.
        extras: names of its extra columns; only Prophet's model uses them.
        spec: options of the forecast; its `model` does not count.
        limits: of a fit.
        cutoffs: how many, a horizon apart, the last one a horizon before the end.
    """
    own = {model: spec.model_copy(update={"model": model, "score": False}) for model in (PROPHET, AUTO)}
    parts = []
    for later in range(0, cutoffs * spec.horizon, spec.horizon):
        shortened, _, actual, _ = held_out(series, extras, spec.horizon, later)
        if not len(shortened):
            break
        forecasts = engine_named(own[PROPHET].solver).forecast(shortened, extras, own[PROPHET], limits)
        combined = {row: found for row, _, found in possible_forecasts(shortened, own[AUTO])}
        usable = np.flatnonzero(np.asarray(forecasts.column("fault").is_null())).tolist()
        rows = np.array([row for row in usable if row in combined and np.isfinite(combined[row].prediction).all()], int)
        if len(rows):
            values = _Compared(shortened.take(pa.array(rows)), actual[rows], spec.level)
            parts += [
                values.measured(
                    PROPHET, _of_rows(forecasts, "yhat", rows),
                    [(_of_rows(forecasts, f"lower_{i}", rows), _of_rows(forecasts, f"upper_{i}", rows))
                     for i in range(len(spec.level))],
                ),
                *_combined(values, [combined[row] for row in rows.tolist()]),
                values.measured(SEASONAL_NAIVE, seasonal_naive_forecasts(values.series)),
            ]  # fmt: skip
    return pa.concat_tables(parts) if parts else EVALUATION.empty_table()


class _Compared:
    """The series of a block that are compared from one cutoff.

    Args:
        series: n series, up to the cutoff.
        actual: values that followed, shape (n, h).
        levels: of the intervals, in percent.
    """

    def __init__(self, series: pa.RecordBatch, actual: Floats, levels: Sequence[float]) -> None:
        self.series, self._actual, self._levels = series, actual, levels
        ds, offsets = flat_list(series, "ds")
        y, _ = flat_list(series, "y")
        self._absolute, self._squared = seasonal_naive_scales(y, ds, offsets, series.column("frequency").to_pylist())
        self._cutoffs = timestamps(np.array([int(dates[-1]) for dates in lists_of(series, "ds")]))

    def measured(
        self, model: str, prediction: Floats, intervals: Sequence[tuple[Floats, Floats]] = (),
        rows: Ints | None = None, weights: Floats | None = None,
    ) -> pa.Table:  # fmt: skip
        """Return the errors of a model.

        Args:
            model: its name.
            prediction: its forecasts of the given rows, shape (n, h).
            intervals: lower and upper ends for each level, if it has any, each of shape (n, h).
            rows: which series it has forecast; all if None.
            weights: of a member, shape (n,).
        """
        rows = np.arange(len(self.series)) if rows is None else rows
        actual, scale = self._actual[rows], self._absolute[rows]
        nothing = np.full(len(rows), np.nan)
        columns = {
            "weight": nothing if weights is None else weights, "mase": mase(actual, prediction, scale),
            "smape": smape(actual, prediction), "rmsse": rmsse(actual, prediction, self._squared[rows]),
        }  # fmt: skip
        of_level = [
            {"level": np.full(len(rows), level), "pinball": interval_pinball(actual, *ends, level, scale),
             "coverage": coverage(actual, *ends)}
            for level, ends in (zip(self._levels, intervals, strict=True) if intervals else ())
        ] or [{"level": nothing, "pinball": nothing, "coverage": nothing}]  # fmt: skip
        taken = pa.array(rows)
        texts = {
            "series_id": self.series.column("series_id").take(taken), "cutoff": self._cutoffs.take(taken),
            "steps": pa.array(np.full(len(rows), actual.shape[1])), "model": pa.repeat(model, len(rows)),
        }  # fmt: skip
        tables = [
            pa.table(
                [texts[name] if name in texts else pa.array((columns | levels)[name], from_pandas=True)
                 for name in EVALUATION.names], schema=EVALUATION,
            )
            for levels in of_level
        ]  # fmt: skip
        return pa.concat_tables(tables)


def _combined(values: _Compared, found: Sequence[CombinedForecast]) -> list[pa.Table]:
    """Return the errors of auto, and of each of its members on the series that it takes part in."""
    levels = range(len(found[0].lower))
    intervals = [(np.array([one.lower[i] for one in found]), np.array([one.upper[i] for one in found])) for i in levels]
    tables = [values.measured(AUTO, np.array([one.prediction for one in found]), intervals)]
    for name in sorted({name for one in found for name in one.weights}):
        rows = np.array([row for row, one in enumerate(found) if name in one.weights])
        own = [(found[row].weights[name], found[row].members[list(found[row].weights).index(name)]) for row in rows]
        forecasts, weights = np.array([forecast for _, forecast in own]), np.array([weight for weight, _ in own])
        tables.append(values.measured(name, forecasts, rows=rows, weights=weights))
    return tables


def _of_rows(batch: pa.RecordBatch, name: str, rows: Ints) -> Floats:
    """Return a column of some rows of a forecast batch, shape (rows, h); those with a fault have no values.

    There must be at least one without.
    """
    position = np.cumsum(np.asarray(batch.column("fault").is_null())) - 1
    values, _ = flat_list(batch, name)
    return np.asarray(values.reshape(position[-1] + 1, -1)[position[rows]])
