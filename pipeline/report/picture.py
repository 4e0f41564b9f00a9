"""Pictures of history, forecast and prediction interval."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.local_inputs.open_input import open_input
from pipeline.core.outputs.forecast_csv import level_text, read_forecast_csv
from pipeline.core.series.arrow_lists import lists_of
from pipeline.core.series.batch import series_id
from pipeline.core.series.load import load_file

MOST = 6
HISTORY, FORECAST = "#222222", "#0b6fb8"
Line = tuple[np.ndarray, np.ndarray]


def draw(
    history: Path,
    forecast: Path,
    spec: ForecastSpec,
    limits: Limits,
    names: list[str],
    periods: int,
    target: Path,
    work: Path,
) -> None:
    """Draw series of a CSV with their forecasts, one below the other.

    Args:
        history: the CSV that was forecast.
        forecast: the forecast CSV.
        spec: how to read the history.
        limits: the operator's limits.
        names: ids of the series to draw; none for the first few.
        periods: how much of the history to draw; 0 for all.
        target: PNG or SVG to write.
        work: folder for the work files of a large history.

    Raises:
        RecordError: if a file cannot be read.
        LookupError: if a series is not in it.
    """
    with open_input(history, limits) as file:
        loaded = load_file(file, spec, limits, work)
    layout = loaded.layout
    known = [series_id(ids, layout.value_name) for ids in loaded.ids]
    absent = [name for name in names if name not in known]
    if absent:
        raise LookupError(f"there is no series {absent[0]!r}; there are {', '.join(known[:MOST])}")
    wanted = names or known[:MOST]
    past: dict[str, Line] = {}
    for batch in loaded.batches():
        for name, dates, values in zip(
            batch.column("series_id").to_pylist(), lists_of(batch, "ds"), lists_of(batch, "y"), strict=True
        ):
            if name in wanted:
                past[name] = (dates.astype("datetime64[us]")[-periods:], values[-periods:])
    ahead = read_forecast_csv(forecast, layout.id_columns, layout.value_name, layout.on_its_clock(spec))
    if len(spec.level) == 1:  # the CSV does not say which; the picture does
        level = level_text(spec.level[0])
        told = {f"prediction_{end}": f"prediction_{end}_{level}" for end in ("lower", "upper")}
        ahead = {series: {told.get(n, n): cells for n, cells in one.items()} for series, one in ahead.items()}
    figure = figure_of([name for name in wanted if name in past], past, ahead)
    target.parent.mkdir(parents=True, exist_ok=True)
    # nothing in the file may depend on the time or on chance
    with mpl.rc_context({"svg.hashsalt": "dropcast"}):
        figure.savefig(target, dpi=120, metadata={"Date": None} if target.suffix == ".svg" else {"Software": None})


def figure_of(names: list[str], past: dict[str, Line], ahead: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Return a picture of series, one below the other, each with its components if it has some.

    Args:
        names: of the series.
        past: dates and values of each history.
        ahead: of each series that is forecast: date, prediction, prediction_lower, prediction_upper (with `_80` and so
            on if there are several levels), and `component NAME`.
    """
    panels: list[tuple[str, str]] = []  # a series, and one of its components or "" for the forecast
    for name in names:
        columns = ahead.get(name, {})
        components = [c.removeprefix("component ") for c in columns if c.startswith("component ")]
        panels += [(name, ""), *((name, c) for c in components if np.isfinite(columns[f"component {c}"]).any())]
    heights = [1.3 if component else 2.6 for _, component in panels] or [2.6]
    figure = Figure(figsize=(10, 1 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (name, component) in zip(axes, panels, strict=False):
        if component:
            _draw_component(axis, component, ahead[name])
        else:
            _draw_series(axis, name, past[name], ahead.get(name))
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=4, fontsize="small")
    return figure


def _draw_component(axis: Axes, name: str, ahead: dict[str, np.ndarray]) -> None:
    axis.plot(ahead["date"], ahead[f"component {name}"], color=FORECAST, linewidth=1.2)
    axis.set_title(name, loc="left", fontsize="small", color="#555555", parse_math=False)
    _finish(axis)


def _draw_series(axis: Axes, name: str, past: Line, ahead: dict[str, np.ndarray] | None) -> None:
    dates, values = past
    few = len(dates) < 60
    axis.plot(dates, values, color=HISTORY, linewidth=1, marker="." if few else None, markersize=4, label="history")
    axis.set_title(
        name if ahead is not None else f"{name} (not forecast)", loc="left", fontsize="medium", parse_math=False
    )
    if ahead is not None:
        lowers = sorted(column for column in ahead if column.startswith("prediction_lower"))
        for column in lowers:
            upper = column.replace("lower", "upper")
            level = column.removeprefix("prediction_lower").strip("_")
            axis.fill_between(
                ahead["date"],
                ahead[column],
                ahead[upper],
                color=FORECAST,
                alpha=0.35 / len(lowers),
                linewidth=0,
                label=f"interval{f' {level} %' if level else ''}",
            )
        axis.plot(ahead["date"], ahead["prediction"], color=FORECAST, linewidth=1.6, label="forecast")
        axis.axvline(ahead["date"][0], color="#999999", linewidth=0.8, linestyle=":")
    _finish(axis)


def _finish(axis: Axes) -> None:
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e5e5e5", linewidth=0.6)
    axis.margins(x=0.01)
