"""Models compared on their forecasts from earlier cutoffs, where the values that followed are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Floats, Ints
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.score import held_out, seasonal_naive_forecasts
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import mase, smape
from pipeline.core.series.arrow_lists import flat_list

MODELS = ("prophet", "auto")
SEASONAL_NAIVE = "seasonal naive"


@dataclass(frozen=True)
class Evaluation:
    """How one model did on one series, from one cutoff.

    Attributes:
        series_id: of the series.
        cutoff: 1 is the last one, a horizon before the end; 2 is a horizon earlier.
        model: one of MODELS, or SEASONAL_NAIVE.
        mase: mean absolute scaled error; NaN if the history has nothing to scale by.
        smape: symmetric mean absolute percentage error in percent.
        inside: share of the values inside the interval of each level; empty for SEASONAL_NAIVE.
    """

    series_id: str
    cutoff: int
    model: str
    mase: float
    smape: float
    inside: tuple[float, ...]


def evaluate_block(
    series: pa.RecordBatch, extras: tuple[str, ...], spec: ForecastSpec, limits: Limits, cutoffs: int
) -> list[Evaluation]:
    """Forecast a block from each cutoff with each model.

    A series and cutoff count if every model has a forecast there, so that all are compared on the same values. Each
    cutoff needs at least a horizon of values before it.

    Args:
        series: the block.
        extras: names of its extra columns; only Prophet's model uses them.
        spec: options of the forecast; its `model` does not count.
        limits: of a fit.
        cutoffs: how many, a horizon apart.
    """
    found: list[Evaluation] = []
    for cutoff in range(1, cutoffs + 1):
        shortened, _, actual, scale = held_out(series, extras, spec.horizon, later=(cutoff - 1) * spec.horizon)
        if not len(shortened):
            break
        forecasts = {}
        for model in MODELS:
            own = spec.model_copy(update={"model": model})
            forecasts[model] = engine_named(own.solver).forecast(shortened, extras, own, limits)
        usable = [np.asarray(batch.column("fault").is_null()) for batch in forecasts.values()]
        rows = np.flatnonzero(np.all(usable, axis=0))
        if not len(rows):
            continue
        names = shortened.column("series_id").take(pa.array(rows)).to_pylist()
        actual, scale = actual[rows], scale[rows]
        predictions = {model: _of_rows(batch, "yhat", rows) for model, batch in forecasts.items()}
        predictions[SEASONAL_NAIVE] = seasonal_naive_forecasts(shortened.take(pa.array(rows)))
        for model, prediction in predictions.items():
            scores, percents = mase(actual, prediction, scale), smape(actual, prediction)
            inside = _inside(forecasts[model], rows, actual, len(spec.level)) if model in forecasts else None
            found += [
                Evaluation(
                    name, cutoff, model, float(scores[i]), float(percents[i]),
                    () if inside is None else tuple(inside[i].tolist()),
                )
                for i, name in enumerate(names)
            ]  # fmt: skip
    return found


def _of_rows(batch: pa.RecordBatch, name: str, rows: Ints) -> Floats:
    """Return a column of some rows of a forecast batch, shape (rows, h); those with a fault have no values.

    There must be at least one without.
    """
    position = np.cumsum(np.asarray(batch.column("fault").is_null())) - 1
    values, _ = flat_list(batch, name)
    return np.asarray(values.reshape(position[-1] + 1, -1)[position[rows]])


def _inside(batch: pa.RecordBatch, rows: Ints, actual: Floats, levels: int) -> Floats:
    """Return the share of values inside the interval of each level, shape (rows, levels)."""
    shares = np.empty((len(rows), levels))
    for level in range(levels):
        lower, upper = _of_rows(batch, f"lower_{level}", rows), _of_rows(batch, f"upper_{level}", rows)
        shares[:, level] = ((actual >= lower) & (actual <= upper)).mean(axis=1)
    return shares
