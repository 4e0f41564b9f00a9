"""What is done for one request, step by step; the Beam transforms and the command line both do just this."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pipeline.core.engine import engine_named
from pipeline.core.forecast_batch import forecast_block
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.load_series import load_csv, resolve_reference
from pipeline.core.output import Output
from pipeline.core.series_batch import Layout
from pipeline.elements import DeadLetter, ForecastBlock, Outcome, Receipt, Request, SeriesBlock
from pipeline.errors import RecordError, SupersededError


def load_blocks(request: Request, limits: Limits, output: Output) -> Iterator[SeriesBlock]:
    """Yield a request's blocks; for a large file references to its work files.

    The file is read to its end before the first block comes, so that a file is refused whole.

    Raises:
        RecordError: if it cannot be read.
        SupersededError: if a newer version of it has been forecast, or has taken its place.
        DoneError: if it is done already.
    """
    start = time.perf_counter()
    output.refuse_taken_output(request)
    load = output.new_load()
    try:
        with output.open_source(request) as file:
            loaded = load_csv(file, ForecastSpec.from_json(request.spec), limits, output.work(request, load))
            changed = file.version() != request.version
    except BaseException:
        output.discard_work_files(request, load)
        raise
    if changed:
        raise RecordError(
            "SOURCE_CHANGED", "The file changed while it was read.", "Forecast it again once it is whole."
        )
    layout, parts = loaded.layout.to_json(), loaded.parts
    seconds = time.perf_counter() - start
    if loaded.store.spilled:
        output.keep_work_files(request, load)
        for part, (name, first, last, batch) in enumerate(loaded.references()):
            yield SeriesBlock(request, part, parts, layout, batch, name, first, last, 0.0 if part else seconds, load)
        return
    for part, batch in enumerate(loaded.batches()):
        yield SeriesBlock(request, part, parts, layout, batch, load_seconds=0.0 if part else seconds, load=load)


def forecast(block: SeriesBlock, limits: Limits, output: Output) -> ForecastBlock:
    """Forecast a block, reading its rows first if they wait in a work file."""
    start = time.perf_counter()
    spec, layout = ForecastSpec.from_json(block.request.spec), Layout.from_json(block.layout)
    engine = engine_named(spec.solver)
    if spec.models is not None or spec.save_models is not None:
        from pipeline.core.keep_models import forecast_from_models, save_models  # imports the native engine
    batch = block.batch
    if block.work_file:
        with output.work_file(block.request, block.load, block.work_file) as path:
            batch = resolve_reference(path, block.first, block.last, batch, layout, spec, limits)
    if spec.models is not None:
        forecasts = forecast_from_models(block, batch, layout, spec)
    else:
        forecasts = forecast_block(batch, layout.extras, spec, limits, engine)
        if spec.save_models is not None:
            save_models(block, batch, layout, spec)
    if output.history:
        for name in ("ds", "y"):
            forecasts = forecasts.append_column(f"history_{name}", batch.column(name))
    seconds = time.perf_counter() - start
    return ForecastBlock(
        block.request,
        block.part,
        block.parts,
        block.layout,
        forecasts,
        seconds,
        block.load_seconds,
        engine.model,
        bool(block.work_file),
        block.load,
    )


def unreadable(request: Request, error: RecordError) -> Outcome:
    """Return the outcome of a request whose file cannot be read."""
    return Outcome(request, 0, failure=DeadLetter.of_file(request, "LoadSeries", error).to_json())


def superseded(request: Request) -> Outcome:
    """Return the outcome of a request that gave way to a newer version of its source."""
    return Outcome(request, 0, superseded=True)


def process(request: Request, limits: Limits, output: Output) -> Receipt:
    """Do all that is to be done for a request, here and now; return its receipt.

    Raises:
        DoneError: if it is done already.
    """
    try:
        for block in load_blocks(request, limits, output):
            written = output.write_block(forecast(block, limits, output))
        outcome = output.publish(written)
    except RecordError as error:
        outcome = unreadable(request, error)
    except SupersededError:
        outcome = superseded(request)
    output.load_rows([outcome])
    output.write_dead_letters(outcome)
    return output.write_receipt(outcome)
