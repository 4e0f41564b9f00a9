"""The steps that read one large file in ranges, by several workers: read each, number the series, sort what needs it.

Each step keeps what it found in work files; only small elements travel. If a range cannot be read like this, one worker
reads the whole file after all, as process_request.load does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from pipeline.core.block_bytes import block_from_bytes, block_to_bytes
from pipeline.core.blocks import RANGES, SeriesBlock
from pipeline.core.csv_reading.reader import CsvReader
from pipeline.core.csv_reading.row_reader import UndecidedIdsError
from pipeline.core.elements import Request
from pipeline.core.errors import RecordError, SupersededError
from pipeline.core.faults.alone import with_memory
from pipeline.core.faults.internal_error import contained
from pipeline.core.faults.isolation import proven
from pipeline.core.file_ranges import FileRange, RangedFile
from pipeline.core.io_faults import io
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import Outcome
from pipeline.core.outputs.output import Output
from pipeline.core.process_request import internal_errors, load
from pipeline.core.scratch import scratch_folder
from pipeline.core.series.load import ReadOtherwiseError
from pipeline.core.series.numbered import NumberedFile, numbered, renumbered
from pipeline.core.series.range_state import RangeState
from pipeline.core.series.ranges import ONE_AT_A_TIME, ByteRange, read_range
from pipeline.core.series.row_slices import OF_RANGES, rows_name, sorted_name
from pipeline.core.series.row_store import record_type_of
from pipeline.core.sources import DividedSource

_BLOCKS = f"{OF_RANGES}all.blocks"
_LENGTH = struct.Struct("<q")
NUMBERING = "number"  # the marker of this step
_NONE = b""  # the state of a range that cannot be read like this
T = TypeVar("T")
Steps = SeriesBlock | Outcome | FileRange
Step = Callable[[FileRange, Limits, Output], None]
Each = Callable[[Step, Sequence[FileRange]], None]


def load_in_ranges(
    request: Request, limits: Limits, output: Output, range_bytes: int, each: Each
) -> Iterator[SeriesBlock | Outcome]:
    """Yield what process_request.load does, having read a large file in ranges.

    Args:
        request, limits, output, range_bytes: as for `load`.
        each: does something to each of several ranges, at the same time.
    """
    ranges: list[FileRange] = []
    for step in load(request, limits, output, range_bytes):
        if isinstance(step, FileRange):
            ranges.append(step)
        else:
            yield step
    if not ranges:
        return
    with ThreadPoolExecutor(1) as pool:  # meanwhile the whole is hashed
        versions = pool.submit(versions_of, request, [(own.start, own.end) for own in ranges], limits, output)
        each(read_one, ranges)
    unsorted: list[FileRange] = []
    for step in number_series(ranges[0].whole(), limits, output, versions.result):
        if isinstance(step, FileRange):
            unsorted.append(step)
        else:
            yield step
    if unsorted:
        each(sort_one, unsorted)
        yield from blocks_of(unsorted[0].whole(), limits, output)


def read_one(own: FileRange, limits: Limits, output: Output) -> None:
    """Read a range; keep its rows, and what was found in it."""
    try:
        state: bytes = _marked(own, "range", output, _read, own, limits, output)
    except (RecordError, SupersededError):
        state = _NONE
    work_files = output.work_files(own.request, own.reading)
    work_files.write(_state_name(own.part), lambda path: path.write_bytes(state))


def _marked(own: FileRange, step: str, output: Output, work: Callable[..., T], *arguments: Any) -> T:
    """Return what some work on a range gives; it is done in a child if a process died that did it.

    Raises:
        RecordError: CRASHED, if all children died.
    """
    step = f"{step}-{own.part:06d}"
    trusted = output.begin(own.request, step)
    try:
        if trusted:
            return work(*arguments)
        done: T = proven(f"{step} of request {own.request.key}", work, *arguments)
        return done
    finally:
        output.end(own.request, step)


def _read(own: FileRange, limits: Limits, output: Output) -> bytes:
    """Read a range and keep its rows; return its state."""
    spec, bounds = own.request.parsed_spec, ByteRange(own.start, own.end, own.mark)
    work_files = output.work_files(own.request, own.reading)

    def state() -> bytes:
        states: list[RangeState] = []
        with _opened(own.request, limits, output) as source:
            work_files.write(
                rows_name(own.part), lambda path: states.append(read_range(source, bounds, spec, limits, path))
            )
        return states[-1].to_bytes()

    with contained(internal_errors(own.request, output)):
        try:
            return with_memory(state)
        except UndecidedIdsError:
            return _NONE


def versions_of(
    request: Request, bounds: Sequence[tuple[int, int]], limits: Limits, output: Output
) -> tuple[str, list[str]]:
    """Return the version that a request's file has, and those of its ranges."""
    with _opened(request, limits, output) as source, io():
        return source.versions(bounds)


def number_series(
    file: RangedFile, limits: Limits, output: Output, versions: Callable[[], tuple[str, list[str]]] | None = None
) -> Iterator[Steps]:
    """Number the series of a file whose ranges are read; yield its blocks, or the ranges that have to be sorted first.

    If there is a range that could not be read, or the ranges together show that it takes the whole file to read it,
    yield what process_request.load does.

    Args:
        file: the file.
        limits: of a file.
        output: where it goes.
        versions: returns what `versions_of` does, if that is being found out.
    """
    request, work_files = file.request, output.work_files(file.request, file.reading)
    trusted = output.begin(request, NUMBERING)
    try:  # a file of whose ranges a process died is read as a whole, which is marked, too
        steps = _steps(file, limits, output, versions) if trusted else None
    finally:
        output.end(request, NUMBERING)
    if steps is not None:
        yield from steps
        return
    yield from load(request, limits, output)
    work_files.remove_ranges()  # only now: until then this may be tried again


def _steps(
    file: RangedFile, limits: Limits, output: Output, versions: Callable[[], tuple[str, list[str]]] | None
) -> list[SeriesBlock] | list[FileRange] | None:
    """Return a file's blocks, or its ranges that have to be sorted; None if the whole file is to be read instead."""
    work_files = output.work_files(file.request, file.reading)

    def steps() -> list[SeriesBlock] | list[FileRange] | None:
        with scratch_folder() as folder:
            found = _numbered(file, folder, limits, output, versions)
            if found is None:
                return None
            series = _blocks(file, found)
            if not found.unsorted:
                return list(series)
            work_files.write(_BLOCKS, lambda path: _write_blocks(path, series))
            for number in found.unsorted:
                work_files.write(_places_name(number), found.places(number).tofile)
        extras, parts = len(found.layout.extras), len(found.unsorted)
        return [
            FileRange(file.request, file.reading, file.ranges, number, parts, extras=extras)
            for number in found.unsorted
        ]

    try:
        with contained(internal_errors(file.request, output)):
            return with_memory(steps)
    except (RecordError, SupersededError):
        return None


def _numbered(
    file: RangedFile,
    folder: Path,
    limits: Limits,
    output: Output,
    versions: Callable[[], tuple[str, list[str]]] | None,
) -> NumberedFile | None:
    """Return what a file's ranges are together; None if the whole file is to be read instead.

    Raises:
        RecordError, SupersededError: if the whole file is to be read instead, too, or is gone.
    """
    request, spec = file.request, file.request.parsed_spec
    bounds: list[tuple[int, int]] = []
    work_files = output.work_files(request, file.reading)

    def states() -> Iterator[RangeState]:
        for number in range(file.ranges):
            content = work_files.read(_state_name(number))
            if not content:
                raise ReadOtherwiseError
            state = RangeState.from_bytes(content)
            if state.start != (bounds[-1][1] if bounds else 0):
                raise ReadOtherwiseError  # which is of another cut
            bounds.append((state.start, state.end))
            yield state

    try:
        with _opened(request, limits, output) as source:
            size = source.size()
            found = numbered(
                states(), CsvReader.open(source.part(0, size), spec, limits), spec, limits, request.source_time, folder
            )
    except ReadOtherwiseError:
        return None
    was = versions() if versions is not None else versions_of(request, bounds, limits, output)
    return found if was == (request.version, found.versions) and bounds[-1][1] == size else None


def _blocks(file: RangedFile, found: NumberedFile) -> Iterator[SeriesBlock]:
    blocks = len(found.bounds)
    for part, (first, last, batch, slices) in enumerate(found.references()):
        seconds = 0.0 if part else found.seconds
        yield SeriesBlock(
            file.request, part, blocks, found.layout, batch, RANGES, first, last, seconds, file.reading, slices=slices
        )


def sort_one(own: FileRange, limits: Limits, output: Output) -> None:
    """Sort a range's rows by their blocks; keep none, if that fails."""
    try:
        _marked(own, "sort", output, _sort, own, output)
    except RecordError:  # its traceback is in the log; the blocks that miss these rows say so
        none = np.empty(0, record_type_of(own.extras))
        output.work_files(own.request, own.reading).write(sorted_name(own.part), none.tofile)


def _sort(own: FileRange, output: Output) -> None:
    work_files = output.work_files(own.request, own.reading)

    content = work_files.read(_places_name(own.part))
    if content is None:
        return  # as blocks_of will find, too: the request is done

    def rows() -> npt.NDArray[np.void]:
        places = np.frombuffer(content, np.int32).reshape(2, -1)
        with ONE_AT_A_TIME, work_files.open(rows_name(own.part)) as unsorted:
            return renumbered(np.fromfile(unsorted, record_type_of(own.extras)), places)

    with contained(internal_errors(own.request, output)):
        work_files.write(sorted_name(own.part), with_memory(rows).tofile)


def blocks_of(file: RangedFile, limits: Limits, output: Output) -> Iterator[SeriesBlock | Outcome]:
    """Yield the blocks of a file whose ranges are sorted; what `load` yields, if its work files are gone.

    Raises:
        DoneError: if they are gone since it is done.
    """
    content = output.work_files(file.request, file.reading).read(_BLOCKS)
    if content is None:
        yield from load(file.request, limits, output)
        return
    at = 0
    while at < len(content):
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size + length
        yield block_from_bytes(SeriesBlock, content[at - length : at])


def _write_blocks(path: Path, series: Iterator[SeriesBlock]) -> None:
    with path.open("wb") as file:
        for block in series:
            content = block_to_bytes(block)
            file.write(_LENGTH.pack(len(content)) + content)


@contextmanager
def _opened(request: Request, limits: Limits, output: Output) -> Iterator[DividedSource]:
    with output.open_source(request, limits) as source:
        yield cast(DividedSource, source)  # as it was when it was cut


def _state_name(number: int) -> str:
    return f"{OF_RANGES}{number:06d}.arrow"


def _places_name(number: int) -> str:
    return f"{OF_RANGES}{number:06d}.places"
