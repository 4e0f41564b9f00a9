"""Files on this machine, forecast by the core alone: what `dropcast forecast` and `dropcast watch` do."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import NoReturn

from tqdm import tqdm

from pipeline.core.blocks import ForecastBlock, SeriesBlock
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.engines.by_name import engine_named
from pipeline.core.file_ranges import FileRange
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import FailedRequest, Outcome, WrittenPart
from pipeline.core.outputs.summary import RunOutcome, outcome_of
from pipeline.core.process_ranges import Each, Step, load_in_ranges
from pipeline.core.process_request import finish, forecast, load, publish, write_block
from pipeline.core.range_sizes import LOCAL_RANGE_BYTES
from pipeline.folder.incoming import request_or_letter
from pipeline.folder.output import FolderOutput
from pipeline.runs import FolderRun

# Bytes and files, by solver, above which starting one process per core pays off. Starting takes seconds, in which the
# native engine forecasts tens of thousands of series.
WORTH_WHILE = {"native": (200_000_000, 5_000), "auto": (20_000_000, 2_000), "stan": (500_000, 50)}
Told = Callable[[RunOutcome], None]
READERS = 4  # with fewer processes, reading a large file in ranges gains nothing
LIVES = 5  # how often worker processes are started before the rest is done in this process

_log = logging.getLogger(__name__)


def forecast_files(
    run: FolderRun,
    workers: int = 1,
    show_progress: bool = False,
    tell: Told = lambda _: None,
    put_off: frozenset[str] = frozenset(),
) -> RunOutcome:
    """Forecast files and write everything that the pipeline would write.

    Args:
        run: what to do.
        workers: number of processes; 1 uses this one.
        show_progress: draw a progress bar on standard error.
        tell: called with the result of each file once it is written.
        put_off: codes of transient errors: a file with one is skipped, and nothing is written.

    Raises:
        OSError: if the system kept a file from being read, or results from being written.
    """
    files = _Files(run, tell, put_off)
    parts: dict[str, list[int]] = {}
    with _bar(run, show_progress) as bar:
        for done in _forecasts(files, run, workers):
            written = write_block(done, files.folder) if isinstance(done, ForecastBlock) else done
            parts_of_file = 1 if isinstance(written, Outcome) else written.parts
            bar.update(_size(written.request.source) / parts_of_file)
            if isinstance(written, WrittenPart):
                numbers = parts.setdefault(written.request.key, [])
                numbers.append(written.part)
                if written.completes(numbers):
                    files.finish(publish(written.whole(), files.folder))
            else:
                files.finish(written)
    if files.trouble is not None:
        raise files.trouble
    return outcome_of(files.receipts, files.letters)


def _bar(run: FolderRun, shown: bool) -> tqdm[NoReturn]:
    """Return a progress bar over the bytes of all files, since their number of series is not known yet."""
    total = sum(_size(file.path) for file in run.files) if shown else 0
    return tqdm(
        total=total or None, unit="B", unit_scale=True, disable=not shown, leave=False,
        bar_format="{percentage:3.0f}% |{bar:30}| {n_fmt} of {total_fmt}, {remaining} to go" if total else None,
    )  # fmt: skip


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0  # noqa: PTH113, PTH202 - no errors


class _Files:
    """The files of a run, and their results so far."""

    def __init__(self, run: FolderRun, tell: Told, put_off: frozenset[str]) -> None:
        self.folder = FolderOutput(run.output, run.history)
        self.receipts: list[Receipt] = []
        self.letters: list[DeadLetter] = []
        self.trouble: OSError | None = None  # the first I/O error, raised once the rest is done
        self._run, self._tell, self._put_off = run, tell, put_off

    def blocks(self, each: Each | None = None) -> Iterator[SeriesBlock]:
        """Yield the blocks of all files; those that cannot be read are finished at once.

        Args:
            each: does something to each of several ranges of a large file; None to read no ranges.
        """
        for request in self._requests():
            try:
                for step in self._steps(request, each):
                    if isinstance(step, SeriesBlock):
                        yield step
                    elif isinstance(step, FailedRequest) and step.letter.code in self._put_off:
                        shutil.rmtree(self.folder.work_files(request).folder, ignore_errors=True)
                    else:
                        self.finish(step)
            except OSError as error:
                self.trouble = self.trouble or error

    def _steps(self, request: Request, each: Each | None) -> Iterator[SeriesBlock | Outcome]:
        if each is None:
            return load(request, self._run.limits, self.folder)
        return load_in_ranges(request, self._run.limits, self.folder, LOCAL_RANGE_BYTES, each)

    def _requests(self) -> Iterator[Request]:
        """Yield the requests for the files, each once; invalid manifests are finished at once."""
        seen: set[str] = set()
        for file in self._run.files:
            try:
                request = request_or_letter(file, self._run.spec, self._run.allowed, self.folder)
            except OSError as error:
                self.trouble = self.trouble or error
                continue
            if isinstance(request, DeadLetter):
                if request.code not in self._put_off:
                    self.folder.write_stray_dead_letter(request)
                    self.letters.append(request)
                    self._tell(RunOutcome((), (request,)))
                continue
            if file.is_manifest:
                self.folder.remove_stray_dead_letter(file.path)
            if request.key not in seen:  # two manifests may make the same request
                seen.add(request.key)
                yield request

    def finish(self, outcome: Outcome) -> None:
        """Write a request's dead letters and receipt."""
        receipt, letters = finish(outcome, self.folder)
        self.letters += letters
        self.receipts.append(receipt)
        self._tell(RunOutcome((receipt,), tuple(letters)))


Done = ForecastBlock | WrittenPart | Outcome


def _forecasts(files: _Files, run: FolderRun, workers: int) -> Iterator[Done]:
    """Yield the forecasts of blocks in order, computing a few ahead; parts of large files are written already."""
    if workers <= 1:
        for block in files.blocks():
            yield forecast(block, run.limits, files.folder)
        return
    with _Workers(run, files.folder, workers) as pool:
        for block in files.blocks(pool.each if workers >= READERS else None):
            pool.submit(block)
            if len(pool) > 2 * workers:
                yield pool.next_result()
        while len(pool):
            yield pool.next_result()


class _Workers:
    """Worker processes that forecast blocks; results are returned in the order of the blocks.

    If a worker dies, all are restarted. The blocks that were being forecast have a marker, so that they are forecast
    in children the next time. If workers keep dying, the rest is done in this process.
    """

    def __init__(self, run: FolderRun, folder: FolderOutput, workers: int) -> None:
        self._run, self._folder, self._workers = run, folder, workers
        self._waiting: deque[tuple[SeriesBlock, Future[Done] | None]] = deque()
        self._left = LIVES
        self._pool: ProcessPoolExecutor | None = self._started()

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, block: SeriesBlock) -> None:
        """Queue a block."""
        self._waiting.append((block, self._submitted(block)))

    def each(self, step: Step, ranges: Sequence[FileRange]) -> None:
        """Do something to each of several ranges of a file; what is being done when a worker dies is done again."""
        left = list(ranges)
        while left and self._pool is not None:
            doing: list[tuple[FileRange, Future[None]]] = []
            try:
                for own in left:
                    doing.append((own, self._pool.submit(step, own, self._run.limits, self._folder)))
                for own, future in doing:
                    future.result()
                    left.remove(own)
            except BrokenProcessPool:
                self._start_anew()
            finally:  # nothing goes on in the work folder of a file that is given up
                wait([future for _, future in doing if not future.cancel()])
        for own in left:
            step(own, self._run.limits, self._folder)

    def next_result(self) -> Done:
        """Return what became of the block that was submitted first."""
        while True:
            block, future = self._waiting[0]
            try:
                result = _done(block, self._run.limits, self._folder) if future is None else future.result()
            except BrokenProcessPool:
                self._start_anew()
                continue
            self._waiting.popleft()
            return result

    def _started(self) -> ProcessPoolExecutor | None:
        if self._left == 0:
            return None
        self._left -= 1
        pool = ProcessPoolExecutor(
            self._workers,
            get_context("spawn"),
            initializer=_begin_worker,
            initargs=(self._run.spec.solver, os.getpid()),
        )
        for _ in range(self._workers):  # which starts them: the first file is still being read
            pool.submit(os.getpid)
        return pool

    def _submitted(self, block: SeriesBlock) -> Future[Done] | None:
        if self._pool is None:
            return None
        try:
            return self._pool.submit(_done, block, self._run.limits, self._folder)
        except BrokenProcessPool:
            self._start_anew()
            return self._submitted(block)

    def _start_anew(self) -> None:
        _log.warning("a worker process died: its blocks are forecast again, each in its own process")
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = self._started()
        undone = list(self._waiting)
        self._waiting.clear()
        for block, future in undone:
            kept = future is not None and future.done() and not future.cancelled() and future.exception() is None
            self._waiting.append((block, future if kept else self._submitted(block)))


def _done(block: SeriesBlock, limits: Limits, folder: FolderOutput) -> Done:
    """Forecast a block, and write it if it is a part of a large file: each part has files of its own.

    A file of one block is written by the main process, in the order of the files.
    """
    found = forecast(block, limits, folder)
    return write_block(found, folder) if block.parts > 1 else found


def _begin_worker(solver: str, parent: int) -> None:
    """Load the engine, and exit if the parent process is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    engine_named(solver)


def workers_worth_while(run: FolderRun) -> int:
    """Return how many processes to use: one per core if there is enough work."""
    most_bytes, most_files = WORTH_WHILE[run.spec.solver]
    much = sum(_size(file.path) for file in run.files) > most_bytes or len(run.files) > most_files
    return (os.cpu_count() or 1) if much else 1
