"""Backtests of --model=auto as columns of a batch: how the combination and each member did from earlier cutoffs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.dates.calendars import Dates
from pipeline.core.engines.forecast_batch import AUTO, BACKTEST, BACKTEST_NUMBERS
from pipeline.core.measures import coverage, interval_pinball, mase, rmsse, smape
from pipeline.core.members.counts import MEMBERS as COUNT_MEMBERS
from pipeline.core.members.forecast import CombinedForecast
from pipeline.core.members.held_out import scales_of
from pipeline.core.members.history import History
from pipeline.core.members.members import NAMES
from pipeline.core.series.arrow_lists import timestamps

MODELS = (AUTO, *NAMES, *COUNT_MEMBERS)


class PastErrors(NamedTuple):
    """How a combination and its members did from earlier cutoffs, the newest first.

    Attributes:
        scales: mean absolute and root mean squared error of the seasonal naive forecast up to each, shape (2, w).
        mase: of the combination, then of each member, shape (1 + k, w).
        coverage: share of values inside the combination's intervals, shape (levels, w).
        newest_whole: position of the newest cutoff that leaves a whole horizon of the history; None if none does.
    """

    scales: Floats
    mase: Floats
    coverage: Floats
    newest_whole: int | None


def past_errors(found: CombinedForecast, history: History) -> PastErrors:
    """Return how a forecast made from a history would have done earlier."""
    held = found.held_out
    scales = scales_of(history.known, history.scale_season, held.cutoffs)
    whole = np.flatnonzero(len(history.known) - held.cutoffs >= held.actual.shape[1])
    return PastErrors(
        scales, mase(held.actual, held.predictions, scales[0]), coverage(held.actual, held.lower, held.upper),
        int(whole[0]) if len(whole) else None,
    )  # fmt: skip


class Backtests:
    """Backtests of the series of a block, put together one after the other.

    Args:
        series: how many the block has.
    """

    def __init__(self, series: int) -> None:
        self._columns: dict[str, list[Floats]] = {name: [] for name in BACKTEST_NUMBERS}
        self._cutoffs: list[Dates] = []
        self._known: list[Bools] = []  # whether there is a cutoff
        self._steps: list[Ints] = []
        self._models: list[Ints] = []
        self._counts = np.zeros(series, np.int64)

    def add(self, row: int, found: CombinedForecast, history: History, levels: Sequence[float]) -> PastErrors:
        """Add a series; return how its forecast would have done.

        Args:
            row: of the series, after those added before.
            found: its forecast.
            history: from which it was made.
            levels: of the intervals, in percent.
        """
        held, members = found.held_out, len(found.weights)
        rows = np.array([*[0] * len(levels), *range(1, 1 + members)])  # of held.predictions
        own = np.arange(len(levels))  # rows of the combination
        times = len(held.cutoffs)
        errors = past_errors(found, history)
        absolute, squared = errors.scales
        columns = {
            "mase": errors.mase[rows], "smape": smape(held.actual, held.predictions)[rows],
            "rmsse": rmsse(held.actual, held.predictions, squared)[rows],
            **{name: np.full((len(rows), times), np.nan) for name in ("pinball", "coverage")},
        }  # fmt: skip
        for i, level in enumerate(levels):
            columns["pinball"][i] = interval_pinball(held.actual, held.lower[i], held.upper[i], level, absolute)
        columns["coverage"][own] = errors.coverage
        repeats = max(times, 1)
        self._counts[row] = repeats * len(rows)
        for name, numbers in columns.items():
            self._columns[name].append(numbers.T.ravel() if times else np.full(len(rows), np.nan))
        weights = np.array([*[1.0] * len(levels), *found.weights.values()])
        self._columns["weight"].append(np.tile(weights, repeats))
        self._columns["level"].append(np.tile(np.array([*levels, *[np.nan] * members]), repeats))
        self._models.append(np.tile(np.array([*[0] * len(levels), *map(MODELS.index, found.weights)]), repeats))
        self._cutoffs.append(np.repeat(history.dates[held.cutoffs - 1] if times else np.zeros(1, int), len(rows)))
        self._known.append(np.full(repeats * len(rows), times > 0))
        self._steps.append(np.repeat(np.isfinite(held.actual).sum(axis=1) if times else np.zeros(1, int), len(rows)))
        return errors

    def column(self) -> pa.ListArray:
        """Return the backtests of all series, a list of BACKTEST for each."""
        if not self._models:
            return pa.array([[]] * len(self._counts), pa.list_(BACKTEST))
        models = pa.DictionaryArray.from_arrays(np.concatenate(self._models).astype(np.int32), pa.array(MODELS))
        numbers = [
            pa.array(np.concatenate(self._columns[name]), from_pandas=True) for name in BACKTEST_NUMBERS
        ]  # NaN is null
        unknown = ~np.concatenate(self._known)
        cutoffs = timestamps(np.concatenate(self._cutoffs))
        columns = [
            pa.compute.if_else(pa.array(unknown), pa.scalar(None, cutoffs.type), cutoffs),
            pa.array(np.concatenate(self._steps)), models.cast(pa.string()), *numbers,
        ]  # fmt: skip
        offsets = np.concatenate([[0], np.cumsum(self._counts)]).astype(np.int32)
        values = pa.StructArray.from_arrays(columns, fields=list(BACKTEST))
        return pa.ListArray.from_arrays(pa.array(offsets), values)
