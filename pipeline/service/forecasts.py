"""A forecast on request: a file or a table in, its forecast or its check out, and nothing kept."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.core.engines.by_name import engine_named
from pipeline.core.engines.forecast_batch import forecast_block
from pipeline.core.engines.pieces import pieces
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.findings import findings_of, problem_of
from pipeline.core.forecast_spec import ForecastSpec, option_errors
from pipeline.core.limits import Limits
from pipeline.core.outputs.forecast_frame import NAMES
from pipeline.core.outputs.results import FileResult
from pipeline.core.parquet_reading.cells import has_a_role
from pipeline.core.process_request import process
from pipeline.core.requests.local_files import OPERATORS_FIELDS, request_of_csv
from pipeline.core.scratch import scratch_folder
from pipeline.core.series.load import LoadedFile, load_file, load_table
from pipeline.core.spec_limits import refuse_costly
from pipeline.service.answers import Answer, Wanted, writer_of
from pipeline.service.bodies import HTML, Content
from pipeline.service.waiting import Waiting

ORIENTS = ("records", "columns")
FORMS = {"names": NAMES, "orient": ORIENTS}  # parameters that are no options of a forecast, and their values
MOST_DRAWN = 2000  # series of a page, the worst first


def spec_asked(given: Mapping[str, Any], operators: ForecastSpec, limits: Limits) -> ForecastSpec:
    """Return the options that a request states, over the operator's.

    Args:
        given: options by name, as texts or as JSON has them.
        operators: the operator's.
        limits: on what a forecast may cost.

    Raises:
        RecordError: BAD_MANIFEST, with everything that is wrong.
    """
    problems = [f"{name}: is not an option of a forecast" for name in given
                if name not in ForecastSpec.model_fields or name in OPERATORS_FIELDS]  # fmt: skip
    known = {name: value for name, value in given.items() if name in ForecastSpec.model_fields}
    spec = operators
    try:
        spec = ForecastSpec(**operators.under(known))
    except ValidationError as error:
        problems += option_errors(list(error.errors()), mark="")
    if problems:
        raise RecordError("BAD_MANIFEST", "; ".join(problems) + ".", "See docs/options.md.")
    refused = refuse_costly(spec, limits)
    if refused is not None:
        raise refused
    return spec


def form_asked(given: Mapping[str, str], media_type: str, as_columns: bool) -> Wanted:
    """Return the form of the answer that a request's parameters state.

    Args:
        given: its parameters.
        media_type: that it accepts.
        as_columns: whether it came as columns in JSON.

    Raises:
        RecordError: BAD_MANIFEST.
    """
    for name, values in FORMS.items():
        if given.get(name, values[0]) not in values:
            raise RecordError(
                "BAD_MANIFEST", f"{name}: must be {', '.join(values[:-1])} or {values[-1]}.", "See docs/service.md."
            )
    orient = given.get("orient", "columns" if as_columns else "records")
    return Wanted(media_type, given.get("names", "csv"), orient)


def forecast_content(content: Content, spec: ForecastSpec, limits: Limits, wanted: Wanted, waiting: Waiting) -> Answer:
    """Forecast each series of a file or table.

    Args:
        content: what to forecast.
        spec: how to read and forecast it.
        limits: of a file.
        wanted: the form of the answer.
        waiting: looked at between two blocks, and while a file is read.

    Raises:
        RecordError: if it cannot be read, no series can be forecast, or it takes too long.
        NobodyWaitsError: if nobody waits any more.
    """
    if spec.score is None:
        spec = spec.model_copy(update={"score": False})  # no answer shows it, and it takes a second fit
    errors, answer = InternalErrors("request"), Answer(wanted.media_type)
    with scratch_folder() as scratch, contained(errors):
        loaded = _loaded(content, spec, limits, scratch, waiting)
        engine = engine_named(spec.solver)
        answer.series, answer.notes = len(loaded.ids), list(loaded.layout.notes)
        writer = writer_of(answer, wanted, loaded.layout, spec)
        for series in loaded.batches(errors):
            for part in pieces(series, spec):
                waiting.look()
                found = forecast_block(part, loaded.layout.extras, spec, limits, engine, errors)
                answer.note(found)
                writer.add(found)
    if len(answer.faults) == answer.series:
        first = answer.faults[0]
        raise RecordError(first["code"], first["message"], first["hint"], line=first["line"], column=first["column"])
    writer.end()
    answer.size = answer.body.tell()
    answer.body.seek(0)
    return answer


def check_content(content: Content, spec: ForecastSpec, limits: Limits, waiting: Waiting) -> dict[str, Any]:
    """Return what would be done with a file or table, as `dropcast check --json` shows it.

    Arguments as for forecast_content.

    Raises:
        NobodyWaitsError: if nobody waits any more.
    """
    errors = InternalErrors("request")
    with scratch_folder() as scratch:
        try:
            with contained(errors):
                loaded = _loaded(content, spec, limits, scratch, waiting)
                waiting.look()
        except RecordError as error:
            return {"problems": 1, "first_problems": [problem_of("", error)]}
        return findings_of(loaded, spec, limits, errors)


def draw_content(content: Content, name: str, spec: ForecastSpec, limits: Limits, waiting: Waiting) -> Answer:
    """Forecast a file or table, and return the page that `dropcast report` writes.

    Args:
        content: what to forecast.
        name: that the page gives it.
        spec: how to read and forecast it.
        limits: of a file.
        waiting: for how long it may take.

    Raises:
        RecordError: if it cannot be read, no series can be forecast, or it takes too long.
    """
    from pipeline.folder.output import FolderOutput
    from pipeline.folder.results import FolderResults  # imports DuckDB
    from pipeline.report.page import Page
    from pipeline.report.series import series_of_file

    answer = Answer(HTML, charset="utf-8")
    with scratch_folder() as scratch:
        path = scratch / "data"  # not the given name, by whose end a file may be taken for something else

        def named(text: str) -> str:
            return re.sub(rf"^{path.name}(?=[,:])", lambda _: name, text)

        _keep(content, path, spec, limits, waiting)
        waiting.look()
        request, output = request_of_csv(path, "forecast.csv", spec, ""), FolderOutput(scratch / "out")
        receipt, letters = process(request, limits, output, look=waiting.look)
        if receipt.status == "failed":
            worst = next((letter for letter in letters if letter.code != "NOTHING_FORECAST"), letters[0])
            raise RecordError(worst.code, named(worst.message), worst.hint)
        results = FolderResults(scratch / "out")
        told = [replace(letter, source=name, message=named(letter.message)) for letter in letters]
        shown = FileResult(replace(receipt, source=name, output=name), told)
        page = Page(name, [shown], [], MOST_DRAWN, [], series_first=True)
        for series in series_of_file(results, 0, FileResult(receipt, letters), scratch / "work"):
            waiting.look()
            page.add([series])
        answer.size = answer.body.write(page.html())
    answer.series, answer.faults = receipt.series, [{}] * receipt.series_failed
    answer.body.seek(0)
    return answer


def _loaded(content: Content, spec: ForecastSpec, limits: Limits, scratch: Path, waiting: Waiting) -> LoadedFile:
    if isinstance(content.data, pa.Table):
        return load_table(content.data, spec, limits, scratch, waiting.look)
    return load_file(content.data, spec, limits, scratch, look=waiting.look)


def _keep(content: Content, path: Path, spec: ForecastSpec, limits: Limits, waiting: Waiting) -> None:
    """Write a file or table to a file.

    Raises:
        RecordError: if it is a table that no forecast could be made of, or a column of it fits into no Parquet file.
    """
    if not isinstance(content.data, pa.Table):
        with path.open("wb") as file:
            shutil.copyfileobj(content.data, file)
        return
    with scratch_folder() as scratch:  # what has no place in a file is refused as it would be for other answers
        loaded = load_table(content.data, spec, limits, scratch, waiting.look)
    columns = {}
    for name, column in zip(content.data.column_names, content.data.columns, strict=True):
        if not has_a_role(column.type):
            continue
        try:
            columns[name] = _storable(column)
        except pa.ArrowInvalid as error:
            if name not in loaded.unused:
                raise RecordError(
                    "BAD_ARROW",
                    f"The column {name!r} cannot be drawn: {error}",
                    "Ask for another answer, such as JSON.",
                ) from None
    pq.write_table(pa.table(columns), path)


def _storable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as one that Parquet has a type for.

    Raises:
        pyarrow.ArrowInvalid: if it has a value that has no place there.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return column.cast(pa.timestamp("us", kind.tz))
    return column.cast(pa.float64()) if pa.types.is_decimal(kind) and kind.scale < 0 else column
