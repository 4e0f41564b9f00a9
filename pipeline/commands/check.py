"""dropcast check: shows what would be done with a CSV, without forecasting it."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.forecast import copies_of_streams
from pipeline.commands.local_files import local_path
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.findings import findings_of, problem_of
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.local_inputs.open_input import open_input
from pipeline.core.plain_text import printable
from pipeline.core.requests.local_files import InputFile, request_for
from pipeline.core.scratch import scratch_folder
from pipeline.core.series.load import load_file
from pipeline.core.spec_limits import refuse_costly
from pipeline.options import spec_from
from pipeline.terminal import say


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "check",
        "Show what would be done with a CSV, without forecasting it: columns, frequency, series, problems, and whether "
        "--model=auto would be better (tried on up to 50 series; --hint=false leaves that out).",
        "dropcast check sales.csv --value_column=units",
        "FILE [OPTION ...]",
    )
    found.add_argument("file", nargs="?", metavar="FILE", help="CSV, or gs://bucket/name; - for standard input")
    found.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_model_arguments(found, ForecastSpec)
    add_model_arguments(found, Limits)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        spec, limits, problems = spec_from(arguments)
        if arguments["file"] is None:
            problems.append("FILE: is missing; name a CSV")
        if problems:
            raise OptionsError(problems)
    except OptionsError as error:
        return refuse(error)
    with scratch_folder() as scratch:
        try:
            given = str(local_path(arguments["file"], "FILE", scratch))
        except OptionsError as error:
            return refuse(error)
        path = Path(copies_of_streams([given], scratch)[0])
        findings = check_file(path, spec, limits, scratch / "work")
    findings["file"] = arguments["file"]
    say(json.dumps(findings, indent=2) if arguments["json"] else _described(findings))
    return 3 if findings["problems"] else 0


def check_file(path: Path, spec: ForecastSpec, limits: Limits, work: Path) -> dict[str, Any]:
    """Return what would be done with a CSV, or with the CSV that a manifest names; see check_csv."""
    manifest = InputFile(str(path.absolute()), path.name, named=True)
    if not manifest.is_manifest:
        return check_csv(path, spec, limits, work)
    try:
        request = request_for(manifest, spec, [path.absolute().parent])
    except RecordError as error:
        return {"problems": 1, "first_problems": [problem_of("", error)]}
    return check_csv(Path(request.source), ForecastSpec.from_json(request.spec), limits, work)


def check_csv(path: Path, spec: ForecastSpec, limits: Limits, work: Path) -> dict[str, Any]:
    """Return what would be done with a CSV.

    Args:
        path: a local file.
        spec: how to read it.
        limits: the operator's limits.
        work: folder for the work files of a large file.
    """
    errors = InternalErrors(str(path))
    try:
        refused = refuse_costly(spec, limits)
        if refused is not None:
            raise refused
        with contained(errors), open_input(path, limits) as file:
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
            loaded = load_file(file, spec, limits, work, changed)
    except RecordError as error:
        return {"problems": 1, "first_problems": [problem_of("", error)]}
    return findings_of(loaded, spec, limits, errors)


def _described(findings: dict[str, Any]) -> str:
    lines = [str(findings["file"])]
    if "columns" in findings:
        columns = findings["columns"]
        named = [
            ("date", [columns["date"]]),
            *((role, columns[role]) for role in ("value", "id", "extra", "unused")),
        ]
        lines += [
            f"  {role + ' column' + ('s' if len(names) > 1 else ''):<16}{', '.join(names)}"
            for role, names in named
            if names
        ]
        shown = ", ".join(f"{name} ({count:,} series)" for name, count in findings["frequencies"].items())
        lines += [
            f"  {'rows':<16}{findings['rows']:,}",
            f"  {'series':<16}{findings['series']:,}",
            f"  {'frequency':<16}{shown or 'none'}",
        ]
        if "first_date" in findings:
            sizes = findings["values_per_series"]
            lines += [
                f"  {'history':<16}{findings['first_date']} to {findings['last_date']}; values per series: "
                f"{sizes['least']:,} to {sizes['most']:,}, median {sizes['median']:,.0f}",
                f"  {'would forecast':<16}{' to '.join(findings['would_forecast'])}",
            ]
        lines += [f"  note: {note}" for note in findings["notes"]]
        lines += [f"  hint: {findings['hint']}"] if findings["hint"] else []
    if not findings["problems"]:
        return "\n".join(printable(line) for line in [*lines, "  no problems"])
    lines.append(f"  {findings['problems']:,} problem{'s' if findings['problems'] > 1 else ''}:")
    for problem in findings["first_problems"]:
        about = f"series {problem['series']!r}: " if problem["series"] else ""
        lines += [f"    {problem['code']}  {about}{problem['message']}", f"        {problem['hint']}"]
    if findings["problems"] > len(findings["first_problems"]):
        lines.append(f"    ... and {findings['problems'] - len(findings['first_problems']):,} more")
    return "\n".join(printable(line) for line in lines)
