"""The steps of one request, shared by the Beam transforms and the command line.

An unexpected exception costs only the file or series that it occurs in. Each step raises only refusals of the request
itself, and I/O errors, which the runner retries.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from typing import overload

import numpy as np
import pyarrow as pa

from pipeline.core.blocks import RANGES, ForecastBlock, SeriesBlock
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import blamed_forecast, faulty_forecasts, forecast_block
from pipeline.core.engines.hint import sample, wants_hint, with_auto_scores
from pipeline.core.engines.pieces import pieces
from pipeline.core.errors import RecordError, SupersededError
from pipeline.core.faults.alone import with_memory
from pipeline.core.faults.internal_error import OWN_FAULTS, InternalErrors, contained, crashed, own_fault
from pipeline.core.faults.isolation import in_child, proven
from pipeline.core.faults.narrowing import narrowed, narrowed_in_children
from pipeline.core.file_ranges import FileRange, ranges_of
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.io_faults import MarkedSource
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import (
    FailedRequest,
    Outcome,
    SupersededRequest,
    WrittenPart,
    WrittenRequest,
    failed_at,
)
from pipeline.core.outputs.output import Output, WorkFiles
from pipeline.core.outputs.problem_note import write_note
from pipeline.core.outputs.receipts import status_of
from pipeline.core.series.arrow_lists import last_of_lists
from pipeline.core.series.batch import faulty_series
from pipeline.core.series.layout import Layout
from pipeline.core.series.load import LoadedFile, load_file, resolve_reference
from pipeline.core.series.ranges import ByteRange, cut_into_ranges
from pipeline.core.series.row_slices import part_of, rows_of_slices
from pipeline.core.series.row_store import read_work_file
from pipeline.core.sources import DividedSource
from pipeline.core.spec_limits import refuse_costly

_log = logging.getLogger(__name__)
Look = Callable[[], None]
LOADING = "load"  # the marker of this step, while its blocks are taken too; the other steps are the request's parts


def internal_errors(request: Request, output: Output) -> InternalErrors:
    """Return what turns unexpected exceptions into errors of a request."""
    return InternalErrors(request.key, output.keep_traceback)


# ----------------------------------------------------------------------------------------------- load


@overload
def load(request: Request, limits: Limits, output: Output) -> Iterator[SeriesBlock | Outcome]: ...
@overload
def load(
    request: Request, limits: Limits, output: Output, range_bytes: int
) -> Iterator[SeriesBlock | FileRange | Outcome]: ...
def load(
    request: Request, limits: Limits, output: Output, range_bytes: int = 0
) -> Iterator[SeriesBlock | FileRange | Outcome]:
    """Yield a request's blocks; or its outcome, if it cannot be read or a newer version has replaced it.

    For a large file the blocks are references to its work files. The file is read to its end before the first block is
    yielded, so that a bad file is refused as a whole. A file that was being read when a process died is read in a
    child.

    Args:
        request: the request.
        limits: of a file.
        output: where it goes.
        range_bytes: if this is not 0, a file of several times as many bytes may be read in ranges by
            process_ranges.py; these are yielded instead.

    Raises:
        DoneError: if it is done already.
    """
    try:
        yield from load_blocks(request, limits, output, range_bytes)
    except RecordError as error:
        yield unreadable(request, error)
    except SupersededError:
        yield SupersededRequest(request)


def load_blocks(
    request: Request, limits: Limits, output: Output, range_bytes: int = 0
) -> Iterator[SeriesBlock | FileRange]:
    """Yield a request's blocks or ranges; see `load`.

    Raises:
        RecordError: if it cannot be read.
        SupersededError: if a newer version has been forecast, or has replaced it.
        DoneError: if it is done already.
    """
    refused = refuse_costly(request.parsed_spec, limits)
    if refused is not None:
        raise refused
    errors = internal_errors(request, output)
    with contained(errors):
        output.refuse_taken_output(request)
    trusted = output.begin(request, LOADING)
    try:
        if trusted:
            yield from _read_blocks(request, limits, output, range_bytes)
        else:
            for block in proven(f"request {request.key}", all_blocks, request, limits, output):
                yield dataclasses.replace(block, suspect=True)
    finally:
        output.end(request, LOADING)


def all_blocks(request: Request, limits: Limits, output: Output) -> list[SeriesBlock]:
    """Return what load_blocks yields, for use in a child."""
    return [block for block in _read_blocks(request, limits, output) if isinstance(block, SeriesBlock)]


def _read_blocks(
    request: Request, limits: Limits, output: Output, range_bytes: int = 0
) -> Iterator[SeriesBlock | FileRange]:
    start = time.perf_counter()
    reading, errors = output.new_reading(), internal_errors(request, output)
    work_files = output.work_files(request, reading)
    with contained(errors):
        loaded = with_memory(lambda: _read(request, work_files, limits, output, range_bytes))
    if not isinstance(loaded, LoadedFile):
        yield from ranges_of(request, reading, loaded)
        return
    seconds = time.perf_counter() - start
    if loaded.store.spilled:
        work_files.share()
        for part, (name, first, last, batch) in enumerate(loaded.references()):
            yield SeriesBlock(
                request, part, loaded.parts, loaded.layout, batch, name, first, last, 0.0 if part else seconds, reading
            )
        return
    for part, batch in enumerate(loaded.batches(errors)):
        yield SeriesBlock(
            request, part, loaded.parts, loaded.layout, batch, load_seconds=0.0 if part else seconds, reading=reading
        )


def _read(
    request: Request, work_files: WorkFiles, limits: Limits, output: Output, range_bytes: int = 0
) -> LoadedFile | list[ByteRange]:
    """Read a request's CSV to its end, or return the ranges in which it is to be read."""
    try:
        with output.open_source(request, limits) as opened:
            if range_bytes and isinstance(opened, DividedSource):
                ranges = cut_into_ranges(opened, request.parsed_spec, limits, range_bytes)
                if ranges:
                    return ranges
            source = MarkedSource(opened)
            loaded = load_file(source, request.parsed_spec, limits, work_files.folder, request.source_time)
            changed = source.version() != request.version
    except BaseException:
        work_files.discard()
        raise
    if changed:
        raise RecordError(
            "SOURCE_CHANGED", "The file changed while it was read.", "Forecast it again once it is complete."
        )
    return loaded


# ------------------------------------------------------------------------------------------- forecast


def forecast(
    block: SeriesBlock, limits: Limits, output: Output, marked: bool = False, look: Look | None = None
) -> ForecastBlock:
    """Forecast a block, first reading its rows if they are in a work file; each series gets a forecast or an error.

    A block that was being forecast when a process died is forecast in a child, and in several if that one dies.

    Args:
        block: the series.
        limits: of a series.
        output: where it is marked while it is forecast.
        marked: whether it is the only one of its request, and taken while LOADING is marked: that one marker will do.
        look: called between pieces of a few seconds; may raise to end it.
    """
    if marked and not block.suspect:
        return forecast_rows(block, limits, output, look=look)
    step = f"part-{block.part:06d}"
    trusted = output.begin(block.request, step) and not marked
    try:
        return forecast_rows(block, limits, output, look=look) if trusted else _suspected(block, limits, output)
    finally:
        output.end(block.request, step)


def forecast_rows(
    block: SeriesBlock,
    limits: Limits,
    output: Output,
    first: int = 0,
    last: int | None = None,
    look: Look | None = None,
) -> ForecastBlock:
    """Forecast a block's rows from `first` up to but excluding `last`, in this process; see forecast."""
    start = time.perf_counter()
    spec, layout = block.request.parsed_spec, block.layout
    errors = internal_errors(block.request, output)
    rows = (len(block.batch) if last is None else last) - first
    try:
        engine = engine_named(spec.solver)
        whole = _series_of(block, layout, spec, limits, output, errors)
        series = whole.slice(first, rows)
        if spec.models is not None:
            from pipeline.core.engines.kept_models import forecast_from_models  # imports the native engine

            forecasts = narrowed(
                rows,
                lambda a, b: forecast_from_models(block, series.slice(a, b - a), layout, spec),
                lambda row, error: blamed_forecast(series, row, error, spec, errors),
            )
        else:
            parts = []
            for part in pieces(series, spec) if look is not None else (series,):
                if look is not None:
                    look()
                parts.append(forecast_block(part, layout.extras, spec, limits, engine, errors))
            forecasts = pa.concat_batches(parts) if len(parts) > 1 else parts[0]
            if spec.save_models is not None:
                from pipeline.core.engines.kept_models import save_models

                save_models(block, series.filter(forecasts.column("fault").is_null()), layout, spec)
        forecasts = _with_hint(forecasts, whole, first, block, spec)
        forecasts, model = _with_past(forecasts, series, spec, output), engine.model
    except OWN_FAULTS as error:
        if not own_fault(error):
            raise
        forecasts = _all_faulty(block.batch.slice(first, rows), layout, spec, errors(error), output)
        model = spec.solver
    return _finished(block, forecasts, model, time.perf_counter() - start)


def _series_of(
    block: SeriesBlock, layout: Layout, spec: ForecastSpec, limits: Limits, output: Output, errors: InternalErrors
) -> pa.RecordBatch:
    if not block.work_file:
        return block.batch
    work_files, extras = output.work_files(block.request, block.reading), len(layout.extras)
    if block.work_file == RANGES:
        contents = work_files.read_parts([part_of(rows, extras) for rows in block.slices])
        rows = rows_of_slices(block.slices, contents, extras)
    else:
        with work_files.open(block.work_file) as path:
            rows = read_work_file(path, block.first, block.last, extras)
    return resolve_reference(rows, block.first, block.batch, layout, spec, limits, errors)


def _with_hint(
    forecasts: pa.RecordBatch, series: pa.RecordBatch, first: int, block: SeriesBlock, spec: ForecastSpec
) -> pa.RecordBatch:
    """Return forecasts of some of a block's series with what is known of how auto would have done.

    Args:
        forecasts: of the series from `first` on.
        series: all of the block.
        first: number of the first that was forecast.
        block: their block.
        spec: its options.
    """
    if not wants_hint(spec):
        return forecasts
    tried = sample(series.column("series_id").to_pylist(), block.part, block.parts) - first
    tried = tried[(tried >= 0) & (tried < len(forecasts))]
    own = series.slice(first, len(forecasts))
    try:
        return with_auto_scores(forecasts, own, tried, spec)
    except OWN_FAULTS as error:  # a hint never costs a forecast
        if not own_fault(error):
            raise
        _log.exception("no hint for part %d of request %s", block.part, block.request.key)
        return with_auto_scores(forecasts, own, tried[:0], spec)


def _with_past(forecasts: pa.RecordBatch, series: pa.RecordBatch, spec: ForecastSpec, output: Output) -> pa.RecordBatch:
    """Return forecasts together with the last values of their histories, and with all if these are to be written."""
    columns = {"actual": last_of_lists(series, ("ds", "y"), spec.horizon)}
    if output.history:
        columns["history"] = {name: series.column(name) for name in ("ds", "y")}
    for prefix, lists in columns.items():
        for name, values in lists.items():
            forecasts = forecasts.append_column(f"{prefix}_{name}", values)
    return forecasts


def _all_faulty(
    rows: pa.RecordBatch, layout: Layout, spec: ForecastSpec, error: RecordError, output: Output
) -> pa.RecordBatch:
    """Return forecasts in which all series of the rows, or of those they refer to, have the given error."""
    series = faulty_series(rows.column("ids"), rows.column("fault"), error, layout)
    forecasts = faulty_forecasts(series, spec)
    if wants_hint(spec):
        forecasts = with_auto_scores(forecasts, series, np.empty(0, np.int64), spec)
    return _with_past(forecasts, series, spec, output)


def _finished(block: SeriesBlock, forecasts: pa.RecordBatch, model: str, seconds: float) -> ForecastBlock:
    return ForecastBlock(
        block.request,
        block.part,
        block.parts,
        block.layout,
        forecasts,
        seconds,
        block.load_seconds,
        model,
        bool(block.work_file),
        block.reading,
    )


def _suspected(block: SeriesBlock, limits: Limits, output: Output) -> ForecastBlock:
    """Forecast a block in children, so that a series that kills its process costs only itself."""
    spec, layout = block.request.parsed_spec, block.layout
    start = time.perf_counter()
    models: list[str] = []

    def do(first: int, last: int) -> pa.RecordBatch:
        done: ForecastBlock = in_child(forecast_rows, block, limits, output, first, last)
        models.append(done.model)
        return done.batch

    def blamed(first: int, last: int, deaths: int) -> pa.RecordBatch:
        about = f"request {block.request.key}, part {block.part}, series {first} to {last - 1}"
        return _all_faulty(block.batch.slice(first, last - first), layout, spec, crashed(deaths, about), output)

    forecasts = narrowed_in_children(len(block.batch), do, blamed)
    return _finished(block, forecasts, models[0] if models else spec.solver, time.perf_counter() - start)


# ---------------------------------------------------------------------------------------------- write


def write_block(block: ForecastBlock, output: Output) -> WrittenPart | Outcome:
    """Write a block; on an internal error, write it with that error for all its series."""
    try:
        with contained(internal_errors(block.request, output)):
            return output.write_block(block)
    except RecordError as fault:
        faulty = _all_faulty(block.batch, block.layout, block.request.parsed_spec, fault, output)
        return output.write_block(dataclasses.replace(block, batch=faulty))


def publish(written: WrittenRequest, output: Output) -> Outcome:
    """Publish the CSV of a request with several parts, once all parts are written."""
    try:
        with contained(internal_errors(written.request, output)):
            return output.publish(written)
    except RecordError as error:
        return failed_at(written, "WriteForecasts", error)


def write_dead_letters(outcome: Outcome, output: Output) -> tuple[Outcome, list[DeadLetter]]:
    """Write a request's dead letters; return its outcome and the letters."""
    try:
        with contained(internal_errors(outcome.request, output)):
            return outcome, output.write_dead_letters(outcome)
    except RecordError as error:
        failed = failed_at(outcome, "WriteDeadLetters", error)
        return failed, output.write_dead_letters(failed)


def write_receipt(outcome: Outcome, output: Output) -> Receipt:
    """Write the receipt, which completes a request."""
    try:
        with contained(internal_errors(outcome.request, output)):
            return output.write_receipt(outcome)
    except RecordError as error:
        failed = failed_at(outcome, "WriteReceipts", error)
        output.write_dead_letters(failed)
        return output.write_receipt(failed)


def unreadable(request: Request, error: RecordError) -> FailedRequest:
    """Return the outcome of a request whose file cannot be read."""
    return FailedRequest(request, DeadLetter.of_file(request, "LoadSeries", error))


def finish(outcome: Outcome, output: Output, noted: bool = False) -> tuple[Receipt, list[DeadLetter]]:
    """Load the waiting rows, write the receipt and dead letters of a request, and return these.

    Args:
        outcome: of the request.
        output: where they go.
        noted: whether problems are also noted beside the forecast, before the receipt says that all is done.
    """
    (outcome,) = output.load_rows([outcome])
    outcome, letters = write_dead_letters(outcome, output)
    status = status_of(outcome, letters)
    if noted and status != "superseded":  # then a note is about the newer version
        write_note(outcome.request.output, status, letters, output)
    return write_receipt(outcome, output), letters


def _too_slow(step: SeriesBlock | Outcome) -> RecordError:
    done = f" {step.part:,} of {step.parts:,} blocks were forecast." if isinstance(step, SeriesBlock) else ""
    return RecordError(
        "TOO_SLOW",
        f"The file takes longer than the answer to one push may.{done}",
        "Send it to the pipeline, which has no such limit (docs/service.md), or split it.",
    )


def process(
    request: Request,
    limits: Limits,
    output: Output,
    until: float | None = None,
    noted: bool = False,
    look: Look | None = None,
) -> tuple[Receipt, list[DeadLetter]]:
    """Do all steps of a request in this process; return its receipt and dead letters.

    Args:
        request: the request.
        limits: of a file.
        output: the place.
        until: when, by the monotonic clock, it is given up between two blocks; None for never.
        noted: as for finish.
        look: called between pieces of a few seconds; may raise to end it, without a receipt.

    Raises:
        DoneError: if it is done already.
    """
    for step in load(request, limits, output):
        if until is not None and time.monotonic() > until:
            return finish(unreadable(request, _too_slow(step)), output, noted)
        if isinstance(step, SeriesBlock):
            reached = write_block(forecast(step, limits, output, step.parts == 1, look), output)
        else:
            reached = step
    outcome = reached if isinstance(reached, Outcome) else publish(reached.whole(), output)
    return finish(outcome, output, noted)
