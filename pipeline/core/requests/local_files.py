"""Requests from local files: CSVs, and manifests that name one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError, shorten
from pipeline.core.faults.internal_error import InternalErrors, contained, nowhere
from pipeline.core.forecast_spec import ForecastSpec, option_errors
from pipeline.core.requests.bigquery_sources import is_query, is_table
from pipeline.core.requests.names import (
    MANIFEST_SUFFIX,
    checked_output_name,
    feeds_itself,
    fixed_part,
    forecast_name,
    is_pattern,
    matching_files,
    output_name,
    real_path,
)
from pipeline.core.sources import open_source
from pipeline.core.strict_json import read_json

MAX_MANIFEST_BYTES = 1 << 20
OPERATORS_FIELDS = ("models", "save_models")  # paths, which a manifest may not set
UNREAD = "unread"  # the version of a file that could not be opened


def _without_operators_fields(schema: dict[str, Any]) -> None:
    for name in OPERATORS_FIELDS:
        schema["properties"].pop(name, None)


class Manifest(ForecastSpec):
    """A request as JSON, in a file named *.manifest.json: what to forecast, and any option of the forecast."""

    model_config = ConfigDict(json_schema_extra=_without_operators_fields)

    id: str = Field("", max_length=256, description="The sender's own name for the request; appears in its receipt.")
    input: str = Field(min_length=1, description="Path of the CSV, absolute or relative to the manifest.")
    output: str | None = Field(
        None,
        min_length=1,
        description="Name of the forecast below the output folder. Default: the CSV's own name.",
    )
    generation: str = Field(
        "",
        pattern="^([1-9][0-9]{0,17})?$",
        description="Generation of an object in a bucket. Default: the current one.",
    )

    def options(self) -> dict[str, Any]:
        """Return the options of the forecast that it states, or that it has from the operator."""
        fields = self.model_dump(exclude={"id", "input", "output", "generation"}, exclude_unset=True)
        if self.quantiles is not None:
            fields.pop("level", None)  # it follows from them
        return fields


@dataclass(frozen=True)
class InputFile:
    """A local file to forecast.

    Attributes:
        path: absolute path of a CSV or a manifest.
        output: name of the forecast; for a manifest, the manifest's own name.
        named: whether it was named explicitly, not found by a pattern or in a folder; only then a link is followed.
    """

    path: str
    output: str
    named: bool = False

    @property
    def is_manifest(self) -> bool:
        """Whether the file is a manifest."""
        return self.path.endswith(MANIFEST_SUFFIX)


def list_inputs(patterns: list[str], output: Path, called: str = "--input") -> tuple[list[InputFile], list[str]]:
    """Return the files that match patterns, and a list of problems, one line each.

    A CSV that one of the manifests names is forecast by that manifest only.

    Args:
        patterns: as the user wrote them.
        output: folder of the forecasts.
        called: the option's name, for messages.
    """
    files: dict[str, InputFile] = {}
    problems = []
    for pattern in patterns:
        if feeds_itself(pattern, output):
            problems.append(
                f"--output: forecasts in {output} would be read as inputs of {pattern}; choose a folder outside of it"
            )
            continue
        found = matching_files(pattern)
        if not found:
            problems.append(f"{called}: no file matches {pattern!r}")
        if len(found) == 1 and os.path.isdir(found[0]):  # noqa: PTH112 - False for a name that is too long
            problems.append(f"{called}: {pattern} is a folder; name the files in it, for example {pattern}/*.csv")
            continue
        for path in found:
            if _is_utf8(str(path)):
                file = InputFile(str(path), output_name(path, pattern), not is_pattern(pattern))
                files.setdefault(str(path), file)
            else:
                problems.append(f"{called}: the name of {os.fsencode(path)!r} is not UTF-8; rename the file")
    named = {file.path: named_by(file) for file in files.values() if file.is_manifest}
    claimed = {source for source, _ in named.values()}
    chosen = [file for file in files.values() if str(real_path(Path(file.path))) not in claimed]
    problems += _collisions([(named.get(file.path, ("", file.output))[1], file.path) for file in chosen], called)
    return chosen, problems


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _collisions(outputs: list[tuple[str, str]], called: str) -> list[str]:
    """Return one line for each pair of files whose forecasts cannot both be written."""
    problems = []
    takers: dict[str, str] = {}
    for output, path in outputs:
        other = takers.setdefault(output, path) if output else path
        if other != path:
            problems.append(
                f"{called}: {other} and {path} would both be forecast to {output}; forecast them in separate runs or "
                "to separate folders"
            )
    for output, path in outputs:
        for folder in PurePosixPath(output).parents:
            if str(folder) in takers:
                problems.append(
                    f"{called}: the forecast of {path} would be below {folder}, which is the forecast of "
                    f"{takers[str(folder)]}; forecast them in separate runs or to separate folders"
                )
    return problems


def named_by(file: InputFile) -> tuple[str, str]:
    """Return the source and the output that a manifest names; empty if it is invalid, which is refused later."""
    try:
        stated = json.loads(_start_of(Path(file.path)))
        source = Path(file.path).parent / stated["input"]
        return str(real_path(source)), _manifest_output(file, stated["input"], stated.get("output"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError, RecordError):
        return "", ""


def _start_of(path: Path) -> bytes:
    """Return a manifest's content; of one that is too long, just enough to tell."""
    with open_source(path) as file:
        return file.read(MAX_MANIFEST_BYTES + 1)


def _manifest_output(file: InputFile, source: str, stated: str | None) -> str:
    return checked_output_name(stated or forecast_name((Path(file.output).parent / Path(source).name).as_posix()))


def request_for(
    file: InputFile, spec: ForecastSpec, allowed: list[Path], keep: Callable[[str, str], str] = nowhere
) -> Request:
    """Return the request for a CSV or a manifest.

    Args:
        file: the file.
        spec: the operator's options; a manifest's own fields override them.
        allowed: folders in which a manifest may name files, and to which links may lead.
        keep: stores the traceback of an unexpected exception; see InternalErrors.

    Raises:
        RecordError: if the manifest is invalid, or the file is a link to a folder that is not allowed. A CSV that
            cannot be read is not an error yet: its request has the version UNREAD, and fails when it is loaded.
    """
    with contained(InternalErrors(file.path, keep)):
        return _request_for(file, spec, allowed)


def _request_for(file: InputFile, spec: ForecastSpec, allowed: list[Path]) -> Request:
    # without allowed folders only a link is refused
    may_lead_away = not file.named and (bool(allowed) or os.path.islink(file.path))  # noqa: PTH114 - no errors
    if may_lead_away and not _is_below(Path(file.path), allowed):
        raise RecordError(
            "PATH_NOT_ALLOWED",
            f"{Path(file.path).name!r} is a link that leads outside the allowed folders.",
            "Replace the link with the file itself, or ask the operator to allow its folder with --allow.",
        )
    if not file.is_manifest:
        return request_of_csv(Path(file.path), file.output, spec, "")
    manifest = read_manifest(Path(file.path), spec)
    if is_table(manifest.input):
        raise RecordError(
            "BAD_MANIFEST",
            "Tables of BigQuery are read only where forecasts go to a bucket.",
            "Name a CSV, a Parquet file or a query of Parquet files, or set --output=gs://bucket/prefix.",
            found=manifest.input,
        )
    source = Path(file.path).parent / manifest.input
    if "\0" in manifest.input or manifest.input.endswith(MANIFEST_SUFFIX):
        raise RecordError(
            "BAD_MANIFEST",
            f"The input {manifest.input!r} is not a CSV.",
            "Name the CSV to forecast.",
            found=manifest.input,
        )
    if not _is_below(source, allowed):
        raise RecordError(
            "PATH_NOT_ALLOWED",
            f"The input {manifest.input!r} is outside the allowed folders.",
            "Put the CSV beside the manifest, or ask the operator to allow its folder with --allow.",
            found=manifest.input,
        )
    if is_query(manifest.input):
        from pipeline.core.requests.local_queries import read_query  # imports sqlglot

        read_query(real_path(source))  # refused here, where its owner looks first
    output = _manifest_output(file, manifest.input, manifest.output)
    fields = manifest.options()
    return request_of_csv(real_path(source), output, ForecastSpec(**fields), manifest.id)


def _is_below(path: Path, folders: list[Path]) -> bool:
    return any(real_path(path).is_relative_to(real_path(folder)) for folder in folders)


def read_manifest(path: Path, spec: ForecastSpec) -> Manifest:
    """Return a manifest, with the operator's options for fields that it does not set.

    Raises:
        RecordError: BAD_MANIFEST, or the reason why the file cannot be read.
    """
    return manifest_fields(_start_of(path), spec)


def manifest_fields(content: bytes, spec: ForecastSpec) -> Manifest:
    """Return a manifest from its JSON, with the operator's options for fields that it does not set.

    Raises:
        RecordError: BAD_MANIFEST.
    """
    hint = "See docs/options.md, or check it against manifest.schema.json."
    if len(content) > MAX_MANIFEST_BYTES:
        raise RecordError("BAD_MANIFEST", f"The manifest has more than {MAX_MANIFEST_BYTES:,} bytes.", hint)
    try:
        stated: Any = read_json(content)
    except ValueError as error:
        raise RecordError("BAD_MANIFEST", f"The manifest is not JSON: {shorten(str(error), 200)}.", hint) from None
    if not isinstance(stated, dict):
        raise RecordError("BAD_MANIFEST", "The manifest is not a JSON object.", hint)
    for name in OPERATORS_FIELDS:
        if name in stated:
            raise RecordError("BAD_MANIFEST", f"{name} can be set only by the operator, not in a manifest.", hint)
    try:
        # validated alone first, so that errors refer to the manifest's own fields
        Manifest(**stated)
        return Manifest(**spec.under(stated))
    except (ValidationError, TypeError) as error:
        lines = option_errors(list(error.errors()), mark="") if isinstance(error, ValidationError) else [str(error)]
        raise RecordError("BAD_MANIFEST", f"The manifest is not valid: {'; '.join(lines)}.", hint) from None


def request_of_csv(path: Path, output: str, spec: ForecastSpec, label: str) -> Request:
    """Return the request for a local file in its current state; its version is UNREAD if it cannot be read."""
    try:
        if is_query(str(path)):
            from pipeline.core.requests.local_queries import read_query  # imports sqlglot

            query = read_query(path)
            version = query.version()
            changed = max(one.stat().st_mtime_ns // 1000 for one in (path, *query.files.values()))
        else:
            with open_source(path) as file:
                changed = os.fstat(file.fileno()).st_mtime_ns // 1000
                version = hashlib.file_digest(file, "sha256").hexdigest()
    except RecordError:
        changed, version = 0, UNREAD
    source_time = datetime.fromtimestamp(changed // 10**6, UTC).replace(microsecond=changed % 10**6)
    text = source_time.isoformat().replace("+00:00", "Z")
    return Request(str(path), version, text, output, spec.to_json(), id=label)


def allowed_folders(patterns: list[str], allow: tuple[str, ...]) -> list[Path]:
    """Return the folders in which manifests may name files: those of the inputs, and those the operator adds."""
    return [*(fixed_part(pattern) for pattern in patterns), *(Path(folder) for folder in allow)]


def stray_letter(file: InputFile, error: RecordError) -> DeadLetter:
    """Return the dead letter of a manifest that never became a request."""
    request = request_of_csv(Path(file.path), file.output, ForecastSpec(), "")
    return DeadLetter.of(request, "message", "ReadRequests", "", error)
