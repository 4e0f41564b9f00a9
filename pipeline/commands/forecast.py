"""dropcast forecast: CSV files on this machine, by the core alone."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.core.engine import engine_named
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.naming import INTERNAL
from pipeline.core.output_folder import OutputFolder
from pipeline.core.process_request import forecast, load_blocks, unreadable
from pipeline.core.requests import request_for, stray_letter
from pipeline.core.summary import RunOutcome, describe
from pipeline.elements import DeadLetter, ForecastBlock, Outcome, Receipt, SeriesBlock
from pipeline.errors import RecordError
from pipeline.options import Settings, settings_from

STDIN = "stdin.csv"
# Above this much input, starting a process for each core pays.
PARALLEL_BYTES, PARALLEL_FILES = 500_000, 50


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = parser_for(
        "forecast",
        "Forecast every series in CSV files and write forecasts of the same names.",
        "dropcast forecast sales.csv --horizon=12 --level=80,95 --output=forecasts",
        "FILE ... [OPTION ...]",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="CSV, pattern or manifest; - for standard input")
    parser.add_argument("--output", metavar="DIR", help="folder for the forecasts [forecasts]; - for standard output")
    parser.add_argument("--allow", metavar="DIR,...", help="further folders that manifests may name files in")
    parser.add_argument("--history", metavar="true|false", help="write the table history, too [false]")
    parser.add_argument("--workers", type=int, metavar="N", help="processes to fit with [one a core for large inputs]")
    parser.add_argument("--json", action="store_true", help="print receipts and dead letters as JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing unless something went wrong")
    add_model_arguments(parser, ForecastSpec)
    add_model_arguments(parser, Limits)
    try:
        arguments = parsed(parser, argv)
        if arguments["workers"] is not None and arguments["workers"] < 1:
            raise OptionsError([f"--workers: must be at least 1 (given: {arguments['workers']})"])
        with tempfile.TemporaryDirectory(prefix="dropcast-") as scratch:
            to_stdout = arguments["output"] == "-" or (arguments["files"] == ["-"] and arguments["output"] is None)
            if to_stdout:
                arguments["output"] = f"{scratch}/out"
            arguments["output"] = arguments["output"] or "forecasts"
            copies = Path(scratch) if to_stdout else Path(arguments["output"]) / INTERNAL / "copies"
            files = copies_of_streams(arguments["files"], copies)
            settings = settings_from(arguments, files)
            if to_stdout and len(settings.files) != 1:
                raise OptionsError(["--output: - takes a single input"])
            code = _run(settings, arguments, to_stdout)
            shutil.rmtree(copies, ignore_errors=True)
            return code
    except OptionsError as error:
        error.lines = [line.replace("--input: is missing", "FILE: is missing") for line in error.lines]
        return refuse(error)


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
    # a path that is none, or too long, is refused later like any other file
    return os.path.exists(name) and Path(name).is_fifo()  # noqa: PTH110


def _run(settings: Settings, arguments: dict[str, object], to_stdout: bool) -> int:
    workers = arguments["workers"] or _worth_while(settings)
    quiet = bool(arguments["quiet"]) or bool(arguments["json"])
    outcome = forecast_files(settings, int(str(workers)), show_progress=not quiet and sys.stderr.isatty())
    if to_stdout:
        for receipt in outcome.receipts:
            if receipt["status"] != "failed":
                path = settings.output / str(receipt["output"])
                with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
    if arguments["json"]:
        print(outcome.to_json(), file=sys.stderr if to_stdout else sys.stdout)
    elif outcome.letters or not (quiet or to_stdout):
        print(describe(outcome, settings.output), file=sys.stderr if to_stdout else sys.stdout)
    return outcome.exit_code


def _worth_while(settings: Settings) -> int:
    paths = [file.path for file in settings.files]
    size = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))  # noqa: PTH113, PTH202 - no errors
    return (os.cpu_count() or 1) if size > PARALLEL_BYTES or len(paths) > PARALLEL_FILES else 1


def forecast_files(settings: Settings, workers: int = 1, show_progress: bool = False) -> RunOutcome:
    """Forecast files and write all that the pipeline would write.

    Args:
        settings: what to do.
        workers: processes to fit in; 1 fits in this one.
        show_progress: draw a progress bar on standard error.
    """
    files = _Files(settings)
    written: dict[str, int] = {}
    with tqdm(unit=" series", disable=not show_progress, leave=False) as bar:
        for result in _forecasts(files.blocks(), settings, files.folder, workers):
            part = files.folder.write_block(result)
            bar.update(len(result.batch))
            key = result.request.key
            written[key] = written.get(key, 0) + 1
            if written[key] == result.parts:
                files.finish(files.folder.publish(part))
    rows = sorted((vars(receipt) for receipt in files.receipts), key=lambda row: str(row["output"]))
    return RunOutcome(tuple(rows), tuple(files.letters))


class _Files:
    """The files of a run, and what has come of them so far."""

    def __init__(self, settings: Settings) -> None:
        self.folder = OutputFolder(settings.output, settings.history)
        self.receipts: list[Receipt] = []
        self.letters: list[DeadLetter] = []
        self._settings = settings

    def blocks(self) -> Iterator[SeriesBlock]:
        """Yield the blocks of all files; those that cannot be read are finished at once."""
        settings = self._settings
        seen: set[str] = set()
        for file in settings.files:
            try:
                request = request_for(file, settings.spec, list(settings.allowed))
            except RecordError as error:
                self.letters.append(stray_letter(file, error))
                self.folder.write_stray_dead_letter(self.letters[-1])
                continue
            if file.is_manifest:
                self.folder.remove_stray_dead_letter(file.path)
            if request.key in seen:
                continue  # two manifests may ask for the same
            seen.add(request.key)
            try:
                yield from load_blocks(request, settings.limits, self.folder)
            except RecordError as error:
                self.finish(unreadable(request, error))

    def finish(self, outcome: Outcome) -> None:
        """Write a request's dead letters and receipt."""
        self.letters += self.folder.write_dead_letters(outcome)
        self.receipts.append(self.folder.write_receipt(outcome))


def _forecasts(
    blocks: Iterator[SeriesBlock], settings: Settings, folder: OutputFolder, workers: int
) -> Iterator[ForecastBlock]:
    """Yield the forecasts of blocks in their order, a few ahead of the one that is asked for."""
    if workers <= 1:
        for block in blocks:
            yield forecast(block, settings.limits, folder)
        return
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=engine_named, initargs=(settings.spec.solver,)
    )
    with pool:
        waiting: deque[Future[ForecastBlock]] = deque()
        try:
            for block in blocks:
                waiting.append(pool.submit(forecast, block, settings.limits, folder))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
