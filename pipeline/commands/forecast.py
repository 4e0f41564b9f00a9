"""dropcast forecast: CSV files on this machine, by the core alone."""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.sending import needs_clients
from pipeline.core.elements import DeadLetter, Receipt
from pipeline.core.errors import DoneError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import DEAD_LETTERED, RunOutcome, describe
from pipeline.core.plain_text import printable
from pipeline.core.process_request import process
from pipeline.core.requests.names import INTERNAL
from pipeline.core.scratch import scratch_folder
from pipeline.folder.lock import BusyError
from pipeline.folder.output import FolderOutput
from pipeline.folder.run import forecast_files, workers_worth_while
from pipeline.options import RunOptions
from pipeline.places import open_output
from pipeline.runs import BucketRun, FolderRun, run_from
from pipeline.terminal import complain, say

STDIN = "stdin.csv"


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "forecast",
        "Forecast every series in CSV files and write forecasts of the same names.",
        "dropcast forecast sales.csv --horizon=12 --level=80,95 --output=forecasts",
        "FILE ... [OPTION ...]",
    )
    found.add_argument(
        "files", nargs="*", metavar="FILE", help="CSV, pattern or manifest, gs:// too; - for standard input"
    )
    found.add_argument("--output", metavar="DIR", help="output folder or gs:// [forecasts]; - for standard output")
    add_model_arguments(found, RunOptions, ("allow", "history", "dataset"))
    found.add_argument("--workers", type=int, metavar="N", help="processes [one per core for large inputs]")
    found.add_argument("--json", action="store_true", help="print receipts and dead letters as JSON")
    found.add_argument("--quiet", action="store_true", help="print nothing unless something went wrong")
    add_model_arguments(found, ForecastSpec)
    add_model_arguments(found, Limits)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        if arguments["workers"] is not None and arguments["workers"] < 1:
            raise OptionsError([f"--workers: must be at least 1 (given: {arguments['workers']})"])
        to_stdout = arguments["output"] == "-" or (arguments["files"] == ["-"] and arguments["output"] is None)
        with scratch_folder() if to_stdout else nullcontext(Path()) as scratch:
            if to_stdout:
                arguments["output"] = f"{scratch}/out"
            arguments["output"] = arguments["output"] or "forecasts"
            copies = scratch if to_stdout else Path(arguments["output"]) / INTERNAL / "copies"
            files = copies_of_streams(arguments["files"], copies)
            run = run_from(arguments, files, inputs_name="FILE")
            if isinstance(run, BucketRun):
                return _between_buckets(run, bool(arguments["json"]), bool(arguments["quiet"]))
            if to_stdout and len(run.files) != 1:
                raise OptionsError(["--output: - takes a single input"])
            code = _in_folder(run, arguments, to_stdout)
            shutil.rmtree(copies, ignore_errors=True)
            return code
    except BusyError as error:
        return refuse(OptionsError([f"--output: {error}; wait for it, or choose another folder"]))
    except OptionsError as error:
        return refuse(error)


def _between_buckets(run: BucketRun, as_json: bool, quiet: bool) -> int:
    """Forecast objects one after the other in this process; finished ones are not repeated.

    Raises:
        OptionsError: if an option is invalid, or Google's clients are not installed.
    """
    needs_clients()
    from pipeline.cloud.ledger import candidates_in_buckets
    from pipeline.cloud.prepare import prepare

    prepare(run)
    output = open_output(dataclasses.replace(run.destination, batch=False))
    receipts: list[Receipt] = []
    letters: list[DeadLetter] = []
    refused = before = 0
    for candidate in (one for pattern in run.objects for one in candidates_in_buckets(pattern, run.rules)):
        request = candidate.request
        if isinstance(request, DeadLetter):
            refused += 1
            complain([printable(f"{request.code}  {request.message}"), printable(f"    {request.hint}")])
            output.write_stray_dead_letter(request)
        elif request is not None:
            try:
                receipt, own_letters = process(request, run.limits, output)
            except DoneError:
                before += 1
                continue
            receipts.append(receipt)
            letters += own_letters
    outcome = RunOutcome(tuple(receipts), tuple(letters))
    if as_json:
        say(outcome.to_json())
    elif outcome.letters or not quiet:
        say(describe(outcome, run.destination.path))
        if before:
            say(f"{before:,} already done before (dropcast reconcile --again repeats them).")
        if not receipts and not before and not refused:
            say("No object matches the input.")
    return DEAD_LETTERED if refused else outcome.exit_code


def copies_of_streams(names: list[str], folder: Path) -> list[str]:
    """Return paths that can be read more than once: standard input and pipes are copied into a folder.

    Raises:
        OptionsError: if standard input is named twice.
    """
    if names.count("-") > 1:
        raise OptionsError(["FILE: - can be read only once"])
    paths = []
    for number, name in enumerate(names):
        if name != "-" and not _is_pipe(name):
            paths.append(name)
            continue
        place = folder / str(number)  # two pipes may have the same name
        place.mkdir(parents=True, exist_ok=True)
        copy = place / (STDIN if name == "-" else Path(name).name)
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as source, copy.open("wb") as file:
            shutil.copyfileobj(source, file)
        paths.append(str(copy))
    return paths


def _is_pipe(name: str) -> bool:
    # a path that is invalid, or too long, is refused later like any other file
    return os.path.exists(name) and Path(name).is_fifo()  # noqa: PTH110


def _in_folder(run: FolderRun, arguments: dict[str, object], to_stdout: bool) -> int:
    workers = arguments["workers"] or workers_worth_while(run)
    quiet = bool(arguments["quiet"]) or bool(arguments["json"])
    with FolderOutput(run.output).for_us_alone():
        outcome = forecast_files(run, int(str(workers)), show_progress=not quiet and sys.stderr.isatty())
    if to_stdout:
        for receipt in outcome.receipts:
            if receipt.status != "failed":
                path = run.output / receipt.output
                with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
    tell = complain if to_stdout else say
    if arguments["json"]:
        tell(outcome.to_json())
    elif outcome.letters or not (quiet or to_stdout):
        tell(describe(outcome, run.output))
    return outcome.exit_code
