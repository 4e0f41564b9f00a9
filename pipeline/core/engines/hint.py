"""A hint where it pays: whether --model=auto would have been better, tried on a few series of a large file."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Ints
from pipeline.core.engines.by_name import engine_named
from pipeline.core.faults.internal_error import OWN_FAULTS, own_fault
from pipeline.core.forecast_spec import PROPHETS_OWN, ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import mase

_log = logging.getLogger(__name__)

SMALLEST_FILE = 100  # series, for a hint
LEAST_TRIED, MOST, SHARE = 3, 50, 0.01  # series of a file that are tried: this share, within these numbers
TRIED = "auto_mase"  # the column of a forecast batch


def wants_hint(spec: ForecastSpec) -> bool:
    """Return whether a forecast is compared with auto's: if auto would take the same options."""
    own = type(spec).model_fields
    prophets = any(getattr(spec, name) != own[name].default for name in PROPHETS_OWN)
    return spec.hint and spec.model == "prophet" and not prophets and spec.scored


def sample(names: Sequence[str], part: int, parts: int) -> Ints:
    """Return the rows of a block whose series are tried: those whose names have the lowest checksums.

    Args:
        names: of the block's series.
        part: the block's number.
        parts: number of blocks of its file, taken to be as large as this one.
    """
    series = len(names) * parts
    tried = min(MOST, max(LEAST_TRIED, int(SHARE * series))) if series >= SMALLEST_FILE else 0
    own = (part + 1) * tried // parts - part * tried // parts
    return np.sort(_by_checksum(names)[:own])


def _by_checksum(names: Sequence[str]) -> Ints:
    checksums = np.array([zlib.crc32(name.encode()) for name in names], np.int64)
    return np.lexsort((np.arange(len(names)), checksums))


class Trial:
    """Collects up to MOST series of a file, whatever its size, and tries Prophet and auto on them.

    Args:
        spec: options of the forecast; one for which no hint is wanted collects nothing.
    """

    def __init__(self, spec: ForecastSpec) -> None:
        self._spec = spec
        self._kept: pa.RecordBatch | None = None

    def passed(self, blocks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield blocks of series as they are, and keep those whose names have the lowest checksums."""
        for series in blocks:
            yield series
            if wants_hint(self._spec):
                usable = series.take(pa.array(np.flatnonzero(np.asarray(series.column("fault").is_null()))))
                own = _lowest(usable)
                self._kept = own if self._kept is None else _lowest(pa.concat_batches([self._kept, own]))

    def hint(self, extras: tuple[str, ...], limits: Limits) -> str:
        """Return the hint; "" if auto would not have been better, or if nothing could be tried.

        Args:
            extras: names of the series' extra columns.
            limits: of a fit.
        """
        from pipeline.core.engines.forecast_batch import forecast_block

        series = self._kept
        if series is None or len(series) < LEAST_TRIED:
            return ""
        try:
            forecasts = forecast_block(series, extras, self._spec, limits, engine_named(self._spec.solver))
            tried = with_auto_scores(forecasts, series, np.arange(len(series)), self._spec)
        except OWN_FAULTS as error:  # a hint never costs anything else
            if not own_fault(error):
                raise
            _log.exception("no hint")
            return ""
        return hint_of(scores_of(tried))


def _lowest(series: pa.RecordBatch) -> pa.RecordBatch:
    return series.take(pa.array(np.sort(_by_checksum(series.column("series_id").to_pylist())[:MOST])))


def with_auto_scores(
    forecasts: pa.RecordBatch, series: pa.RecordBatch, tried: Ints, spec: ForecastSpec
) -> pa.RecordBatch:
    """Return forecasts with a column TRIED: the MASE of auto on the last horizon, null for series that are not tried.

    Args:
        forecasts: a forecast batch.
        series: what was forecast.
        tried: rows of the series to try.
        spec: options of the forecast.
    """
    from pipeline.core.engines.auto import possible_forecasts  # imports numba
    from pipeline.core.engines.score import held_out

    scores = np.full(len(series), np.nan)
    tried = tried[np.asarray(forecasts.column("mase").is_valid())[tried]]
    if len(tried):
        shortened, rows, actual, scale = held_out(series.take(pa.array(tried)), (), spec.horizon)
        for row, _, found in possible_forecasts(shortened, spec):
            scores[tried[rows[row]]] = mase(actual[row], found.prediction, scale[row])
    return forecasts.append_column(TRIED, pa.array(scores, from_pandas=True))


def scores_of(forecasts: pa.RecordBatch) -> tuple[tuple[float, float], ...]:
    """Return the MASE of Prophet and of auto for each series of a forecast batch on which auto was tried."""
    if TRIED not in forecasts.schema.names:
        return ()
    both = forecasts.select(["mase", TRIED]).filter(forecasts.column(TRIED).is_valid())
    return tuple(zip(both.column("mase").to_pylist(), both.column(TRIED).to_pylist(), strict=True))


def hint_of(tried: Sequence[tuple[float, float]]) -> str:
    """Return the hint; "" if auto would not have been better.

    Args:
        tried: MASE of Prophet and of auto, for each series that was tried.
    """
    if len(tried) < LEAST_TRIED:
        return ""
    prophet, auto = np.array(tried).T
    better = int((auto < prophet).sum())
    if not (auto.mean() < prophet.mean() and 2 * better > len(tried)):
        return ""
    return (
        f"--model=auto would have been better: MASE {auto.mean():.2f} against {prophet.mean():.2f}, "
        f"lower on {better:,} of {len(tried):,} series tried"
    )
