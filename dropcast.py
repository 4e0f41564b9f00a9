"""Dropcast in a notebook: a frame of time series in, a frame of forecasts out.

    import dropcast
    forecast = dropcast.forecast(sales, horizon=28, level=[80, 95])

A frame is a pandas DataFrame, a polars DataFrame or an Arrow table; the result is of the same kind. Its columns are
those of Nixtla's libraries (unique_id, ds and y) or of Prophet (ds and y, for a single series); name others with
date_column, value_column and id_columns. All other options are those of the command line, under the same names
(docs/options.md): frequency, growth, holidays, regressors and so on.

A series that cannot be forecast never stops the others: it is left out with a SeriesWarning, and `check` says why.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from pipeline import __version__
from pipeline.core.dates.calendars import Dates
from pipeline.core.engines.by_name import engine_named, quieten_prophet
from pipeline.core.engines.engine import Engine
from pipeline.core.engines.score import held_out, seasonal_naive_forecasts
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec, option_errors
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import ends_of
from pipeline.core.outputs.frame_names import Names
from pipeline.core.requests.local_files import OPERATORS_FIELDS
from pipeline.core.series.arrow_lists import flat_list, lists_of
from pipeline.library.frames import Series, forecast_table, series_of_table, used_columns, without_views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SeriesWarning", "__version__", "backtest", "check", "fit", "forecast", "plot"]

Frame = TypeVar("Frame")
Levels = float | Iterable[float]


class SeriesWarning(UserWarning):
    """Some series of a frame could not be forecast."""


def forecast(
    data: Frame,
    horizon: int = 28,
    level: Levels | None = None,
    *,
    components: bool = False,
    engine: str = "native",
    **options: Any,
) -> Frame:
    """Forecast every series of a frame.

    Args:
        data: a frame with one row per observation.
        horizon: periods to forecast.
        level: level or levels of the prediction intervals in percent; 80 by default.
        components: whether to also return trend, seasonalities, holidays and regressors.
        engine: `native` or `stan`, the prophet package.
        options: any other option of a forecast.

    Returns:
        A frame of the same kind. With ids: unique_id, ds, Dropcast, Dropcast-lo-80, Dropcast-hi-80; for a single
        series: ds, yhat, yhat_lower, yhat_upper (yhat_lower_80, ... with several levels). Then the components by their
        names.

    Raises:
        ValueError: if an option or a column is wrong, or no series can be forecast.
    """
    spec = _spec(**options, horizon=horizon, level=level, components=components, engine=engine)
    series = _series(data, spec, _made(spec))
    names = Names(len(spec.level) > 1, bool(series.id_columns))
    tables, faults = [], []
    solver: Engine = engine_named(spec.solver)
    for first, batch in series.blocks():
        found = solver.forecast(batch, series.layout.extras, spec, series.limits)
        tables.append(forecast_table(series, first, found, names))
        faults += _faults(found)
    _warn(faults, len(series))
    result: Frame = _like(data, pa.concat_tables(tables))
    return result


def backtest(
    data: Frame,
    horizon: int = 28,
    level: Levels | None = None,
    *,
    cutoffs: int = 1,
    engine: str = "native",
    **options: Any,
) -> Frame:
    """Forecast the held-out ends of the histories, and compare with a seasonal naive forecast.

    Args:
        data: a frame with one row per observation.
        horizon: periods to forecast from each cutoff.
        level: level or levels of the prediction intervals in percent; 80 by default.
        cutoffs: how many, one horizon apart; the last one is one horizon before the end. Each needs at least a
            horizon of history before it.
        engine: `native` or `stan`.
        options: any other option of a forecast.

    Returns:
        A frame of the same kind with one row per series, cutoff and date: the columns of `forecast`, and cutoff (the
        last known date), y and SeasonalNaive. Series that are too short are left out.

    Raises:
        ValueError: if an option or a column is wrong, or all series are too short.
    """
    if not isinstance(cutoffs, int) or cutoffs < 1:
        raise ValueError(f"cutoffs: must be a whole number, 1 or more (given: {cutoffs})")
    spec = _spec(**options, horizon=horizon, level=level, engine=engine)
    horizon = spec.horizon
    series = _series(data, spec, [*_made(spec), "cutoff", "SeasonalNaive"], ahead=False)
    if series.layout.value_name in ("cutoff", "SeasonalNaive", *_made(spec)):
        raise ValueError(f"The column {series.layout.value_name!r} is also the name of a result; rename yours.")
    names = Names(len(spec.level) > 1, bool(series.id_columns))
    tables = []
    faults: list[tuple[str, RecordError]] = []
    for first, batch in series.blocks():
        faults += _faults(batch)
        for later in range((cutoffs - 1) * horizon, -1, -horizon):
            tables += _held_out_table(series, first, batch, later, names)
    if not tables and faults:
        raise ValueError(f"No series can be forecast; the first, {faults[0][0]!r}: {_said(faults[0][1])}")
    if not tables:
        raise ValueError(f"No series has enough history, which is two horizons of {horizon} periods.")
    result: Frame = _like(data, pa.concat_tables(tables))
    return result


def check(data: Frame, **options: Any) -> Frame:
    """Return what would be done with each series of a frame, without fitting anything.

    Args:
        data: a frame with one row per observation.
        options: any option of a forecast.

    Returns:
        A frame of the same kind with one row per series: unique_id, frequency, values (their number), first and last
        date, and, for one that cannot be forecast, code, message and hint.

    Raises:
        ValueError: if an option or a column is wrong.
    """
    spec = _spec(**options)
    series = _series(data, spec)
    tables = []
    for first, batch in series.blocks():
        dates = lists_of(batch, "ds")
        faults = [None if text is None else RecordError.from_json(text) for text in batch.column("fault").to_pylist()]
        ends = {
            name: [int(one[at]) if len(one) else None for one in dates] for name, at in (("first", 0), ("last", -1))
        }
        columns = {
            "frequency": batch.column("frequency"), "values": pa.array([len(one) for one in dates], pa.int64()),
            **{name: _optional_dates(series, column) for name, column in ends.items()},
            "code": pa.array([None if fault is None else fault.code for fault in faults], pa.string()),
            "message": pa.array([None if fault is None else fault.message for fault in faults], pa.string()),
            "hint": pa.array([fault and _in_python(fault.hint) for fault in faults], pa.string()),
        }  # fmt: skip
        tables.append(series.with_keys(first + np.arange(len(batch)), columns))
    result: Frame = _like(data, pa.concat_tables(tables))
    return result


def fit(data: Any, **options: Any) -> dict[Any, Any]:
    """Fit every series, and return fitted prophet.Prophet objects.

    Their methods predict and plot work, and so do Prophet's own tools. The parameters are those of the native engine.

    Args:
        data: a frame with one row per observation.
        options: any option of a forecast.

    Returns:
        A prophet.Prophet per series, keyed by unique_id: by a tuple if there are several id columns, by the value
        column's name, such as "y", if there are none.

    Raises:
        ValueError: if an option or a column is wrong, or no series can be fitted.
    """
    quieten_prophet()
    from pipeline.core.engines.native import SeriesArrays, fit_block
    from pipeline.core.model.exchange.prophet_object import to_prophet  # imports prophet, which takes seconds

    spec = _spec(**options)
    if spec.model != "prophet":
        raise ValueError(f"model: {spec.model} has no single model to give back; take model='prophet'")
    series = _series(data, spec, ahead=False)
    models: dict[Any, Any] = {}
    faults: list[tuple[str, RecordError]] = []
    for first, batch in series.blocks():
        block = SeriesArrays.of(batch, series.layout.extras, spec)
        faults += [(batch.column("series_id")[row].as_py(), error) for row, error in sorted(block.faults.items())]
        found = {}
        for fitted in fit_block(block, spec):
            for i, member in enumerate(fitted.members.tolist()):
                part = slice(*block.histories.offsets[member : member + 2].tolist())
                extras = {name: column[part] for name, column in block.histories.extras.items()}
                model = to_prophet(fitted, i, block.histories.ds[part], block.histories.y[part], extras)
                found[int(block.members[member])] = model
        for row in sorted(found):
            models[_key(series, first + row)] = found[row]
    _warn(faults, len(series))
    return models


def plot(
    data: Any, forecast: Any, series: Sequence[Any] | str | None = None, periods: int = 0, **options: Any
) -> Figure:
    """Draw history, forecast and intervals.

    Args:
        data: the frame that was forecast.
        forecast: what `forecast` returned.
        series: unique_ids of the series to draw; the first six if it is left out.
        periods: number of values to draw from the end of each history; 0 for all.
        options: date_column, value_column, id_columns, if they were passed to `forecast`.

    Returns:
        A matplotlib figure, which a notebook shows.

    Raises:
        ValueError: if a column or a series does not exist.
    """
    from pipeline.report.picture import MOST, figure_of  # imports matplotlib

    spec = _spec(**{"components": True, **options})
    series = [series] if isinstance(series, str) else series
    histories, ahead = _series(data, spec), _table(forecast)
    numbers = np.arange(len(histories))
    names = {_key(histories, number): number for number in numbers.tolist()}
    absent = [key for key in series or () if key not in names]
    if absent:
        raise ValueError(f"There is no series {absent[0]!r}.")
    wanted = [names[key] for key in series] if series is not None else numbers[:MOST].tolist()
    past = {}
    for first, batch in histories.blocks():
        columns = zip(lists_of(batch, "ds"), lists_of(batch, "y"), strict=True)
        for row, (dates, values) in enumerate(columns):
            if first + row in wanted:
                past[first + row] = (dates.astype("datetime64[us]")[-periods:], values[-periods:])
    labels = {number: _label(key) for key, number in names.items()}
    parts = {number: _ahead(ahead, histories, number, spec) for number in wanted}
    return figure_of(
        [labels[number] for number in wanted if number in past], {labels[n]: line for n, line in past.items()},
        {labels[n]: part for n, part in parts.items() if len(part.get("date", ()))})  # fmt: skip


# ------------------------------------------------------------------------------------------------ shared helpers


def _made(spec: ForecastSpec) -> list[str]:
    """Return the names of the columns that a forecast has besides those of its frame."""
    ends = [
        end for with_ids in (True, False) for names in [Names(len(spec.level) > 1, with_ids)]
        for end in (names.forecast, *names.ends(spec))
    ]  # fmt: skip
    return [*ends, *spec.component_names]


def _spec(**options: Any) -> ForecastSpec:
    level = options.get("level")
    if options.get("quantiles") is not None:
        quantiles = options["quantiles"]
        if isinstance(quantiles, Iterable) and not isinstance(quantiles, str):
            options["quantiles"] = list(quantiles)
    if level is None:
        options.pop("level", None)
    elif isinstance(level, Iterable) and not isinstance(level, str):
        options["level"] = [float(one) for one in level]
    elif isinstance(level, np.number):
        options["level"] = float(level)
    for name in options:
        if name not in ForecastSpec.model_fields:
            near = difflib.get_close_matches(name, ForecastSpec.model_fields, 1)
            raise ValueError(f"{name}: unknown option{f'; did you mean {near[0]}?' if near else ''}")
        if name in OPERATORS_FIELDS:
            raise ValueError(f"{name}: is for the command line; use dropcast.fit, which returns the models")
        if name in ("score", "hint"):
            raise ValueError(f"{name}: is for the command line; use dropcast.backtest for what it is made of")
    try:
        spec = ForecastSpec(**options, score=False)
    except ValidationError as error:
        raise ValueError("\n".join(option_errors(list(error.errors()), mark=""))) from None
    if spec.value_column is not None and (len(spec.value_column) > 1 or "*" in spec.value_column):
        raise ValueError("value_column: name one; make a wide frame long first (melt in pandas, unpivot in polars)")
    return spec


def _series(data: Any, spec: ForecastSpec, made: Sequence[str] = (), ahead: bool = True) -> Series:
    """Return the series of a frame.

    Args:
        data: the frame.
        spec: the options.
        made: columns that the result will have besides its own.
        ahead: whether extra columns must have numbers on the dates to forecast.
    """
    try:
        series = series_of_table(_table(data, spec), spec, Limits())
        series = dataclasses.replace(series, layout=dataclasses.replace(series.layout, extras_ahead=ahead))
    except RecordError as error:
        raise ValueError(_said(error)) from None
    except pa.ArrowException as error:
        raise ValueError(f"data: {error}") from None
    taken = {*series.id_columns, series.date_column} & {*made}
    if taken:
        raise ValueError(f"The column {sorted(taken)[0]!r} is also the name of a result; rename yours.")
    return series


def _said(error: RecordError) -> str:
    """Return an error as the library words it: without lines of a file."""
    return f"{error.message} {_in_python(error.hint)}"


def _in_python(hint: str) -> str:
    """Return a hint with options written as arguments: without the dashes of the command line."""
    return re.sub(r"--(?=[a-z])", "", hint)


def _table(data: Any, spec: ForecastSpec | None = None) -> pa.Table:
    """Return a frame as a table; of a pandas DataFrame only the needed columns, and the index if it is one of them."""
    if isinstance(data, pa.Table):
        return without_views(data)
    if isinstance(data, pa.RecordBatch):
        return without_views(pa.Table.from_batches([data]))
    if _kind(data) == "pandas" and hasattr(data, "columns"):
        if spec is not None:
            wanted = used_columns(spec)
            if any(name in wanted for name in data.index.names):
                data = data.reset_index()
            if wanted - {"unique_id"} <= {*data.columns}:
                data = data[[name for name in data.columns if name in wanted]]
        return without_views(pa.Table.from_pandas(data, preserve_index=False))
    if hasattr(data, "__arrow_c_stream__") and _kind(data) != "pandas":
        return without_views(pa.table(data))
    raise ValueError(f"data: a {type(data).__name__} is not a frame; pass pandas, polars or Arrow")


def _kind(data: Any) -> str:
    modules = {parent.__module__.partition(".")[0] for parent in type(data).__mro__}
    return next((name for name in ("pandas", "polars") if name in modules), "")


def _like(data: Any, table: pa.Table) -> Any:
    """Return a table as a frame of the same kind as `data`."""
    table = table.replace_schema_metadata(None)
    if _kind(data) == "pandas":
        return table.to_pandas()
    if _kind(data) == "polars":
        import polars  # the caller has it

        frame: Any = polars.from_arrow(table)
        return frame.cast({name: kind for name, kind in data.schema.items() if name in frame.columns})
    return table


def _key(series: Series, number: int) -> Any:
    if not series.id_columns:
        return series.layout.value_name
    key = tuple(series.keys.slice(number, 1).to_pylist()[0].values())
    return key[0] if len(key) == 1 else key


def _label(key: Any) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _faults(found: pa.RecordBatch) -> list[tuple[str, RecordError]]:
    names, texts = found.column("series_id").to_pylist(), found.column("fault").to_pylist()
    return [(name, RecordError.from_json(text)) for name, text in zip(names, texts, strict=True) if text is not None]


def _warn(faults: list[tuple[str, RecordError]], series: int) -> None:
    """Warn about series that were left out.

    Raises:
        ValueError: if that is all of them.
    """
    if not faults:
        return
    name, error = faults[0]
    told = f"{len(faults):,} of {series:,} series were not forecast; the first, {name!r}: {_said(error)}"
    if len(faults) == series:
        raise ValueError(told)
    warnings.warn(f"{told} dropcast.check(data) lists them.", SeriesWarning, stacklevel=3)


def _optional_dates(series: Series, dates: list[int | None]) -> pa.Array:
    filled = series.dates(np.array([date or 0 for date in dates], dtype=np.int64))
    missing = pa.array([date is None for date in dates])
    return pa.compute.if_else(missing, pa.scalar(None, filled.type), filled)


def _held_out_table(series: Series, first: int, batch: pa.RecordBatch, later: int, names: Names) -> list[pa.Table]:
    """Return the forecasts of the horizon that ends `later` periods before the end, or nothing."""
    spec, extras = series.spec, series.layout.extras
    shortened, rows, actual, _ = held_out(batch, extras, spec.horizon, later)
    if not len(rows):
        return []
    found = engine_named(spec.solver).forecast(shortened, extras, spec, series.limits)
    good = np.flatnonzero(np.asarray(found.column("fault").is_null()))
    if not len(good):
        return []
    shortened = shortened.take(pa.array(good))
    known, future = lists_of(shortened, "ds"), flat_list(shortened, "future")[0]
    cutoffs: Dates = np.repeat([int(dates[-1]) for dates in known], spec.horizon)
    columns = {
        series.date_column: series.dates(future), "cutoff": series.dates(cutoffs),
        series.layout.value_name: pa.array(actual[good].ravel()), names.forecast: found.column("yhat").flatten(),
    }  # fmt: skip
    columns |= zip(names.ends(spec), ends_of(found, spec), strict=True)
    columns["SeasonalNaive"] = pa.array(seasonal_naive_forecasts(shortened).ravel())
    return [series.with_keys(first + np.repeat(rows[good], spec.horizon), columns)]


def _ahead(table: pa.Table, series: Series, number: int, spec: ForecastSpec) -> dict[str, Any]:
    """Return the rows of one series of a forecast, by the names that the picture wants."""
    for name in series.id_columns:
        table = table.filter(pa.compute.equal(table.column(name), series.keys.column(name)[number]))
    forecast_name = next((name for name in ("Dropcast", "yhat") if name in table.column_names), None)
    if forecast_name is None or series.date_column not in table.column_names:
        raise ValueError("forecast: must be what dropcast.forecast returned")
    dates = table.column(series.date_column)
    found = {
        "date": series.microseconds(dates).astype("datetime64[us]"), "prediction": np.asarray(table[forecast_name])
    }  # fmt: skip
    for name in table.column_names:
        for lower, upper, prefix in (("-lo-", "-hi-", "Dropcast"), ("_lower", "_upper", "yhat")):
            if name.startswith(prefix + lower):
                level = name.removeprefix(prefix + lower).strip("_")
                suffix = f"_{level}" if level else ""
                found[f"prediction_lower{suffix}"] = np.asarray(table[name])
                found[f"prediction_upper{suffix}"] = np.asarray(table[name.replace(lower, upper)])
    known = {*series.id_columns, series.date_column}
    for name in spec.component_names:
        if name in table.column_names and name not in known:
            found[f"component {name}"] = np.asarray(table[name].cast(pa.float64()))
    return found
