"""What the report shows of each series: history, forecast, components, score."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.arrays import Floats
from pipeline.core.elements import Receipt
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import forecast_block
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.local_inputs.open_input import open_input
from pipeline.core.measures import mean_known
from pipeline.core.members.held_out import HeldOut
from pipeline.core.outputs.forecast_csv import forecast_header, level_text, read_forecast_csv
from pipeline.core.outputs.results import FileResult, Results
from pipeline.core.requests.local_files import OPERATORS_FIELDS
from pipeline.core.series.arrow_lists import lists_of
from pipeline.core.series.layout import Layout
from pipeline.core.series.load import load_file

AGAIN = "Forecast it again."
Dates = npt.NDArray[np.int64]


@dataclass
class ReportedSeries:
    """A series of the report.

    Attributes:
        file: number of its file in the report.
        name: its id; the value column's name if the file has one series only.
        frequency: its calendar; "" if unknown.
        score: its MASE over the last horizon, held out; NaN if there is none.
        past: dates (microseconds, as the file has them, without an offset) and values of its history, both shape (n,).
        ahead: dates forecast, shape (h,).
        forecast: shape (h,); empty if it failed.
        intervals: level as text, lower and upper ends, each of shape (h,).
        components: see report/profiles.py: name, over, share, x, values.
        weights: of the members of --model=auto, the largest first, by name.
        past_forecasts: dates and forecasts from earlier cutoffs, a horizon apart, where the values that came are known.
        past_errors: how these and others did: number of cutoffs, mean MASE, and by level as text the share of values
            inside the interval; None if there are none.
        code, reason, hint: why it was not forecast; "" if it was.
    """

    file: int
    name: str
    frequency: str = ""
    score: float = float("nan")
    past: tuple[Dates, Floats] = field(default_factory=lambda: (np.empty(0, np.int64), np.empty(0)))
    ahead: Dates = field(default_factory=lambda: np.empty(0, np.int64))
    forecast: Floats = field(default_factory=lambda: np.empty(0))
    intervals: list[tuple[str, Floats, Floats]] = field(default_factory=list)
    components: list[tuple[str, str, bool, Any, Floats]] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    past_forecasts: list[tuple[Dates, Floats]] = field(default_factory=list)
    past_errors: tuple[int, float, list[tuple[str, float]]] | None = None
    code: str = ""
    reason: str = ""
    hint: str = ""


def series_of_file(results: Results, number: int, file: FileResult, scratch: Path) -> Iterator[ReportedSeries]:
    """Yield the series of a file, as far as they are known: its CSV and its forecast may be missing.

    Args:
        results: the results that it belongs to.
        number: of the file in the report.
        file: it.
        scratch: a folder for work files.
    """
    receipt = file.receipt
    failed = {letter.series_id: letter for letter in file.letters if letter.scope == "series"}
    whole = next((letter for letter in file.letters if letter.scope == "file"), None)
    source = None if whole is not None and not failed else results.source(receipt)
    for one in _told(results, number, receipt, source, scratch):
        letter = failed.pop(one.name, None)
        if letter is not None or not len(one.forecast):
            letter = letter or whole
            one.code, one.reason, one.hint = (
                (letter.code, letter.message, letter.hint) if letter else ("", "Its forecast cannot be read.", AGAIN)
            )
            one.forecast, one.score = np.empty(0), float("nan")
        yield one
    for name, letter in failed.items():  # whose history could not be read again
        yield ReportedSeries(number, name, code=letter.code, reason=letter.message, hint=letter.hint)


def _told(
    results: Results, number: int, receipt: Receipt, source: Path | None, scratch: Path
) -> Iterator[ReportedSeries]:
    spec = ForecastSpec.from_json(receipt.spec)
    forecast = results.forecast(receipt) if receipt.status != "failed" else None
    if source is None:
        if forecast is not None:
            yield from _from_forecast_alone(number, forecast, spec)
        return
    with open_input(source, Limits()) as raw:
        try:
            loaded = load_file(raw, spec, Limits(), scratch)
        except RecordError:  # as its dead letter says
            return
    layout = loaded.layout
    ahead = (
        {}
        if forecast is None
        else _forecasts(forecast, layout.id_columns, layout.value_name, layout.on_its_clock(spec))
    )
    for batch in loaded.batches():
        yield from _of_batch(number, batch, layout, spec, ahead)


def _forecasts(path: Path, id_columns: Sequence[str], value_name: str, spec: ForecastSpec) -> dict[str, Any]:
    try:
        return read_forecast_csv(path, tuple(id_columns), value_name, spec)
    except (RecordError, OSError, EOFError, pa.ArrowInvalid):  # it was overwritten by something else, or cut short
        return {}


def _of_batch(
    number: int, batch: pa.RecordBatch, layout: Layout, spec: ForecastSpec, ahead: dict[str, Any]
) -> Iterator[ReportedSeries]:
    if spec.backtested:
        yield from _of_combined(number, batch, spec, ahead)
        return
    scores, components = _remade(batch, layout, spec)
    for row, one in enumerate(_histories(number, batch)):
        one.score, one.components = scores[row], components.get(row, [])
        _add_forecast(one, ahead.get(one.name), spec)
        yield one


def _of_combined(
    number: int, batch: pa.RecordBatch, spec: ForecastSpec, ahead: dict[str, Any]
) -> Iterator[ReportedSeries]:
    """Yield the series of a batch that --model=auto has forecast, with its forecasts from earlier cutoffs."""
    from pipeline.core.engines.auto import possible_forecasts  # imports numba
    from pipeline.core.engines.backtests import past_errors

    shown = list(_histories(number, batch))
    for row, history, found in possible_forecasts(batch, spec):
        one, held = shown[row], found.held_out
        named = sorted(found.weights.items(), key=lambda item: -item[1])
        one.weights = {name: weight for name, weight in named if weight > 0}
        if len(held.cutoffs):
            errors = past_errors(found, history)
            inside = errors.coverage.mean(axis=1)
            levels = [(level_text(level), float(share)) for level, share in zip(spec.level, inside, strict=True)]
            one.past_errors = (len(held.cutoffs), float(mean_known(errors.mase[0])), levels)
            whole = errors.newest_whole
            one.score = float("nan") if whole is None else float(errors.mase[0, whole])
            one.past_forecasts = list(_a_horizon_apart(history.dates, held, spec.horizon))
    for one in shown:
        _add_forecast(one, ahead.get(one.name), spec)
        yield one


def _a_horizon_apart(dates: Dates, held: HeldOut, horizon: int) -> Iterator[tuple[Dates, Floats]]:
    """Yield dates and forecasts from cutoffs a horizon or more apart, the newest first."""
    following = None
    for w, cutoff in enumerate(held.cutoffs.tolist()):
        if following is not None and following - cutoff < horizon:
            continue
        following = cutoff
        known = np.flatnonzero(np.isfinite(held.actual[w]))
        yield dates[cutoff + known], held.predictions[0, w, known]


def _histories(number: int, batch: pa.RecordBatch) -> Iterator[ReportedSeries]:
    columns = zip(
        batch.column("series_id").to_pylist(), batch.column("frequency").to_pylist(), lists_of(batch, "ds"),
        lists_of(batch, "y"), strict=True)  # fmt: skip
    for name, frequency, dates, values in columns:
        yield ReportedSeries(number, name, frequency or "", past=(dates.astype(np.int64), values))


def _add_forecast(one: ReportedSeries, found: dict[str, Any] | None, spec: ForecastSpec) -> None:
    if found is None:
        return
    one.ahead = found["date"].astype("datetime64[us]").astype(np.int64)
    one.forecast = found["prediction"]
    for level in spec.level:
        suffix = f"_{level_text(level)}" if len(spec.level) > 1 else ""
        if f"prediction_lower{suffix}" in found:
            ends = (found[f"prediction_lower{suffix}"], found[f"prediction_upper{suffix}"])
            one.intervals.append((level_text(level), *ends))


def _from_forecast_alone(number: int, forecast: Path, spec: ForecastSpec) -> Iterator[ReportedSeries]:
    """Yield the series of a forecast whose CSV is gone; its id columns are those before the date."""
    try:
        found = forecast_header(forecast)
    except OSError:
        return
    ids = list(itertools.takewhile(lambda name: name != "date", found[0])) if found else []
    for name, found in _forecasts(forecast, ids, forecast.name.split(".")[0], spec).items():
        one = ReportedSeries(number, name)
        _add_forecast(one, found, spec)
        yield one


def _remade(
    batch: pa.RecordBatch, layout: Layout, spec: ForecastSpec
) -> tuple[list[float], dict[int, list[tuple[str, str, bool, Any, Floats]]]]:
    """Return each series' score and components, recomputed: the native engine takes microseconds per series.

    What stan has forecast is taken apart by the native engine too: the model is the same.
    """
    from pipeline.core.engines.native import SeriesArrays, fit_block
    from pipeline.report.profiles import profiles  # imports numba

    # models were fitted to another history, but this one is shown
    bare = spec.model_copy(
        update={"engine": "native", "score": True, "level": (), "components": False, "mcmc_samples": 0}
        | dict.fromkeys(OPERATORS_FIELDS)
    )
    remade = forecast_block(batch, layout.extras, bare, Limits(), engine_named(bare.solver)).column("mase")
    scores = [float("nan") if score is None else score for score in remade.to_pylist()]
    block = SeriesArrays.of(batch, layout.extras, bare)
    components: dict[int, list[tuple[str, str, bool, Any, Floats]]] = {}
    for fitted in fit_block(block, bare):
        for profile in profiles(fitted, block):
            for i, member in enumerate(fitted.members.tolist()):
                x = profile.x[i] if profile.x.ndim == 2 else profile.x
                told = (profile.name, profile.over, profile.share, x, profile.values[i])
                components.setdefault(int(block.members[member]), []).append(told)
    return scores, components
