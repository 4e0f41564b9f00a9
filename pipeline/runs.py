"""A validated run: local files forecast into a folder, or objects into a bucket."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.requests import bigquery_sources
from pipeline.core.requests.bigquery_sources import is_table
from pipeline.core.requests.local_files import OPERATORS_FIELDS, InputFile, allowed_folders, list_inputs
from pipeline.core.requests.messages import Rules
from pipeline.core.requests.names import feeds_itself, real_path
from pipeline.core.requests.uris import folder_prefix, is_uri
from pipeline.destination import Destination
from pipeline.kafka_topic import IN_KAFKA, KafkaTopic, Topic, topic_named
from pipeline.options import OptionsError, RunOptions, spec_from, validated


@dataclass(frozen=True)
class FolderRun:
    """Files of this machine, forecast into a folder.

    Attributes:
        files: the files to forecast.
        output: the folder for the forecasts.
        spec: how to forecast.
        limits: the operator's limits.
        allowed: folders in which manifests may name files.
        history: whether to also write the input values.
        id: id of this run, if its folder is to record what it has done.
        inbox: the folder whose files are forecast instead as they arrive, for as long as the pipeline runs.
        range_bytes: size of the ranges in which several workers read a large file; 0 for never.
    """

    files: tuple[InputFile, ...]
    output: Path
    spec: ForecastSpec
    limits: Limits
    allowed: tuple[Path, ...]
    history: bool = False
    id: str = ""
    inbox: Path | None = None
    range_bytes: int = 0

    @property
    def destination(self) -> Destination:
        """Where the forecasts go."""
        return Destination(str(self.output.absolute()), batch=self.inbox is None, history=self.history, run=self.id)

    @property
    def output_topic(self) -> Topic:
        """No topic: receipts of files are not published."""
        return ""


@dataclass(frozen=True)
class BucketRun:
    """Objects, forecast into a bucket.

    Attributes:
        destination: where the forecasts go.
        spec: how to forecast.
        limits: the operator's limits.
        objects: patterns of objects to forecast, once.
        subscription: where notifications and manifests come from instead, for as long as the pipeline runs.
        kafka: the same, if it is a topic of Kafka.
        pulls: whether workers take messages themselves and acknowledge them when the ledger has what became of them.
        prefixes: prefixes that objects must be below.
        output_topic: where receipts are published, a topic of Pub/Sub or Kafka; "" for nowhere.
        expiration_days: after how many days BigQuery drops a partition of a table that is created.
        range_bytes: size of the ranges in which several workers read a large file; 0 for never.
    """

    destination: Destination
    spec: ForecastSpec
    limits: Limits
    objects: tuple[str, ...] = ()
    subscription: str = ""
    kafka: KafkaTopic | None = None
    pulls: bool = False
    prefixes: tuple[str, ...] = ()
    output_topic: Topic = ""
    expiration_days: int | None = None
    range_bytes: int = 0

    @property
    def streams(self) -> bool:
        """Whether it reads messages, for as long as it runs."""
        return bool(self.subscription) or self.kafka is not None

    @property
    def rules(self) -> Rules:
        """What may be read from buckets, and how it is forecast."""
        named = tuple(filter(is_table, self.objects))  # what the operator names is allowed
        return Rules(self.spec.to_json(), (*self.prefixes, *named), self.destination.path)


Run = FolderRun | BucketRun


def run_from(
    arguments: dict[str, Any], inputs: Sequence[str], known_problems: Sequence[str] = (), inputs_name: str = "--input"
) -> Run:
    """Return what options ask for.

    Args:
        arguments: parsed options by name.
        inputs: patterns.
        known_problems: problems found so far, one line each.
        inputs_name: what the patterns are called where they are given.

    Raises:
        OptionsError: with a line for each thing that is wrong.
    """
    # an option that a template's form leaves empty is not given
    arguments = {name: value for name, value in arguments.items() if value != "" or name not in RunOptions.model_fields}
    spec, limits, problems = spec_from(arguments)
    problems = [*known_problems, *problems]
    options = validated(RunOptions, arguments, problems) or RunOptions(output=arguments.get("output"))
    if (
        arguments.get("input_subscription")
        or arguments.get("input_kafka")
        or any(is_place(path) for path in [*inputs, options.output or ""])
    ):
        problems += _bucket_problems(options, arguments, inputs, spec)
        if problems:
            raise OptionsError(problems)
        properties = options.kafka_properties or ""
        kafka = KafkaTopic.of(options.input_kafka, properties) if options.input_kafka else None
        return BucketRun(
            Destination(
                options.output or "",
                options.dataset or "",
                not options.input_subscription and kafka is None,
                options.history,
                readable=tuple(filter(is_table, options.allow)),
            ),
            spec,
            limits,
            objects=tuple(inputs),
            subscription=options.input_subscription or "",
            kafka=kafka,
            prefixes=options.allow,
            output_topic=topic_named(options.output_topic or "", properties),
            expiration_days=options.partition_expiration_days,
            range_bytes=options.range_bytes or 0,
        )
    problems += _folder_problems(options, arguments, inputs, inputs_name)
    files: list[InputFile] = []
    if options.watch:
        problems += [line for folder in inputs for line in inbox_problems(folder, options.output or "", inputs_name)]
    else:
        files, more = list_inputs(list(inputs), Path(options.output or "forecasts"), inputs_name)
        problems += more
    output = Path(options.output or "")
    if not problems:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problems.append(f"--output: {output} cannot be created: {error.strerror}")
    if problems:
        raise OptionsError(problems)
    if options.watch:
        return watching(Path(inputs[0]), output, spec, limits, options)
    return FolderRun(
        tuple(files),
        output,
        with_absolute_folders(spec),
        limits,
        tuple(allowed_folders(list(inputs), options.allow)),
        options.history,
        range_bytes=options.range_bytes or 0,
    )


def inbox_problems(inbox: str, output: str, inbox_name: str, output_name: str = "--output") -> list[str]:
    """Return why a folder cannot be watched.

    Args:
        inbox: the folder.
        output: where the forecasts go.
        inbox_name, output_name: what these are called where they are given.
    """
    if not Path(inbox).is_dir():
        return [f"{inbox_name}: {inbox} is not a folder; create it first"]
    if real_path(Path(inbox)).is_relative_to(real_path(Path(output))):
        return [f"{inbox_name}: {inbox} is inside {output}, where forecasts are written; choose another"]
    if feeds_itself(f"{inbox}/**/*", Path(output)):
        return [f"{output_name}: forecasts in {output} would be read again; choose a folder outside {inbox}"]
    return []


def watching(inbox: Path, output: Path, spec: ForecastSpec, limits: Limits, options: RunOptions) -> FolderRun:
    """Return the run for the files that arrive in a folder."""
    allowed = (inbox.absolute(), *(Path(folder) for folder in options.allow))
    absolute = with_absolute_folders(spec)
    return FolderRun(
        (),
        output,
        absolute,
        limits,
        allowed,
        options.history,
        inbox=inbox.absolute(),
        range_bytes=options.range_bytes or 0,
    )


def is_place(path: str) -> bool:
    """Return whether a path has a scheme, such as that of an object or a table."""
    return "://" in path or is_table(path)


def _folder_problems(
    options: RunOptions, arguments: dict[str, Any], inputs: Sequence[str], inputs_name: str
) -> list[str]:
    """Return the problems of the options of a local run."""
    problems = [
        f"--{name}: works only with forecasts in a bucket (--output=gs://bucket/prefix)"
        for name in ("dataset", "partition_expiration_days", "output_topic", "kafka_properties")
        if arguments.get(name)
    ]
    if not options.output:
        problems.append("--output: is missing; name a folder for the forecasts")
    if not inputs:
        problems.append(f"{inputs_name}: is missing; name files, for example 'in/*.csv'")
    return problems


def _bucket_problems(
    options: RunOptions, arguments: dict[str, Any], inputs: Sequence[str], spec: ForecastSpec
) -> list[str]:
    """Return the problems of the options of a run between buckets."""
    output, problems = options.output or "", []
    sources = [name for name in ("input_subscription", "input_kafka") if arguments.get(name)]
    if len(sources) + bool(inputs) != 1:
        problems.append(f"--{sources[-1] if sources else 'input_subscription'}: use either this or --input"
                        f"{', and not both of them' if len(sources) > 1 else ''}")  # fmt: skip
    if options.kafka_properties and not (options.input_kafka or (options.output_topic or "").startswith(IN_KAFKA)):
        problems.append("--kafka_properties: works only with a topic of Kafka")
    if not is_uri(output):
        problems.append("--output: must be gs://bucket/prefix if the inputs are in buckets")
    for name, paths in (("input", inputs), ("output", [output]), ("allow", options.allow)):
        problems += [
            f"--{name}: {path} is not gs://bucket/name"
            for path in paths
            if path and not is_table(path) and not re.match(r"gs://[^/*?]+", path)
        ]
    problems += [
        f"--input: {path} does not name a table; name it as bigquery:PROJECT.DATASET.TABLE"
        for path in inputs
        if is_table(path) and path.count(".") != 2
    ]
    problems += [
        f"--allow: {place} is not bigquery:PROJECT.DATASET, nor a table in it"
        for place in options.allow
        if is_table(place) and not bigquery_sources.is_place(place)
    ]
    problems += [f"--{name}: works only in local runs so far" for name in OPERATORS_FIELDS if getattr(spec, name)]
    if options.watch:
        problems.append("--watch: is for folders; of buckets, read notifications with --input_subscription")
    for pattern in inputs:
        fixed = re.split(r"[*?\[]", pattern)[0]
        if is_uri(output) and (fixed.startswith(folder_prefix(output)) or folder_prefix(output).startswith(fixed)):
            problems.append(f"--output: forecasts in {output} would be read as inputs of {pattern}; choose another")
    return problems


def with_absolute_folders(spec: ForecastSpec) -> ForecastSpec:
    """Return a spec with absolute paths, for workers that may have another working folder."""
    folders = {name: getattr(spec, name) for name in OPERATORS_FIELDS}
    return spec.model_copy(update={name: str(Path(path).absolute()) for name, path in folders.items() if path})
