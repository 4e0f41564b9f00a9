"""dropcast evaluate: each model, and a seasonal naive forecast, on the past of the series of files."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
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
    own = spec.model_copy(update={"components": False, "score": False})
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
    models = list(dict.fromkeys(one.model for one in file.found))
    lines += ["", _row(["", "MASE", "sMAPE", *levels])]
    for model in models:
        own = [one for one in file.found if one.model == model]
        shares = [] if model == SEASONAL_NAIVE else np.mean([one.inside for one in own], axis=0).tolist()
        score = _mean_of_series(own, "mase")
        cells = [f"{score:.2f}" if math.isfinite(score) else "", f"{_mean_of_series(own, 'smape'):.2f} %"]
        lines.append(_row([model, *cells, *(f"{100 * share:.1f} %" for share in shares)]))
    return [*lines, "", *_best(file.found, models)]


def _best(found: Sequence[Evaluation], models: Sequence[str]) -> list[str]:
    """Return which model has the lowest MASE, and how often."""
    means = {model: _means([one for one in found if one.model == model], "mase") for model in models}
    scored = [name for name, value in means[models[0]].items() if math.isfinite(value)]
    if not scored:
        return ["  No series has a MASE: their histories have nothing to scale by."]
    wins = dict.fromkeys(models, 0)
    for name in scored:
        wins[min(models, key=lambda model: means[model][name])] += 1
    best = min(models, key=lambda model: statistics.fmean(means[model][name] for name in scored))
    if len(scored) == 1:
        return [f"  {best} has the lowest MASE."]
    counts = ", ".join(f"{model} for {count:,}" for model, count in wins.items())
    return [f"  {best} has the lowest mean MASE. Series by series, the lowest is: {counts}."]


def _mean_of_series(found: Sequence[Evaluation], error: str) -> float:
    """Return the mean over series of their mean error; NaN if there is none."""
    values = [value for value in _means(found, error).values() if math.isfinite(value)]
    return statistics.fmean(values) if values else math.nan


def _means(found: Sequence[Evaluation], error: str) -> dict[str, float]:
    """Return each series' mean error over its cutoffs, without those that are not finite."""
    errors: dict[str, list[float]] = defaultdict(list)
    for one in found:
        errors[one.series_id].append(getattr(one, error))
    finite = {name: [value for value in values if math.isfinite(value)] for name, values in errors.items()}
    return {name: statistics.fmean(values) if values else math.nan for name, values in finite.items()}


def _row(cells: Sequence[str]) -> str:
    name, *numbers = cells
    return f"  {name:<16}" + "".join(f"{cell:>14}" for cell in numbers)
