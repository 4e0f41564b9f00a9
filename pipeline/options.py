"""Options, for the pipeline and the command line alike: declared once, validated all at once."""

from __future__ import annotations

import argparse
import difflib
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from pipeline.core.forecast_spec import ForecastSpec, option_errors
from pipeline.core.limits import Limits
from pipeline.core.requests.local_files import OPERATORS_FIELDS, InputFile, allowed_folders, list_inputs
from pipeline.core.requests.messages import Rules
from pipeline.core.requests.uris import folder_prefix, is_uri
from pipeline.core.spec_limits import LIMIT_OF_CODE, refuse_costly
from pipeline.places import Destination

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
        files: the local files to forecast.
        output: the local folder for the forecasts.
        spec: how to forecast.
        limits: what a file may cost.
        allowed: local folders that manifests may name files in.
        history: whether to write the values from which forecasts are made.
        bucket: where the forecasts go instead, if it is a bucket.
        objects: patterns of objects to forecast, once.
        subscription: where notifications and manifests come from, for as long as the pipeline runs.
        prefixes: prefixes that objects must lie below.
        output_topic: where receipts are published.
        expiration_days: after how many days BigQuery drops a partition of a table that is made here.
        run: what tells this run from others, if its folder is to note what it has done.
    """

    files: tuple[InputFile, ...]
    output: Path
    spec: ForecastSpec
    limits: Limits
    allowed: tuple[Path, ...]
    history: bool = False
    bucket: Destination | None = None
    objects: tuple[str, ...] = ()
    subscription: str = ""
    prefixes: tuple[str, ...] = ()
    output_topic: str = ""
    expiration_days: int | None = None
    run: str = ""

    @property
    def destination(self) -> Destination:
        """Where the forecasts go."""
        return self.bucket or Destination(str(self.output.absolute()), history=self.history, run=self.run)

    @property
    def rules(self) -> Rules:
        """What may be read from buckets, and how it is forecast."""
        return Rules(self.spec.to_json(), self.prefixes, self.destination.path)


# Options of a run that are neither the forecast's nor a limit: name, metavar, help.
RUN_OPTIONS = (
    ("input", "PATTERN", "Files to forecast, once: a path or a pattern such as 'in/*.csv', 'in/**/*.csv' or "
     "'gs://bucket/in/*.csv'. Files named *.manifest.json are read as manifests."),
    ("input_subscription", "SUBSCRIPTION", "Instead of --input, for as long as the pipeline runs: the Pub/Sub "
     "subscription (projects/PROJECT/subscriptions/NAME) to a bucket's notifications, and to manifests."),
    ("output", "DIR", "Folder, or gs://bucket/prefix, for the forecasts; receipts, dead letters and tables lie in "
     "_dropcast below it."),
    ("allow", "DIR,...", "Further folders that manifests may name files in. In buckets: the prefixes that all "
     "inputs must lie below."),
    ("dataset", "PROJECT.DATASET", "BigQuery dataset for the tables, if the output is a bucket. Tables and views "
     "that are absent are made."),
    ("history", "true|false", "Whether to write the values from which forecasts are made to the table history, so "
     "that both can be drawn together. [false]"),
    ("partition_expiration_days", "DAYS", "After how many days BigQuery drops the partitions of tables that are "
     "made. Default: never."),
    ("output_topic", "TOPIC", "Pub/Sub topic (projects/PROJECT/topics/NAME) to which each receipt is published."),
)  # fmt: skip
FORMS = {
    "input_subscription": r"projects/[^/]+/subscriptions/[^/]+",
    "output_topic": r"projects/[^/]+/topics/[^/]+",
    "topic": r"projects/[^/]+/topics/[^/]+",
    "history": "true|false",
    "dataset": r"[a-z0-9-]+[.:]\w+",
    "partition_expiration_days": r"[1-9]\d{0,4}",
}
FORM_HINTS = {
    "input_subscription": "projects/PROJECT/subscriptions/NAME",
    "output_topic": "projects/PROJECT/topics/NAME",
    "topic": "projects/PROJECT/topics/NAME",
    "dataset": "PROJECT.DATASET",
    "history": "true or false",
    "partition_expiration_days": "a whole number of days",
}


SWITCHES = frozenset(
    {"history"} | {name for name, field in ForecastSpec.model_fields.items() if field.annotation in (bool, bool | None)}
)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a pipeline's run."""
    for name, metavar, text in RUN_OPTIONS:
        parser.add_argument(f"--{name}", metavar=metavar, default=None, help=text)
    add_model_arguments(parser, ForecastSpec)
    add_model_arguments(parser, Limits)


# What an option is about, in help and in the template's form.
_CSV = ("date_column", "value_column", "id_columns", "encoding", "delimiter", "decimal", "thousands", "missing_values",
        "date_format", "timezone", "skip_rows", "skip_footer", "header", "duplicates",
        "aggregate", "aggregation", "fill_missing", "frequency")  # fmt: skip
_FORECAST = ("horizon", "level", "engine", "forecast_lower_bound", "forecast_upper_bound", "components", "score")
GROUPS = {"Forecast": "what is forecast", "CSV": "how the CSV is read", "Model": "Prophet's model", "Limits": "limits"}


def group_of(name: str) -> str:
    """Return the key in GROUPS of an option of a forecast or a limit."""
    if name in Limits.model_fields:
        return "Limits"
    return "CSV" if name in _CSV else "Forecast" if name in _FORECAST else "Model"


def add_model_arguments(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Declare an option for each field of a model; values stay text, for the model to validate."""
    groups = {}
    for name in sorted(model.model_fields, key=lambda name: list(GROUPS).index(group_of(name))):
        title, field, switch = GROUPS[group_of(name)], model.model_fields[name], name in SWITCHES
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        text = f"{field.description}{_default(field.default)}".replace("%", "%%")
        words = ["true", "false"] if switch else choices_of(field.annotation)
        metavar = "|".join(words) if words else name.rsplit("_", 1)[-1].upper()
        groups[title].add_argument(f"--{name}", metavar=metavar, default=None, help=text)


def choices_of(annotation: Any) -> list[str]:
    """Return the words that an option takes, if it takes only some."""
    if typing.get_origin(annotation) is Literal:
        return [str(choice) for choice in typing.get_args(annotation)]
    inner = [argument for argument in typing.get_args(annotation) if argument is not type(None)]
    return choices_of(inner[0]) if len(inner) == 1 and type(None) in typing.get_args(annotation) else []


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
    refused = refuse_costly(spec, limits) if spec is not None and limits is not None else None
    if refused is not None:
        problems.append(f"--{LIMIT_OF_CODE[refused.code]}: {refused.message} {refused.hint}")
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
    if arguments.get("input_subscription") or any("://" in path for path in [*inputs, output or ""]):
        return _bucket_settings(arguments, inputs, spec, limits, problems)
    problems += wrong_forms(arguments)
    problems += [
        f"--{name}: is for forecasts in a bucket (--output=gs://bucket/prefix)"
        for name in ("dataset", "partition_expiration_days", "output_topic")
        if arguments.get(name)
    ]
    if not output:
        problems.append("--output: is missing; name a folder for the forecasts")
    if not inputs:
        problems.append("--input: is missing; name files, for example --input='in/*.csv'")
    files, more = list_inputs(inputs, Path(output or "forecasts"))
    problems += more
    if not problems:
        try:
            Path(output or "").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problems.append(f"--output: {output} cannot be made: {error.strerror}")
    if problems:
        raise OptionsError(problems)
    spec = with_absolute_folders(spec)
    allow = tuple(part.strip() for part in (arguments.get("allow") or "").split(",") if part.strip())
    history = _history(arguments)
    return Settings(tuple(files), Path(output or ""), spec, limits, tuple(allowed_folders(inputs, allow)), history)


def with_absolute_folders(spec: ForecastSpec) -> ForecastSpec:
    """Return a spec for workers that may have another working folder."""
    folders = {name: getattr(spec, name) for name in OPERATORS_FIELDS}
    return spec.model_copy(update={name: str(Path(path).absolute()) for name, path in folders.items() if path})


def _history(arguments: dict[str, Any]) -> bool:
    return arguments.get("history") in (True, "true")


def wrong_forms(arguments: dict[str, Any]) -> list[str]:
    """Return a line for each option whose text has the wrong form."""
    values = ((name, arguments.get(name)) for name in FORMS)
    return [
        f"--{name}: must be {FORM_HINTS[name]} (given: {value!r})"
        for name, value in values
        if value and not re.fullmatch(FORMS[name], str(value))
    ]


def _bucket_settings(
    arguments: dict[str, Any], inputs: list[str], spec: ForecastSpec, limits: Limits, problems: list[str]
) -> Settings:
    """Return settings for a run between buckets.

    Raises:
        OptionsError: with a line for each thing that is wrong.
    """
    output, subscription = arguments.get("output") or "", arguments.get("input_subscription") or ""
    allow = tuple(part.strip() for part in (arguments.get("allow") or "").split(",") if part.strip())
    if bool(subscription) == bool(inputs):
        problems.append("--input_subscription: give either this or --input")
    if not is_uri(output):
        problems.append("--output: must be gs://bucket/prefix if the inputs are in buckets")
    for name, paths in (("input", inputs), ("output", [output]), ("allow", allow)):
        problems += [
            f"--{name}: {path} is not gs://bucket/name"
            for path in paths
            if path and not re.match(r"gs://[^/*?]+", path)
        ]
    problems += wrong_forms(arguments)
    problems += [f"--{name}: is for local runs so far" for name in OPERATORS_FIELDS if getattr(spec, name)]
    for pattern in inputs:
        fixed = re.split(r"[*?\[]", pattern)[0]
        if is_uri(output) and (fixed.startswith(folder_prefix(output)) or folder_prefix(output).startswith(fixed)):
            problems.append(f"--output: forecasts in {output} would be read as inputs of {pattern}; choose another")
    if problems:
        raise OptionsError(problems)
    days = arguments.get("partition_expiration_days")
    return Settings(
        (),
        Path(),
        spec,
        limits,
        (),
        bucket=Destination(
            output, (arguments.get("dataset") or "").replace(":", "."), not subscription, _history(arguments)
        ),
        objects=tuple(inputs),
        subscription=subscription,
        prefixes=allow,
        output_topic=arguments.get("output_topic") or "",
        expiration_days=int(days) if days else None,
    )


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
