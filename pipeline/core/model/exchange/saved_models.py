"""Fitted series in files: Prophet's own JSON for one, a versioned Arrow table for many. Checked when read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.io_faults import does_io
from pipeline.core.model.design.columns import ColumnLayout
from pipeline.core.model.design.structure import HolidayColumn, Seasonality
from pipeline.core.model.exchange.prophet_json import MOST, from_prophet_json
from pipeline.core.model.fitted import FittedSeries

VERSION = "dropcast models 1"
_NUMBERS = ("y_scale", "floor", "k", "m", "sigma_obs")
_INTEGERS = ("start", "t_scale", "status", "rows")
_LISTS = ("changepoints_t", "delta", "beta", "regressor_mean", "regressor_std")


def model_json_path(folder: Path, output: str) -> Path:
    """Return where the model of a forecast's only series is kept."""
    return folder / f"{output}.model.json"


def model_table_path(folder: Path, output: str, part: int) -> Path:
    """Return where the models of one block of a forecast are kept."""
    return folder / f"{output}.models" / f"part-{part:06d}.arrow"


def models_table(fitted: Sequence[FittedSeries], names: Sequence[str], spec: ForecastSpec) -> pa.Table:
    """Return fitted series as a table, one row per series.

    Args:
        fitted: whose members are positions in `names`.
        names: series_id of each series.
        spec: the options of the fit.
    """
    parts = []
    for part in fitted:
        structure = json.dumps({
            "seasonalities": [dataclasses.asdict(s) for s in part.columns.seasonalities],
            "holidays": [dataclasses.asdict(h) for h in part.columns.holidays],
        })  # fmt: skip
        columns = {"series_id": pa.array([names[i] for i in part.members.tolist()])}
        columns |= {name: pa.array(getattr(part, name), pa.float64()) for name in _NUMBERS}
        columns |= {name: pa.array(getattr(part, name), pa.int64()) for name in _INTEGERS}
        columns |= {name: pa.array(list(getattr(part, name)), pa.list_(pa.float64())) for name in _LISTS}
        columns["structure"] = pa.array([structure] * len(part)).dictionary_encode()
        parts.append(pa.table(columns))
    table = pa.concat_tables(parts).unify_dictionaries()
    return table.replace_schema_metadata({"dropcast": VERSION, "spec": spec.to_json()})


def series_of_table(table: pa.Table) -> dict[str, FittedSeries]:
    """Return the fitted series of a table by series_id.

    Raises:
        RecordError: BAD_MODEL if it is not such a table.
    """
    metadata = table.schema.metadata or {}
    try:
        if metadata.get(b"dropcast") != VERSION.encode():
            raise ValueError(f"its metadata does not say {VERSION!r}")
        table.validate(full=True)
        spec = ForecastSpec.from_json(metadata[b"spec"].decode())
        return {row["series_id"]: _series(row, spec) for row in table.to_pylist()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, pa.ArrowException) as error:
        raise bad_model(f"The table of models cannot be used: {error}") from None


def _series(row: dict[str, object], spec: ForecastSpec) -> FittedSeries:
    structure = json.loads(str(row["structure"]))
    seasonalities = tuple(Seasonality(**fields) for fields in structure["seasonalities"])
    holidays = tuple(HolidayColumn(**{**fields, "days": tuple(fields["days"])}) for fields in structure["holidays"])
    arrays: dict[str, Any] = {name: np.array([row[name]], dtype=np.float64) for name in (*_NUMBERS, *_LISTS)}
    integers: dict[str, Any] = {name: np.array([row[name]], dtype=np.int64) for name in _INTEGERS}
    if not all((np.abs(array) <= MOST).all() for array in arrays.values()):  # NaN is not
        raise ValueError(f"the parameters of {row['series_id']!r} are not finite, or too large")
    columns = ColumnLayout.of(spec, seasonalities, holidays)
    fitted = FittedSeries(np.zeros(1, np.int64), spec, columns, **arrays, **integers)
    if fitted.beta.shape != (1, len(columns)) or fitted.delta.shape != fitted.changepoints_t.shape:
        raise ValueError(f"the parameters of {row['series_id']!r} do not fit its model")
    return fitted


@does_io(OSError)
def read_models(source: Path, output: str, part: int, names: Sequence[str]) -> list[FittedSeries | None]:
    """Return the models of some series, None for a series without one.

    Args:
        source: a folder of models, or one model as Prophet's JSON.
        output: name of the forecast.
        part: number of the block, in whose file most of its series are, if their order has not changed.
        names: series_id of each series.

    Raises:
        RecordError: BAD_MODEL.
    """
    single = source if source.is_file() else model_json_path(source, output)
    if single.is_file():
        if len(names) > 1:
            raise bad_model(f"{single.name} is the model of one series, but the file has more.")
        try:
            return [from_prophet_json(single.read_text())]
        except UnicodeDecodeError:
            raise bad_model(f"{single.name} is not text.") from None
    own = model_table_path(source, output, part)
    others = sorted(own.parent.glob("part-*.arrow"))
    if not others:
        raise bad_model(f"There is no model for {output!r} in {source}.")
    found: dict[str, FittedSeries] = {}
    wanted = set(names)
    for path in sorted(others, key=lambda path: (path != own, path)):
        with pa.OSFile(str(path)) as file:
            try:
                table = pa.ipc.open_file(file).read_all()
            except pa.ArrowException as error:
                raise bad_model(f"{path.name} is not a table of models: {error}") from None
        keep = pa.compute.is_in(table.column("series_id"), pa.array(sorted(wanted), pa.string()))
        kept = table.filter(keep)
        if len(kept):
            found |= series_of_table(kept)
            wanted -= set(kept.column("series_id").to_pylist())
        if not wanted:
            break
    return [found.get(name) for name in names]


def bad_model(message: str) -> RecordError:
    """Return the refusal of a model."""
    return RecordError(
        "BAD_MODEL", message, "Use what --save_models or Prophet's model_to_json wrote, or leave out --models."
    )


@does_io(OSError)
def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole, by a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".whole")
    draft.write_bytes(content)
    draft.replace(path)
