"""Files on this machine, forecast by the core alone: what `dropcast forecast` and `dropcast watch` do."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import NoReturn

from tqdm import tqdm

from pipeline.core.engine import engine_named
from pipeline.core.output_folder import OutputFolder
from pipeline.core.process_request import forecast, load_blocks, unreadable
from pipeline.core.requests import request_for, stray_letter
from pipeline.core.summary import RunOutcome
from pipeline.elements import DeadLetter, ForecastBlock, Outcome, Receipt, SeriesBlock
from pipeline.errors import RecordError
from pipeline.options import Settings

# Above this much input, starting a process for each core pays: bytes and files, by solver. Starting takes seconds, in
# which the native engine forecasts tens of thousands of series.
WORTH_WHILE = {"native": (200_000_000, 5_000), "stan": (500_000, 50)}
Told = Callable[[RunOutcome], None]


def forecast_files(
    settings: Settings,
    workers: int = 1,
    show_progress: bool = False,
    tell: Told = lambda _: None,
    put_off: frozenset[str] = frozenset(),
) -> RunOutcome:
    """Forecast files and write all that the pipeline would write.

    Args:
        settings: what to do.
        workers: processes to fit in; 1 fits in this one.
        show_progress: draw a progress bar on standard error.
        tell: is told what came of each file once that is written.
        put_off: codes of faults that pass by themselves: a file with one is left as it was, without a trace.
    """
    files = _Files(settings, tell, put_off)
    written: dict[str, int] = {}
    with _bar(settings, show_progress) as bar:
        for result in _forecasts(files.blocks(), settings, files.folder, workers):
            part = files.folder.write_block(result)
            bar.update(_size(result.request.source) / result.parts)
            key = result.request.key
            written[key] = written.get(key, 0) + 1
            if written[key] == result.parts:
                files.finish(files.folder.publish(part))
    rows = sorted((vars(receipt) for receipt in files.receipts), key=lambda row: str(row["output"]))
    return RunOutcome(tuple(rows), tuple(files.letters))


def _bar(settings: Settings, shown: bool) -> tqdm[NoReturn]:
    """Return a progress bar over the bytes of all files: how many series are in them, nobody knows yet."""
    total = sum(_size(file.path) for file in settings.files) if shown else 0
    return tqdm(
        total=total or None, unit="B", unit_scale=True, disable=not shown, leave=False,
        bar_format="{percentage:3.0f}% |{bar:30}| {n_fmt} of {total_fmt}, {remaining} to go" if total else None,
    )  # fmt: skip


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0  # noqa: PTH113, PTH202 - no errors


class _Files:
    """The files of a run, and what has come of them so far."""

    def __init__(self, settings: Settings, tell: Told, put_off: frozenset[str]) -> None:
        self.folder = OutputFolder(settings.output, settings.history)
        self.receipts: list[Receipt] = []
        self.letters: list[DeadLetter] = []
        self._settings, self._tell, self._put_off = settings, tell, put_off

    def blocks(self) -> Iterator[SeriesBlock]:
        """Yield the blocks of all files; those that cannot be read are finished at once."""
        settings = self._settings
        seen: set[str] = set()
        for file in settings.files:
            try:
                request = request_for(file, settings.spec, list(settings.allowed))
            except RecordError as error:
                if error.code not in self._put_off:
                    letter = stray_letter(file, error)
                    self.folder.write_stray_dead_letter(letter)
                    self.letters.append(letter)
                    self._tell(RunOutcome((), (letter,)))
                continue
            if file.is_manifest:
                self.folder.remove_stray_dead_letter(file.path)
            if request.key in seen:
                continue  # two manifests may ask for the same
            seen.add(request.key)
            try:
                yield from load_blocks(request, settings.limits, self.folder)
            except RecordError as error:
                if error.code in self._put_off:
                    shutil.rmtree(self.folder.work(request), ignore_errors=True)
                else:
                    self.finish(unreadable(request, error))

    def finish(self, outcome: Outcome) -> None:
        """Write a request's dead letters and receipt."""
        letters = self.folder.write_dead_letters(outcome)
        receipt = self.folder.write_receipt(outcome)
        self.letters += letters
        self.receipts.append(receipt)
        self._tell(RunOutcome((vars(receipt),), tuple(letters)))


def _forecasts(
    blocks: Iterator[SeriesBlock], settings: Settings, folder: OutputFolder, workers: int
) -> Iterator[ForecastBlock]:
    """Yield the forecasts of blocks in their order, a few ahead of the one that is asked for."""
    if workers <= 1:
        for block in blocks:
            yield forecast(block, settings.limits, folder)
        return
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin_worker, initargs=(settings.spec.solver, os.getpid())
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


def _begin_worker(solver: str, parent: int) -> None:
    """Load the engine; see to it that a worker ends when whoever started it was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    engine_named(solver)


def workers_worth_while(settings: Settings) -> int:
    """Return how many processes to fit in: one a core if there is enough to do for that."""
    most_bytes, most_files = WORTH_WHILE[settings.spec.solver]
    much = sum(_size(file.path) for file in settings.files) > most_bytes or len(settings.files) > most_files
    return (os.cpu_count() or 1) if much else 1
