"""What replay and reconcile have in common: requests are sent to the pipeline's topic, or done here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.commands import OptionsError, add_model_arguments
from pipeline.core.elements import Request
from pipeline.core.errors import DoneError
from pipeline.core.plain_text import printable
from pipeline.core.process_request import process
from pipeline.core.requests.names import INTERNAL
from pipeline.core.requests.uris import is_uri
from pipeline.destination import Destination
from pipeline.kafka_topic import topic_named
from pipeline.options import Dataset, Topic, spec_from, validated
from pipeline.places import open_output
from pipeline.terminal import say


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_moment(text: str) -> str:
    try:
        _moment(text)
    except ValueError:
        raise ValueError("must be a time such as 2026-01-31 or 2026-01-31T06:00") from None
    return text


Moment = Annotated[str, AfterValidator(_is_moment)]


class SendOptions(BaseModel):
    """Options of the commands that send requests, or do them here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: Topic | None = Field(
        None,
        description="send to the pipeline's topic: projects/PROJECT/topics/NAME, or kafka:HOST:PORT,.../TOPIC",
        json_schema_extra={"metavar": "TOPIC"},
    )
    kafka_properties: str | None = Field(
        None,
        description="file with more settings of the Kafka client: lines NAME=VALUE with librdkafka's names",
        json_schema_extra={"metavar": "FILE"},
    )
    dataset: Dataset | None = Field(
        None, description="without --topic: the tables to write to", json_schema_extra={"metavar": "PROJECT.DATASET"}
    )
    since: Moment | None = Field(
        None,
        description="only what was created at or after this time, such as 2026-01-31",
        json_schema_extra={"metavar": "TIME"},
    )
    until: Moment | None = Field(
        None, description="only what was created before this time", json_schema_extra={"metavar": "TIME"}
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of both commands."""
    parser.add_argument("--output", metavar="PLACE", help="where the forecasts are: a folder, or gs://bucket/prefix")
    add_model_arguments(parser, SendOptions)
    parser.add_argument("--dry_run", action="store_true", help="show what would be done, without doing it")


def checked(arguments: dict[str, Any]) -> str:
    """Return the output.

    Raises:
        OptionsError: if nothing was forecast there, an option is invalid, or Google's clients are not installed.
    """
    output = arguments["output"] or ""
    if not is_uri(output) and not (Path(output) / INTERNAL).is_dir():
        where = f"nothing was forecast into {output}" if output else "is missing"
        raise OptionsError([f"--output: {where}; name the output of a run, a folder or gs://bucket/prefix"])
    problems: list[str] = []
    validated(SendOptions, arguments, problems)
    problems += [
        f"--{name}: works only with buckets" for name in ("topic", "dataset") if arguments[name] and not is_uri(output)
    ]
    if problems:
        raise OptionsError(problems)
    if is_uri(output):
        needs_clients()
    return str(output)


def send_to_topic(arguments: dict[str, Any], message: tuple[bytes, dict[str, str]]) -> None:
    """Send a message to the topic that options name."""
    from pipeline.cloud.topics import publish

    publish(topic_named(arguments["topic"], arguments["kafka_properties"] or ""), [message])


def needs_clients() -> None:
    """Do nothing if Google's clients are installed.

    Raises:
        OptionsError: if they are not.
    """
    try:
        import google.cloud.storage  # noqa: F401
    except ModuleNotFoundError as error:
        raise OptionsError([f"buckets need Google's clients: pip install '.[gcp]' in a clone ({error})"]) from None


def within(time: str, arguments: dict[str, Any]) -> bool:
    """Return whether a time, as text in UTC, is between --since and --until."""
    since, until = arguments["since"], arguments["until"]
    return (not since or _moment(time) >= _moment(since)) and (not until or _moment(time) < _moment(until))


@dataclass(frozen=True)
class Sending:
    """A request to be made.

    Attributes:
        request: the request.
        message: payload and attributes of the message that asks the pipeline for it; None in a folder.
        then: called once it is sent.
    """

    request: Request
    message: tuple[bytes, dict[str, str]] | None
    then: Callable[[], None] = lambda: None


def destination_of(arguments: dict[str, Any], output: str) -> Destination:
    """Return where a command writes to."""
    return Destination(output, (arguments["dataset"] or "").replace(":", "."), False)


def _make_tables(dataset: str) -> None:
    """Make tables that are absent: the command may be the first that writes to the dataset."""
    from pipeline.cloud.tables import Tables

    problems = Tables(dataset).prepare(None)
    if problems:
        raise OptionsError(problems)


def carry_out(sendings: Iterable[Sending], arguments: dict[str, Any], output: str) -> tuple[int, int]:
    """Send requests, or do them here; return how many, and how many of these failed here.

    Args:
        sendings: the requests.
        arguments: of the command.
        output: the pipeline's output.
    """
    _, limits, problems = spec_from(arguments)
    if problems:
        raise OptionsError(problems)
    destination = destination_of(arguments, output)
    if destination.dataset and not arguments["dry_run"]:
        _make_tables(destination.dataset)
    done = failed = 0
    place = open_output(destination)
    with place.for_us_alone():
        for sending in sendings:
            request = sending.request
            if arguments["dry_run"]:
                say(printable(f"  would request {request.source}#{request.version} -> {request.output}"))
            elif arguments["topic"]:
                assert sending.message is not None
                send_to_topic(arguments, sending.message)
                sending.then()
            else:
                try:
                    receipt, _ = process(request, limits, place)
                except DoneError:
                    continue  # by the pipeline, meanwhile
                failed += receipt.status == "failed"
                say(printable(f"  {receipt.status:<10} {request.source} {receipt.code}".rstrip()))
                sending.then()
            done += 1
    return done, failed
