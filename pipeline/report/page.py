"""The page: a summary that loads at once, and series in compressed blocks that are unpacked when viewed."""

from __future__ import annotations

import base64
import gzip
import heapq
import html
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.arrays import Floats
from pipeline.core.elements import DeadLetter
from pipeline.core.outputs.results import FileResult, LiveAccuracy
from pipeline.report.series import ReportedSeries

SERIES_A_BLOCK = 50
POINTS = 2_000_000  # of history in all; beyond that each series shows its last ones only
LEAST_POINTS = 60  # of each history, whatever there is
MOST_LETTERS = 200  # shown in full
MOST_LIVE = 50  # of the lines about earlier forecasts: those with most values
SPARK_PAST, SPARK_AHEAD = 28, 12
_SPARK = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BINS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)  # upper ends of the histogram of scores
UPLOT = "uplot-1.6.32"


class Page:
    """Gathers files and series, then writes them.

    Args:
        title: what the page is about.
        results: the files, in the order of the numbers by which series name theirs.
        strays: dead letters of what never became a request.
        most: how many series it shows, the worst first.
        live: how earlier forecasts did.
        series_first: whether the series come before the summary, for a page about a single file.
    """

    def __init__(
        self,
        title: str,
        results: list[FileResult],
        strays: list[DeadLetter],
        most: int,
        live: list[LiveAccuracy],
        series_first: bool = False,
    ) -> None:
        self._series_first = series_first
        self._title, self._results, self._strays, self._most, self._live = title, results, strays, most, live
        shown = min(sum(result.receipt.series for result in results) or 1, most)
        self._points = max(POINTS // shown, LEAST_POINTS)
        self._kept: list[tuple[tuple[float, float], int, dict[str, Any], str]] = []
        self._scores: list[float] = []
        self._failed = 0
        self._count = 0

    def add(self, series: Iterable[ReportedSeries]) -> None:
        """Add series; of too many the worst are kept."""
        for one in series:
            if one.reason:
                self._failed += 1
            elif math.isfinite(one.score):
                self._scores.append(one.score)
            # failed ones first, then the highest score, then those without one; among equals the earlier
            rank = (2.0 if one.reason else 1.0 if math.isfinite(one.score) else 0.0, _finite(one.score))
            if len(self._kept) < self._most or (rank, -self._count) > self._kept[0][:2]:
                entry = (rank, -self._count, self._row(one), _json(self._details(one)))
                if len(self._kept) < self._most:
                    heapq.heappush(self._kept, entry)
                else:
                    heapq.heapreplace(self._kept, entry)
            self._count += 1

    def html(self) -> bytes:
        """Return the page."""
        entries = sorted(self._kept, key=lambda entry: entry[:2], reverse=True)
        rows = [entry[2] for entry in entries]
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
        summary = {
            "title": self._title, "files": [_file(result) for result in self._results],
            "strays": [_letter(letter) for letter in self._strays[:MOST_LETTERS]],
            "live": [
                [one.feed, one.model, one.level, one.versions, one.values, _rounded(one.error), _rounded(one.inside)]
                for one in heapq.nlargest(MOST_LIVE, self._live, key=lambda one: one.values)
            ],
            "letters": self._letters(), "series": columns, "shown": len(rows), "count": self._count,
            "failed": self._failed, "seriesFirst": self._series_first,
            "perBlock": SERIES_A_BLOCK, "histogram": _histogram(self._scores),
            "median": _rounded(float(np.median(self._scores))) if self._scores else None,
        }  # fmt: skip
        blocks = [
            base64.b64encode(gzip.compress(f"[{','.join(entry[3] for entry in part)}]".encode(), 6, mtime=0)).decode()
            for part in (entries[at : at + SERIES_A_BLOCK] for at in range(0, len(entries), SERIES_A_BLOCK))
        ]
        packed = "".join(f'<script type="text/plain" id="block-{i}">{b}</script>\n' for i, b in enumerate(blocks))
        parts = {
            "TITLE": html.escape(self._title), "UPLOT_CSS": _asset(f"{UPLOT}/uPlot.min.css"),
            "UPLOT_JS": _asset(f"{UPLOT}/uPlot.iife.min.js"), "UPLOT_LICENSE": _asset(f"{UPLOT}/LICENSE"),
            "CSS": _asset("report.css"), "JS": _asset("report.js"), "SUMMARY": _for_script(_json(summary)),
            "BLOCKS": packed,
        }  # fmt: skip
        # in one pass: what replaces a placeholder is not searched for placeholders
        return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _asset("report.html")).encode()

    def _letters(self) -> dict[str, Any]:
        """Return the counts of dead letters by code, and the first letters in full."""
        letters = [letter for result in self._results for letter in result.letters]
        codes = Counter(letter.code for letter in [*letters, *self._strays])
        return {"codes": codes.most_common(), "first": [_letter(letter) for letter in letters[:MOST_LETTERS]]}

    def _row(self, one: ReportedSeries) -> dict[str, Any]:
        """Return what the table shows of a series."""
        return {
            "name": one.name, "file": one.file, "frequency": one.frequency, "n": len(one.past[0]),
            "score": _rounded(one.score), "ahead": _rounded(float(one.forecast.mean())) if len(one.forecast) else None,
            "code": one.code or ("?" if one.reason else ""), "spark": _spark(one.past[1], one.forecast),
        }  # fmt: skip

    def _details(self, one: ReportedSeries) -> dict[str, Any]:
        """Return what the page draws of a series; dates are seconds, all but the first as differences."""
        dates, values = (column[-self._points :] for column in one.past)
        return {
            "d": _dates(dates), "y": _numbers(values), "cut": len(one.past[0]) - len(dates),
            "f": _dates(one.ahead), "p": _numbers(one.forecast),
            "i": [[level, _numbers(lower), _numbers(upper)] for level, lower, upper in one.intervals],
            "c": [[name, over, share, _dates(x) if over == "dates" else _numbers(x), _numbers(y)]
                  for name, over, share, x, y in one.components],
            "w": list(one.weights.items()), "b": [
                [_dates(x[drawn]), _numbers(y[drawn])]
                for x, y, drawn in ((x, y, x >= dates[0]) for x, y in one.past_forecasts)
            ],
            "e": _errors(one), "reason": one.reason, "hint": one.hint,
        }  # fmt: skip


def _errors(one: ReportedSeries) -> list[Any] | None:
    """Return how past forecasts did: number of cutoffs, MASE, and the share of values inside each interval."""
    if one.past_errors is None:
        return None
    cutoffs, error, levels = one.past_errors
    return [cutoffs, _rounded(error), levels]


def _file(result: FileResult) -> dict[str, Any]:
    receipt = result.receipt
    return {
        "source": receipt.source, "output": receipt.output, "status": receipt.status, "code": receipt.code,
        "series": receipt.series, "failed": receipt.series_failed, "rows": receipt.rows, "model": receipt.model,
        "score": _rounded(receipt.score_mase), "frequencies": receipt.frequencies, "finished": receipt.finished_at,
        "notes": receipt.notes, "options": receipt.spec, "software": receipt.software,
    }  # fmt: skip


def _letter(letter: DeadLetter) -> dict[str, str]:
    names = ("code", "message", "hint", "source", "series_id", "scope")
    return {name: getattr(letter, name) for name in names}


def _histogram(scores: list[float]) -> list[int]:
    """Return how many scores are at most each of _BINS, above the one before; the last are above all."""
    return np.bincount(np.searchsorted(_BINS, scores), minlength=len(_BINS) + 1).tolist() if scores else []


def _spark(past: Floats, ahead: Floats) -> str:
    """Return a tiny line as characters, a value from 0 to 63 each; a blank parts history and forecast."""
    pieces = [_sampled(past[-4 * SPARK_PAST :], SPARK_PAST), _sampled(ahead, SPARK_AHEAD)]
    whole = np.concatenate(pieces)
    if not len(whole):
        return ""
    low, high = whole.min(), whole.max()
    scale = 63 / (high - low) if high > low and np.isfinite(high - low) else 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        shares = [np.nan_to_num((piece - low) * scale) for piece in pieces]
    levels = [np.clip(np.round(share), 0, 63).astype(int).tolist() for share in shares]
    return " ".join("".join(_SPARK[level] for level in piece) for piece in levels)


def _sampled(values: Floats, count: int) -> Floats:
    if len(values) <= count:
        return values
    picked: Floats = values[np.round(np.linspace(0, len(values) - 1, count)).astype(int)]
    return picked


def _numbers(values: Any) -> list[float | None]:
    """Return numbers with six significant digits; more cannot be seen."""
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        digits = 5 - np.floor(np.log10(np.abs(array)))
        digits = np.where(np.isfinite(digits), np.clip(digits, -290, 290), 0)
        scale = 10.0**digits
        rounded = np.where(np.isfinite(array), np.round(array * scale) / scale, np.nan)
    return [None if number != number else number for number in rounded.tolist()]


def _dates(dates: npt.NDArray[Any]) -> list[float]:
    seconds = np.asarray(dates, dtype=np.int64) / 1e6
    whole = seconds.astype(np.int64)
    exact = whole if (whole == seconds).all() else seconds
    result: list[float] = np.diff(exact, prepend=exact.dtype.type(0)).tolist()
    return result


def _rounded(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else float(f"{number:.5g}")


def _finite(number: float) -> float:
    return number if math.isfinite(number) else 0.0


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _for_script(text: str) -> str:
    """Return JSON that is safe inside a script: nothing in it ends the script or starts a comment."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _asset(name: str) -> str:
    return (files("pipeline.report") / "assets" / name).read_text(encoding="utf-8")
