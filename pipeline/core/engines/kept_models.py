"""--save_models and --models: a block's fitted series kept in files, and forecast from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.blocks import SeriesBlock
from pipeline.core.engines.native import SeriesArrays, fit_block, forecast_fitted
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.exchange.saved_models import (
    bad_model,
    model_json_path,
    model_table_path,
    models_table,
    read_models,
    write_whole,
)
from pipeline.core.model.fitted import FittedSeries
from pipeline.core.series.layout import Layout


def save_models(block: SeriesBlock, batch: pa.RecordBatch, layout: Layout, spec: ForecastSpec) -> None:
    """Fit a block's series, and keep them below spec.save_models."""
    arrays = SeriesArrays.of(batch, layout.extras, spec)
    fitted = fit_block(arrays, spec)
    if not fitted:
        return
    folder, output = Path(spec.save_models or ""), block.request.output
    if block.parts == 1 and len(batch) == 1 and not layout.id_columns:
        from prophet.serialize import model_to_json  # takes seconds to import

        from pipeline.core.model.exchange.prophet_object import to_prophet

        model = to_prophet(fitted[0], 0, arrays.histories.ds, arrays.histories.y, arrays.histories.extras)
        write_whole(model_json_path(folder, output), model_to_json(model).encode())
        return
    names = [batch.column("series_id")[row].as_py() for row in arrays.members.tolist()]
    sink = pa.BufferOutputStream()
    table = models_table(fitted, names, spec)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    write_whole(model_table_path(folder, output, block.part), sink.getvalue().to_pybytes())


def forecast_from_models(
    block: SeriesBlock, batch: pa.RecordBatch, layout: Layout, spec: ForecastSpec
) -> pa.RecordBatch:
    """Return a block's forecasts from models below spec.models; a series without a model gets a fault."""
    arrays = SeriesArrays.of(batch, layout.extras, spec)
    names = [batch.column("series_id")[row].as_py() for row in arrays.members.tolist()]
    faults = dict(arrays.faults)
    models: list[FittedSeries] = []
    try:
        found = read_models(Path(spec.models or ""), block.request.output, block.part, names) if names else []
    except RecordError as error:
        return forecast_fitted(batch, _only_faults(arrays, error), [], spec)
    for i, model in enumerate(found):
        row = int(arrays.members[i])
        try:
            if model is None:
                raise bad_model("There is no model for this series.")
            models.append(_as_asked(model, i, spec))
        except RecordError as error:
            faults[row] = error
    return forecast_fitted(batch, dataclasses.replace(arrays, faults=faults), models, spec)


def _only_faults(arrays: SeriesArrays, error: RecordError) -> SeriesArrays:
    return dataclasses.replace(arrays, faults={**dict.fromkeys(arrays.members.tolist(), error), **arrays.faults})


def _as_asked(model: FittedSeries, member: int, spec: ForecastSpec) -> FittedSeries:
    """Return a model with the capacities of this forecast.

    Raises:
        RecordError: BAD_MODEL if it needs columns that this forecast was not given.
    """
    needed = {*model.columns.regressors, *model.columns.conditions}
    lacking = sorted(needed - set(spec.extra_columns()))
    if lacking:
        raise bad_model(f"The model needs the column {lacking[0]!r}: use the options that the model was fitted with.")
    if model.spec.growth != spec.growth:
        raise bad_model(f"The model's growth is {model.spec.growth}: use --growth={model.spec.growth}.")
    own = model.spec.model_copy(update={"cap": spec.cap, "floor": spec.floor})
    return dataclasses.replace(model, members=np.array([member]), spec=own)
