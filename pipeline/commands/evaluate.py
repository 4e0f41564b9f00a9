"""dropcast evaluate: each model, and a seasonal naive forecast, on the past of the series of files."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.local_files import local_path
from pipeline.core.engines.evaluate import EVALUATION, MODELS, evaluate_block
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.local_inputs.open_input import open_input
from pipeline.core.outputs.forecast_csv import level_text
from pipeline.core.outputs.summary import DEAD_LETTERED, DONE
from pipeline.core.plain_text import printable
from pipeline.core.scratch import scratch_folder
from pipeline.core.series.load import load_file
from pipeline.options import spec_from
from pipeline.terminal import complain, say

MOST_CUTOFFS = 100
HEADS = ("MASE", "sMAPE", "RMSSE")
REFUSED = ("model", "mcmc_samples", "models", "save_models", "feed", "hint", "score", "components")


@dataclass(frozen=True)
class _File:
    """What was found about one file.

    Attributes:
        name: as given.
        series: how many the file has.
        found: see EVALUATION.
    """

    name: str
    series: int
    found: pa.Table


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
    found.add_argument("--csv", action="store_true", help="print them as CSV")
    found.add_argument("--save", metavar="FILE", help="write them to a Parquet table, for SQL: must end in .parquet")
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
        if arguments["json"] and arguments["csv"]:
            problems.append("--csv: choose it or --json")
        if arguments["save"] is not None and not arguments["save"].endswith(".parquet"):
            problems.append(f"--save: must end in .parquet (given: {arguments['save']!r})")
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
    if arguments["save"]:
        pq.write_table(_together(files), arguments["save"])
    if arguments["json"]:
        say(json.dumps({"files": [_as_json(file, spec) for file in files]}, indent=2))
    elif arguments["csv"]:
        say(_as_csv(files))
    else:
        lines = [line for file in files for line in _described(file, spec, int(cutoffs))]
        say("\n".join(printable(line) for line in lines))
    whole = len(files) == len(arguments["files"]) and all(file.found.num_rows for file in files)
    return DONE if whole else DEAD_LETTERED


def _evaluated(name: str, spec: ForecastSpec, limits: Limits, cutoffs: int, scratch: Path) -> _File:
    """Return what is found about a file.

    Raises:
        RecordError: if it cannot be read.
    """
    with open_input(local_path(name, "FILE", scratch), limits) as file:
        loaded = load_file(file, spec, limits, scratch / "work")
    loaded.layout = dataclasses.replace(loaded.layout, extras_ahead=False)  # only the past is forecast
    own = spec.model_copy(update={"components": False})
    parts = [EVALUATION.empty_table()]
    with tqdm(total=len(loaded.ids), unit=" series", disable=not sys.stderr.isatty(), leave=False) as bar:
        for batch in loaded.batches():
            parts.append(evaluate_block(batch, loaded.layout.extras, own, limits, cutoffs))
            bar.update(len(batch))
    return _File(name, len(loaded.ids), pa.concat_tables(parts))


def _as_json(file: _File, spec: ForecastSpec) -> dict[str, Any]:
    rows = [row | {"cutoff": row["cutoff"].isoformat()} for row in file.found.to_pylist()]
    return {
        "file": file.name, "series_in_file": file.series, "horizon": spec.horizon, "level": spec.level,
        "evaluations": rows,
    }  # fmt: skip


def _together(files: Sequence[_File]) -> pa.Table:
    """Return the errors of all files as one table, with the name of each."""
    tables = [file.found.add_column(0, "file", pa.repeat(file.name, file.found.num_rows)) for file in files]
    return pa.concat_tables(tables) if tables else EVALUATION.empty_table()


def _as_csv(files: Sequence[_File]) -> str:
    lines = io.StringIO()
    _together(files).to_pandas().to_csv(lines, index=False, lineterminator="\n")
    return lines.getvalue().rstrip("\n")


def _described(file: _File, spec: ForecastSpec, cutoffs: int) -> list[str]:
    counted = pc.count_distinct(file.found.column("series_id")).as_py()
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
    lines += ["", _row(["", "series", *HEADS, *levels])]
    means = _means(file.found)
    listed = sorted((row for row in means if row["model"] not in MODELS), key=lambda row: _sortable(row["mase"]))
    compared = [row for model in MODELS for row in means if row["model"] == model]
    inside = _coverage(file.found)
    for row in compared:
        shares = [inside.get((row["model"], level)) for level in spec.level]
        lines.append(_row([row["model"], *_numbers(row), *("" if x is None else f"{100 * x:.1f} %" for x in shares)]))
    lines += ["", "  Members of auto, each on the series that it takes part in:"]
    lines += [_row([row["model"], *_numbers(row)]) for row in listed]
    return [*lines, "", *_best(file.found)]


def _means(found: pa.Table) -> list[dict[str, Any]]:
    """Return the mean errors of each model: over the series, after the mean over each series' cutoffs."""
    errors = ("mase", "smape", "rmsse")
    by_series = found.group_by(["model", "series_id"], use_threads=False).aggregate([(name, "mean") for name in errors])
    by_series = by_series.rename_columns([name.removesuffix("_mean") for name in by_series.column_names])
    counted = [("series_id", "count"), *((name, "mean") for name in errors)]
    means = by_series.group_by("model", use_threads=False).aggregate(counted)
    names = {"series_id_count": "series"} | {f"{name}_mean": name for name in errors}
    return [{names.get(name, name): value for name, value in row.items()} for row in means.to_pylist()]


def _coverage(found: pa.Table) -> dict[tuple[str, float], float]:
    """Return the share of values inside the intervals, by model and level."""
    with_intervals = found.filter(pc.is_valid(found.column("coverage")))
    means = with_intervals.group_by(["model", "level"], use_threads=False).aggregate([("coverage", "mean")])
    return {(row["model"], row["level"]): row["coverage_mean"] for row in means.to_pylist()}


def _best(found: pa.Table) -> list[str]:
    """Return which of MODELS has the lowest MASE, and how often; a series has one with each of them or with none."""
    found = found.filter(pc.and_(pc.is_in(found.column("model"), pa.array(MODELS)), pc.is_valid(found.column("mase"))))
    if not found.num_rows:
        return ["  No series has a MASE: their histories have nothing to scale by."]
    scores = found.group_by(["model", "series_id"], use_threads=False).aggregate([("mase", "mean")])
    by_model = {}
    for model in MODELS:
        own = scores.filter(pc.equal(scores.column("model"), model)).sort_by("series_id")
        by_model[model] = np.asarray(own.column("mase_mean"))
    errors = np.array(list(by_model.values()))
    best = MODELS[int(np.argmin(errors.mean(axis=1)))]
    if errors.shape[1] == 1:
        return [f"  {best} has the lowest MASE."]
    wins = np.bincount(np.argmin(errors, axis=0), minlength=len(MODELS))
    counts = ", ".join(f"{model} for {count:,}" for model, count in zip(MODELS, wins.tolist(), strict=True))
    return [f"  {best} has the lowest mean MASE. Series by series, the lowest is: {counts}."]


def _numbers(row: dict[str, Any]) -> list[str]:
    mase, rmsse = ("" if row[name] is None else f"{row[name]:.2f}" for name in ("mase", "rmsse"))
    return [f"{row['series']:,}", mase, f"{row['smape']:.2f} %", rmsse]


def _sortable(error: float | None) -> float:
    return math.inf if error is None else error


def _row(cells: Sequence[str]) -> str:
    name, *numbers = cells
    return f"  {name:<31}" + "".join(f"{cell:>13}" for cell in numbers)
