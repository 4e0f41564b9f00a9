"""dropcast compare: both engines and a seasonal naive forecast on one file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.local_files import local_path
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import AUTO
from pipeline.core.engines.hint import hint_of
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.local_inputs.open_input import open_input
from pipeline.core.outputs.forecast_csv import level_text
from pipeline.core.outputs.summary import DEAD_LETTERED, DONE
from pipeline.core.plain_text import printable
from pipeline.core.scratch import scratch_folder
from pipeline.core.series.load import load_file
from pipeline.options import spec_from
from pipeline.terminal import say

if TYPE_CHECKING:
    from pipeline.core.engines.compare import Comparison

MOST, LISTED = 20, 20
SAME = 1e-3  # of the objective: a likelihood ratio indistinguishable from 1


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "compare",
        "Forecast a CSV with the native engine, with stan (the prophet package) and with a seasonal naive forecast; "
        "show for each Prophet's own objective, how the forecasts differ, times, and scores on the last horizon, held "
        "out.",
        "dropcast compare sales.csv --horizon=14",
        "FILE [OPTION ...]",
    )
    found.add_argument("file", nargs="?", metavar="FILE", help="CSV, or gs://bucket/name")
    found.add_argument("--most", metavar="N", default=str(MOST), help="series to compare, from the first [%(default)s]")
    found.add_argument("--json", action="store_true", help="print everything as JSON")
    add_model_arguments(found, ForecastSpec)
    add_model_arguments(found, Limits)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        spec, limits, problems = spec_from(arguments)
        if spec.model != "prophet":
            problems.append("--model: compare holds two engines of Prophet's model against each other; leave it out")
        if not arguments["most"].isdecimal() or int(arguments["most"]) < 1:
            problems.append(f"--most: must be a number, 1 or more (given: {arguments['most']!r})")
        if arguments["file"] is None:
            problems.append("FILE: is missing; name a CSV")
        if spec.mcmc_samples or spec.models or spec.save_models:
            problems.append("--mcmc_samples, --models, --save_models: cannot be compared; leave them out")
        if problems:
            raise OptionsError(problems)
        with scratch_folder() as scratch:
            path = local_path(arguments["file"], "FILE", scratch)
            total, found = _compared(path, spec, limits, int(arguments["most"]), scratch / "work")
    except RecordError as error:
        return refuse(OptionsError([f"{error.code}  {arguments['file']}: {error}", f"    {error.hint}"]))
    except OptionsError as error:
        return refuse(error)
    if arguments["json"]:
        series = [{key: _plain(value) for key, value in dataclasses.asdict(one).items()} for one in found]
        say(json.dumps({"file": arguments["file"], "series_in_file": total, "series": series}, indent=2))
    else:
        say("\n".join(printable(line) for line in _described(arguments["file"], total, found, spec)))
    return DEAD_LETTERED if any(one.fault for one in found) or not found else DONE


def _compared(path: Path, spec: ForecastSpec, limits: Limits, most: int, work: Path) -> tuple[int, list[Comparison]]:
    """Return how many series the file has, and the comparisons of the first of them.

    Raises:
        RecordError: if it cannot be read.
    """
    engine_named("stan")  # imports prophet, which takes seconds, and keeps it quiet
    from pipeline.core.engines.compare import compare_block

    with open_input(path, limits) as file:
        loaded = load_file(file, spec, limits, work)
    # the comparison needs only the history, or is the same for both
    loaded.layout = dataclasses.replace(loaded.layout, extras_ahead=False)
    found: list[Comparison] = []
    with tqdm(total=min(most, len(loaded.ids)), unit=" series", disable=not sys.stderr.isatty(), leave=False) as bar:
        for batch in loaded.batches():
            for first in range(0, min(len(batch), most - len(found)), 8):
                part = batch.slice(first, min(8, most - len(found)))
                compared = compare_block(part, loaded.layout.extras, spec, limits)
                found += compared
                bar.update(len(part))
            if len(found) >= most:
                break
    return len(loaded.ids), found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _described(name: str, total: int, found: Sequence[Comparison], spec: ForecastSpec) -> list[str]:
    good = [one for one in found if not one.fault]
    faults = [f"  {one.series_id}: {one.fault}" for one in found if one.fault]
    lines = [f"{name}: {len(found):,} of {total:,} series, horizon {spec.horizon}"]
    if not good:
        return [*lines, *faults, "  There is nothing to compare."]
    lines += ["", *_summary(good, spec), "", *_objectives(good)]
    tried = [(one.mase["native"], one.mase[AUTO]) for one in good if {"native", AUTO} <= {*one.mase}]
    hint = hint_of([scores for scores in tried if all(map(math.isfinite, scores))])
    lines += [f"  {hint}.", ""] if hint else [""]
    header = ("series", "objective: native", "stan", "forecasts differ", "MASE: native", "stan", "naive")
    lines += [_row(header), *(_row(_cells(one)) for one in good[:LISTED])]
    if len(good) > LISTED:
        lines.append(f"  ... and {len(good) - LISTED:,} more (--json)")
    return lines + faults


def _summary(good: Sequence[Comparison], spec: ForecastSpec) -> list[str]:
    scored = [one for one in good if {"native", "stan", "naive"} <= {*one.mase}]
    rows: list[tuple[str, list[str]]] = []
    if not scored:
        rows.append((f"no scores: no series has {2 * spec.horizon:,} values (two horizons)", []))
    if scored:
        scores = [_number(statistics.median(one.mase[name] for one in scored)) for name in ("native", "stan", "naive")]
        rows.append((f"MASE of the last {spec.horizon}, median", scores))
        if spec.level:
            shares = [f"{statistics.fmean(one.covered[name] for one in scored):.0%}" for name in ("native", "stan")]
            rows.append((f"of its values within the {level_text(spec.level[0])} % interval", shares))
    times = [_number(statistics.fmean(one.seconds[name] for one in good)) for name in ("native", "stan")]
    rows += [("seconds per series", times)]
    heads = ("", ["native", "stan", "seasonal naive"])
    return [
        f"  {text:<36}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, (12, 12, 16), strict=False))
        for text, cells in (heads, *rows)
    ]


def _objectives(good: Sequence[Comparison]) -> list[str]:
    lower = [one.objective["native"] - one.objective["stan"] for one in good]
    better, worse = sum(x < -SAME for x in lower), sum(x > SAME for x in lower)
    lines = [
        f"  Prophet's objective: native finds a better fit in {better:,} series, stan in {worse:,}, the same "
        f"(within {SAME}) in {len(good) - better - worse:,}."
    ]
    differences = [one.difference for one in good if math.isfinite(one.difference)]
    if differences:
        lines.append(
            f"  Forecasts differ by {statistics.median(differences):.1%} of half the interval's width (median; at most "
            f"{max(differences):.1%})."
        )
    return lines


def _cells(one: Comparison) -> tuple[str, ...]:
    return (
        one.series_id[:23],
        *(_objective(one.objective[name]) for name in ("native", "stan")),
        f"{one.difference:.1%}" if math.isfinite(one.difference) else "",
        *(_number(one.mase.get(name, math.nan)) for name in ("native", "stan", "naive")),
    )


def _objective(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e8 else f"{value:.3e}"


def _row(cells: Sequence[str]) -> str:
    widths = (18, 14, 18, 14, 8, 8)
    return f"  {cells[0]:<24}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells[1:], widths, strict=True))


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else ""
