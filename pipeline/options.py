"""Options, for the pipeline and the command line alike: declared once, validated all at once."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from pipeline.core.forecast_spec import ForecastSpec, option_errors
from pipeline.core.limits import Limits
from pipeline.core.requests import OPERATORS_FIELDS, InputFile, allowed_folders, list_inputs

M = TypeVar("M", bound=BaseModel)


class OptionsError(Exception):
    """Options are wrong; `lines` has one for each, beginning with the option's name."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Settings:
    """What a run is to do, validated.

    Attributes:
        files: the files to forecast.
        output: the folder for the forecasts.
        spec: how to forecast.
        limits: what a file may cost.
        allowed: folders that manifests may name files in.
    """

    files: tuple[InputFile, ...]
    output: Path
    spec: ForecastSpec
    limits: Limits
    allowed: tuple[Path, ...]


# Options of a run that are neither the forecast's nor a limit: name, metavar, help.
RUN_OPTIONS = (
    ("input", "PATTERN", "Files to forecast: a path or a pattern such as 'in/*.csv' or 'in/**/*.csv'. "
     "Files named *.manifest.json are read as manifests."),
    ("output", "DIR", "Folder for the forecasts; the tables lie in DIR/_dropcast."),
    ("allow", "DIR,...", "Further folders that manifests may name files in."),
)  # fmt: skip


SWITCHES = frozenset(
    name for name, field in ForecastSpec.model_fields.items() if field.annotation in (bool, bool | None)
)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a pipeline's run."""
    for name, metavar, text in RUN_OPTIONS:
        parser.add_argument(f"--{name}", metavar=metavar, default=None, help=text)
    add_model_arguments(parser, ForecastSpec)
    add_model_arguments(parser, Limits)


def add_model_arguments(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Declare an option for each field of a model; values stay text, for the model to validate."""
    for name, field in model.model_fields.items():
        switch = name in SWITCHES
        text = f"{field.description}{_default(field.default)}".replace("%", "%%")
        parser.add_argument(f"--{name}", metavar=_metavar(name, switch), default=None, help=text)


def _metavar(name: str, switch: bool) -> str:
    return "true|false" if switch else name.rsplit("_", 1)[-1].upper()


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined or value == ():
        return ""
    shown = ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)
    return f" [{shown.lower() if isinstance(value, bool) else shown}]"


def spec_from(arguments: dict[str, Any]) -> tuple[ForecastSpec, Limits, list[str]]:
    """Return the spec and the limits among parsed arguments, and what is wrong with them, a line each."""
    problems: list[str] = []
    spec = _validated(ForecastSpec, arguments, problems)
    limits = _validated(Limits, arguments, problems)
    return spec or ForecastSpec(), limits or Limits(), problems


def _validated(model: type[M], arguments: dict[str, Any], problems: list[str]) -> M | None:
    given = {name: arguments[name] for name in model.model_fields if arguments.get(name) is not None}
    try:
        return model(**given)
    except ValidationError as error:
        problems += option_errors(list(error.errors()))
        wrong = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
        # fields are held against each other only when each is right: so look again without the wrong ones
        if wrong & set(given):
            _validated(model, {name: value for name, value in given.items() if name not in wrong}, problems)
        return None


def settings_from(arguments: dict[str, Any], inputs: list[str], known_problems: Sequence[str] = ()) -> Settings:
    """Return validated settings.

    Args:
        arguments: parsed options by name.
        inputs: patterns.
        known_problems: what is wrong already, a line each.

    Raises:
        OptionsError: with a line for each thing that is wrong.
    """
    spec, limits, problems = spec_from(arguments)
    problems = [*known_problems, *problems]
    output = arguments.get("output")
    if not output:
        problems.append("--output: is missing; name a folder for the forecasts")
    if not inputs:
        problems.append("--input: is missing; name files, for example --input='in/*.csv'")
    for option, paths in (("input", inputs), ("output", [output] if output else [])):
        remote = [path for path in paths if "://" in path]
        problems += [f"--{option}: {path} is not a local path; buckets are not supported yet" for path in remote]
    files: list[InputFile] = []
    if not any("://" in path for path in [*inputs, output or ""]):
        folder = Path(output or "forecasts")
        files, more = list_inputs(inputs, folder)
        problems += more
    if not problems:
        try:
            Path(output or "").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problems.append(f"--output: {output} cannot be made: {error.strerror}")
    if problems:
        raise OptionsError(problems)
    # workers may have another working folder
    folders = {name: getattr(spec, name) for name in OPERATORS_FIELDS}
    spec = spec.model_copy(update={name: str(Path(path).absolute()) for name, path in folders.items() if path})
    allow = tuple(part.strip() for part in (arguments.get("allow") or "").split(",") if part.strip())
    return Settings(tuple(files), Path(output or ""), spec, limits, tuple(allowed_folders(inputs, allow)))


def unknown_options(unknown: list[str], known: list[str]) -> list[str]:
    """Return a line for each argument that no option takes, with the nearest that exists."""
    lines = []
    for argument in unknown:
        name = argument.split("=")[0]
        if not argument.startswith("-"):
            lines.append(f"{argument}: is one argument too many")
            continue
        near = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        lines.append(f"{name}: there is no such option{meant}")
    return lines


def with_underscores(argv: list[str]) -> list[str]:
    """Return arguments with --some-option written as --some_option, and switches with their value.

    What follows `--` is left as it is.
    """
    result: list[str] = []
    for position, argument in enumerate(argv):
        if argument == "--":
            return [*result, *argv[position:]]
        name, mark, value = argument.partition("=")
        if re.fullmatch(r"--[A-Za-z][\w-]*", name):  # and not a comment in SQL
            name = "--" + name[2:].replace("-", "_")
        if name[2:] in SWITCHES and not mark:
            mark, value = "=", "true"
        result.append(name + mark + value)
    return result
