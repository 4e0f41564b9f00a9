"""Options of the pipeline and the command line: declared once, validated together."""

from __future__ import annotations

import argparse
import difflib
import re
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.core.forecast_spec import ForecastSpec, option_errors
from pipeline.core.limits import Limits
from pipeline.core.range_sizes import FEWEST_RANGES, LEAST_RANGE_BYTES, MOST_RANGE_BYTES, RANGE_BYTES
from pipeline.core.spec_limits import LIMIT_OF_CODE, refuse_costly
from pipeline.kafka_topic import IN_KAFKA

M = TypeVar("M", bound=BaseModel)


class OptionsError(Exception):
    """Options are invalid; `lines` has one line per problem, beginning with the option's name."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def _of_form(form: str, shown: str) -> Callable[[str], str]:
    """Return a validator that a text matches a regular expression, which messages show as `shown`."""

    def check(text: str) -> str:
        if not re.fullmatch(form, text):
            raise ValueError(f"must be {shown}")
        return text

    return check


SUBSCRIPTION, TOPIC = r"projects/[^/]+/subscriptions/[^/]+", r"projects/[^/]+/topics/[^/]+"
_BROKER = r"(?:[\w.-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}"
KAFKA = rf"{_BROKER}(?:,{_BROKER})*/[\w.-]+"
DATASET, DAYS, OBJECTS = r"[a-z0-9-]+[.:]\w+", r"[1-9]\d{0,4}", r"gs://[^/]+(/.*)?"
INPUTS = rf"{OBJECTS}|bigquery:[a-z0-9-]+\.\w+\.[\w -]+"


def _no_small_range(size: int) -> int:
    if size and not LEAST_RANGE_BYTES <= size <= MOST_RANGE_BYTES:
        raise ValueError(f"must be 0, or from {LEAST_RANGE_BYTES} to {MOST_RANGE_BYTES}")
    return size


Subscription = Annotated[str, AfterValidator(_of_form(SUBSCRIPTION, "projects/PROJECT/subscriptions/NAME"))]
KafkaPlace = Annotated[str, AfterValidator(_of_form(KAFKA, "HOST:PORT,.../TOPIC"))]
Topic = Annotated[
    str,
    AfterValidator(
        _of_form(f"{TOPIC}|{IN_KAFKA}{KAFKA}", f"projects/PROJECT/topics/NAME, or {IN_KAFKA}HOST:PORT,.../TOPIC")
    ),
]
Dataset = Annotated[
    str, AfterValidator(_of_form(DATASET, "PROJECT.DATASET")), AfterValidator(lambda text: text.replace(":", "."))
]


def _parts(value: object) -> object:
    """Return the comma-separated parts of a text; anything else unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Places = Annotated[tuple[str, ...], BeforeValidator(_parts)]


def _option(metavar: str, group: str, text: str, kind: str = "TEXT", **more: Any) -> Any:
    """Return the field for an option of a run.

    Args:
        metavar: placeholder for its value in help.
        group: heading under which the template's form shows it.
        text: description.
        kind: its type in the template, one of Dataflow's ParameterType.
        more: `default`; `form`, a regular expression that the template's form checks; `only`, the only template that
            has it; `required`, whether the templates require it.
    """
    extra = {"metavar": metavar, "group": group, "kind": kind, **more}
    return Field(extra.pop("default", None), description=text, json_schema_extra=extra)


class RunOptions(BaseModel):
    """Options of a run that are neither the forecast's nor limits: where it reads and writes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input: str | None = _option(
        "PATTERN", "Source",
        "Files to forecast, once, CSV or Parquet: a path or a pattern such as 'in/*.csv', 'in/**/*.csv' or "
        "'gs://bucket/in/*.csv'; or a table, bigquery:PROJECT.DATASET.TABLE. Files named *.manifest.json are read as "
        "manifests.",
        form=INPUTS, only="batch", required=True)  # fmt: skip
    input_subscription: Subscription | None = _option(
        "SUBSCRIPTION", "Source",
        "Instead of --input, for a pipeline that keeps running: the Pub/Sub subscription "
        "(projects/PROJECT/subscriptions/NAME) that receives a bucket's notifications and manifests.",
        "PUBSUB_SUBSCRIPTION", form=SUBSCRIPTION, only="streaming", required=True)  # fmt: skip
    input_kafka: KafkaPlace | None = _option(
        "BROKERS/TOPIC", "Source",
        "Instead of --input_subscription: the Kafka topic that receives notifications and manifests, as "
        "HOST:PORT,.../TOPIC. Not on Dataflow.",
        form=KAFKA, only="elsewhere")  # fmt: skip
    kafka_properties: str | None = _option(
        "FILE", "Source",
        "File with more settings of the Kafka client, such as for TLS and SASL: lines NAME=VALUE with librdkafka's "
        "names.",
        only="elsewhere")  # fmt: skip
    watch: bool = _option(
        "true|false", "Source",
        "Whether to keep running, and forecast what arrives in the folder of --input, on a cluster whose workers share "
        "it, such as Flink's. On one machine `dropcast watch` does so.",
        "BOOLEAN", default=False, only="elsewhere")  # fmt: skip
    output: str | None = _option(
        "DIR", "Destination",
        "Folder, or gs://bucket/prefix, for the forecasts; receipts, dead letters and tables go to _dropcast in it.",
        "GCS_WRITE_FOLDER", form=OBJECTS, required=True)  # fmt: skip
    allow: Places = _option(
        "DIR,...", "Source",
        "More folders in which manifests may name files. In buckets: the prefixes that all inputs must be below. With "
        "bigquery:PROJECT.DATASET, manifests may name the dataset's tables, and queries of them.",
        default=())  # fmt: skip
    dataset: Dataset | None = _option(
        "PROJECT.DATASET", "Destination",
        "BigQuery dataset for the tables, if the output is a bucket. Missing tables and views are created.",
        form=DATASET)  # fmt: skip
    history: bool = _option(
        "true|false", "Destination",
        "Whether to also write the input values to the table history, so that they can be drawn together with the "
        "forecasts.",
        "BOOLEAN", default=False)  # fmt: skip
    partition_expiration_days: Annotated[int, Field(ge=1, le=99_999)] | None = _option(
        "DAYS", "Destination",
        "Days after which BigQuery drops the partitions of tables that are created. Default: never.",
        "NUMBER", form=DAYS)  # fmt: skip
    range_bytes: Annotated[int, AfterValidator(_no_small_range)] | None = _option(
        "BYTES", "Source",
        "Size of the ranges in which several workers read one large file at the same time; 0 for never. It has to be "
        f"a CSV in UTF-8, uncompressed, of more than {FEWEST_RANGES} ranges. Default: {RANGE_BYTES}, and 0 with "
        "DirectRunner.",
        "NUMBER", form=r"0|[1-9]\d{6,9}")  # fmt: skip
    output_topic: Topic | None = _option(
        "TOPIC", "Destination",
        "Pub/Sub topic (projects/PROJECT/topics/NAME) to which each receipt is published; not on Dataflow also a Kafka "
        "topic (kafka:HOST:PORT,.../TOPIC).",
        "PUBSUB_TOPIC", form=TOPIC)  # fmt: skip


SWITCHES = frozenset(
    name
    for model in (RunOptions, ForecastSpec)
    for name, field in model.model_fields.items()
    if field.annotation in (bool, bool | None)
)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a pipeline's run."""
    for model in (RunOptions, ForecastSpec, Limits):
        add_model_arguments(parser, model)


# The groups of options in help and in the template's form, and the options of a forecast in each.
GROUPS = {
    "": "",
    "Forecast": "what is forecast",
    "CSV": "how the CSV is read",
    "Model": "Prophet's model",
    "Limits": "limits",
}
OPTIONS_IN_GROUP = {
    "Forecast": (
        "horizon", "level", "quantiles", "model", "engine", "forecast_lower_bound", "forecast_upper_bound",
        "components", "score", "hint", "feed",
    ),
    "CSV": (
        "date_column", "value_column", "id_columns", "encoding", "delimiter", "decimal", "thousands",
        "missing_values", "date_format", "timezone", "skip_rows", "skip_footer", "header", "duplicates",
        "aggregate", "aggregation", "fill_missing", "frequency",
    ),
    "Model": (
        "growth", "cap", "floor", "n_changepoints", "changepoints", "changepoint_range", "changepoint_prior_scale",
        "yearly_seasonality", "weekly_seasonality", "daily_seasonality", "seasonality_mode",
        "seasonality_prior_scale", "seasonalities", "holidays", "country_holidays", "holidays_prior_scale",
        "holidays_mode", "regressors", "scaling", "uncertainty_samples", "mcmc_samples", "save_models", "models",
    ),
}  # fmt: skip


def group_of(name: str) -> str:
    """Return an option's key in GROUPS; "" for the options of a run and of commands."""
    if name in Limits.model_fields:
        return "Limits"
    return next((group for group, names in OPTIONS_IN_GROUP.items() if name in names), "")


def add_model_arguments(
    parser: argparse.ArgumentParser, model: type[BaseModel], names: Sequence[str] | None = None
) -> None:
    """Declare an option for each field of a model; values remain text, which the model validates.

    Args:
        parser: of a command.
        model: RunOptions, ForecastSpec, Limits or the like.
        names: of the fields to declare; by default all.
    """
    groups: dict[str, Any] = {"": parser}
    chosen = model.model_fields if names is None else names
    for name in sorted(chosen, key=lambda name: list(GROUPS).index(group_of(name))):
        title, field, switch = GROUPS[group_of(name)], model.model_fields[name], name in SWITCHES
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        text = f"{field.description}{_default(field.default)}".replace("%", "%%")
        words = ["true", "false"] if switch else choices_of(field.annotation)
        metavar = str(extra_of(field).get("metavar", name.rsplit("_", 1)[-1].upper()))
        groups[title].add_argument(f"--{name}", metavar="|".join(words) or metavar, default=None, help=text)


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """Return a field's extra information, besides its type and description."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def choices_of(annotation: Any) -> list[str]:
    """Return the values that an option accepts, if they are a fixed set."""
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
    """Return the spec and the limits from parsed arguments, and their problems, one line each."""
    problems: list[str] = []
    spec = validated(ForecastSpec, arguments, problems)
    limits = validated(Limits, arguments, problems)
    refused = refuse_costly(spec, limits) if spec is not None and limits is not None else None
    if refused is not None:
        problems.append(f"--{LIMIT_OF_CODE[refused.code]}: {refused.message} {refused.hint}")
    return spec or ForecastSpec(), limits or Limits(), problems


def validated(model: type[M], arguments: dict[str, Any], problems: list[str]) -> M | None:
    """Return a model from parsed arguments; None if one is invalid, with one line per problem in `problems`."""
    given = {name: arguments[name] for name in model.model_fields if arguments.get(name) is not None}
    try:
        return model(**given)
    except ValidationError as error:
        problems += option_errors(list(error.errors()))
        wrong = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
        # fields are checked against each other only if each is valid, so check again without the invalid ones
        if wrong & set(given):
            validated(model, {name: value for name, value in given.items() if name not in wrong}, problems)
        return None


def unknown_options(unknown: list[str], known: list[str]) -> list[str]:
    """Return one line per unknown argument, with the closest known option."""
    lines = []
    for argument in unknown:
        name = argument.split("=")[0]
        if not argument.startswith("-"):
            lines.append(f"{argument}: unexpected argument")
            continue
        near = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        lines.append(f"{name}: unknown option{meant}")
    return lines


def with_underscores(argv: list[str]) -> list[str]:
    """Return arguments with --some-option written as --some_option, and switches with their value.

    Arguments after `--` are unchanged.
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
