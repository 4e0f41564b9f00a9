"""dropcast evaluate: each model, and a seasonal naive forecast, on the past of the series of files."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.local_files import local_path
from pipeline.core.engines.evaluate import SEASONAL_NAIVE, Evaluation, evaluate_block
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_csv import level_text
from pipeline.core.outputs.summary import DEAD_LETTERED, DONE
from pipeline.core.plain_text import printable
from pipeline.core.scratch import scratch_folder
from pipeline.core.series.load import load_csv
from pipeline.core.sources import open_source
from pipeline.options import spec_from
from pipeline.terminal import complain, say

MOST_CUTOFFS = 100
REFUSED = ("model", "mcmc_samples", "models", "save_models")


@dataclass(frozen=True)
class _File:
    """What was found about one file.

    Attributes:
        name: as given.
        series: how many the file has.
        found: one for each series, cutoff and model that counts.
    """

    name: str
    series: int
    found: list[Evaluation]


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "evaluate",
        "Forecast the past of each series with each --model and with a seasonal naive forecast, and show how far off "
        "they were: on the last horizon, held out, or on several horizons.",
        "dropcast evaluate sales.csv --horizon=14 --cutoffs=3",
        "FILE... [OPTION ...]",
    )
    found.add_argument("files", nargs="*", metavar="FILE", help="CSV, or gs://bucket/name")
    found.add_argument("--cutoffs", metavar="N", default="1", help="dates to forecast from, a horizon apart [1]")
    found.add_argument("--json", action="store_true", help="print the errors of each series and cutoff as JSON")
    add_model_arguments(found, ForecastSpec, [name for name in ForecastSpec.model_fields if name not in REFUSED])
    add_model_arguments(found, Limits)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        spec, limits, problems = spec_from(arguments)
        cutoffs = arguments["cutoffs"]
        if not (cutoffs.isascii() and cutoffs.isdecimal() and 1 <= int(cutoffs) <= MOST_CUTOFFS):
            problems.append(f"--cutoffs: must be a number from 1 to {MOST_CUTOFFS} (given: {cutoffs!r})")
        if not arguments["files"]:
            problems.append("FILE: is missing; name a CSV")
        if problems:
            raise OptionsError(problems)
    except OptionsError as error:
        return refuse(error)
    files = []
    for name in arguments["files"]:
        try:
            with contained(InternalErrors(name)), scratch_folder() as scratch:
                files.append(_evaluated(name, spec, limits, int(cutoffs), scratch))
        except RecordError as error:
            complain(f"{error.code}  {name}: {error}\n    {error.hint}")
        except OptionsError as error:
            return refuse(error)
    if arguments["json"]:
        say(json.dumps({"files": [_as_json(file, spec) for file in files]}, indent=2))
    else:
        lines = [line for file in files for line in _described(file, spec, int(cutoffs))]
        say("\n".join(printable(line) for line in lines))
    whole = len(files) == len(arguments["files"]) and all(file.found for file in files)
    return DONE if whole else DEAD_LETTERED


def _evaluated(name: str, spec: ForecastSpec, limits: Limits, cutoffs: int, scratch: Path) -> _File:
    """Return what is found about a file.

    Raises:
        RecordError: if it cannot be read.
    """
    with open_source(local_path(name, "FILE", scratch)) as file:
        loaded = load_csv(file, spec, limits, scratch / "work")
    loaded.layout = dataclasses.replace(loaded.layout, extras_ahead=False)  # only the past is forecast
    own = spec.model_copy(update={"components": False})
    found: list[Evaluation] = []
    with tqdm(total=len(loaded.ids), unit=" series", disable=not sys.stderr.isatty(), leave=False) as bar:
        for batch in loaded.batches():
            found += evaluate_block(batch, loaded.layout.extras, own, limits, cutoffs)
            bar.update(len(batch))
    return _File(name, len(loaded.ids), found)


def _as_json(file: _File, spec: ForecastSpec) -> dict[str, Any]:
    rows = [dataclasses.asdict(one) | {"mase": one.mase if math.isfinite(one.mase) else None} for one in file.found]
    return {
        "file": file.name, "series_in_file": file.series, "horizon": spec.horizon, "level": spec.level,
        "evaluations": rows,
    }  # fmt: skip


def _described(file: _File, spec: ForecastSpec, cutoffs: int) -> list[str]:
    counted = len({one.series_id for one in file.found})
    times = "1 cutoff" if cutoffs == 1 else f"{cutoffs} cutoffs"
    lines = [f"{file.name}: {counted:,} of {file.series:,} series, {times}, horizon {spec.horizon}"]
    if counted < file.series:
        lines.append(
            f"  The other {file.series - counted:,} have fewer than {2 * spec.horizon:,} values (two horizons) or a "
            "problem, which dropcast check names."
        )
    if not counted:
        return [*lines, "  There is nothing to evaluate."]
    levels = [f"inside {level_text(level)} %" for level in spec.level]
    by_model: dict[str, list[Evaluation]] = defaultdict(list)
    for one in file.found:
        by_model[one.model].append(one)
    scores = {model: _means(own, "mase") for model, own in by_model.items()}
    lines += ["", _row(["", "MASE", "sMAPE", *levels])]
    for model, own in by_model.items():
        shares = [] if model == SEASONAL_NAIVE else np.mean([one.inside for one in own], axis=0).tolist()
        score, percent = _mean(scores[model].values()), _mean(_means(own, "smape").values())
        cells = [f"{score:.2f}" if math.isfinite(score) else "", f"{percent:.2f} %"]
        lines.append(_row([model, *cells, *(f"{100 * share:.1f} %" for share in shares)]))
    return [*lines, "", *_best(scores)]


def _best(scores: dict[str, dict[str, float]]) -> list[str]:
    """Return which model has the lowest MASE, and how often; a series has one with each model or with none."""
    scored = [name for name, value in scores[SEASONAL_NAIVE].items() if math.isfinite(value)]
    if not scored:
        return ["  No series has a MASE: their histories have nothing to scale by."]
    wins = dict.fromkeys(scores, 0)
    for name in scored:
        wins[min(scores, key=lambda model: scores[model][name])] += 1
    best = min(scores, key=lambda model: _mean(scores[model].values()))
    if len(scored) == 1:
        return [f"  {best} has the lowest MASE."]
    counts = ", ".join(f"{model} for {count:,}" for model, count in wins.items())
    return [f"  {best} has the lowest mean MASE. Series by series, the lowest is: {counts}."]


def _mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are finite; NaN if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.fmean(finite) if finite else math.nan


def _means(found: Sequence[Evaluation], error: str) -> dict[str, float]:
    """Return each series' mean error over its cutoffs."""
    errors: dict[str, list[float]] = defaultdict(list)
    for one in found:
        errors[one.series_id].append(getattr(one, error))
    return {name: _mean(values) for name, values in errors.items()}


def _row(cells: Sequence[str]) -> str:
    name, *numbers = cells
    return f"  {name:<16}" + "".join(f"{cell:>14}" for cell in numbers)
