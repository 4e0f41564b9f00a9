"""Pub/Sub messages: Cloud Storage's notifications of objects, and manifests.

The attributes of a notification are those of Cloud Storage's documentation ("Pub/Sub notifications for Cloud
Storage"); they suffice without a payload.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import CODES, IgnoredError, RecordError
from pipeline.core.forecast_spec import ForecastSpec, option_errors
from pipeline.core.request_key import canonical_json
from pipeline.core.requests.bigquery_sources import (
    SCHEME,
    Table,
    is_allowed,
    is_query,
    is_table,
    milliseconds_of,
    table_named,
)
from pipeline.core.requests.local_files import OPERATORS_FIELDS, UNREAD, Manifest, manifest_fields
from pipeline.core.requests.names import INTERNAL, MANIFEST_SUFFIX, checked_output_name, forecast_name
from pipeline.core.requests.uris import folder_prefix, is_uri, joined, lies_below, split_uri, uri_of

FINALIZE = "OBJECT_FINALIZE"
TABLE = "dropcastTable"  # the attribute of a message about a table of BigQuery
CREATED = "dropcastTimeCreated"  # the attribute of our own messages for what a bucket has in the payload
RESENT = "DROPCAST_REQUEST"  # the payload format of a request that a replay sends
_MARKERS = ("/", "_$folder$")  # names of objects that stand for folders
_GENERATION = re.compile("[1-9][0-9]{0,17}")
_BUCKET = re.compile("[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
LONGEST_NAME = 1024  # bytes of an object's name, as Cloud Storage allows
_TABLES = (".csv", ".gz", ".tsv", ".txt", ".parquet")


@dataclass(frozen=True)
class Message:
    """A message as it arrived.

    Attributes:
        data: its payload.
        attributes: its attributes.
        message_id: Pub/Sub's id.
        publish_time: when it was published, RFC 3339 in UTC.
    """

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    publish_time: str


@dataclass(frozen=True)
class ObjectVersion:
    """One generation of an object, or a table of BigQuery at one time.

    Attributes:
        uri: gs://bucket/name, or bigquery:PROJECT.DATASET.TABLE.
        generation: its number, as text; of a table the time of its last change, in milliseconds since 1970.
        time: when it was created or changed, RFC 3339 in UTC.
    """

    uri: str
    generation: str
    time: str

    @property
    def is_manifest(self) -> bool:
        """Whether the object is a manifest."""
        return self.uri.endswith(MANIFEST_SUFFIX)

    @property
    def own_output(self) -> str:
        """The name of its forecast, unless another one is asked for."""
        if is_table(self.uri):
            return f"{self.uri.removeprefix(SCHEME)}.csv"
        return forecast_name(split_uri(self.uri)[1])


@dataclass(frozen=True)
class Rules:
    """What may be read and written.

    Attributes:
        spec: the operator's options as canonical JSON.
        allowed: prefixes that objects must be below (if there are none, any object with a notification, and for a
            manifest the objects beside it), and datasets and tables of BigQuery that may be read.
        output: the output prefix, from which nothing is read.
    """

    spec: str
    allowed: tuple[str, ...]
    output: str

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Those of objects."""
        return tuple(place for place in self.allowed if is_uri(place))


def notified_object(message: Message, rules: Rules) -> ObjectVersion | None:
    """Return the object that a notification is about; None if the message is not a notification.

    Raises:
        IgnoredError: if it is of no concern.
        RecordError: BAD_MESSAGE.
    """
    attributes = message.attributes
    if TABLE in attributes:
        return _notified_table(message, rules)
    if "eventType" not in attributes or "bucketId" not in attributes:
        return None
    if attributes["eventType"] != FINALIZE:
        raise IgnoredError("event")
    name, generation = attributes.get("objectId", ""), attributes.get("objectGeneration", "")
    if not name or not _GENERATION.fullmatch(generation) or not _BUCKET.fullmatch(attributes["bucketId"]):
        raise RecordError(
            "BAD_MESSAGE",
            "The notification lacks a bucket, an object, or the object's generation.",
            "Let Cloud Storage itself send the notifications (gcloud storage buckets notifications create).",
            found=name or generation,
        )
    payload = _payload(message)
    uri = uri_of(attributes["bucketId"], name)
    if name.endswith(_MARKERS) or (str(payload.get("size")) == "0" and not name.lower().endswith(_TABLES)):
        raise IgnoredError("marker")
    if lies_below(uri, [rules.output]) or INTERNAL in name.split("/"):
        raise IgnoredError("output")
    if rules.prefixes and not lies_below(uri, rules.prefixes):
        raise IgnoredError("elsewhere")
    if is_query(uri) and attributes.get("payloadFormat") != RESENT:
        raise IgnoredError("query")  # only a manifest says when it is to be run
    time = _stated_creation(message) or attributes.get("eventTime") or message.publish_time
    return ObjectVersion(uri, generation, _utc(str(time), message.publish_time))


def states_creation(message: Message) -> bool:
    """Return whether a notification says when its object was created, not only when the event was."""
    return TABLE in message.attributes or bool(_stated_creation(message))


def stated_size(message: Message, source: str, version: str) -> int | None:
    """Return the bytes of a file, if the message is the notification about that very version of it and says so."""
    attributes = message.attributes
    size = str(_payload(message).get("size", ""))
    notified = uri_of(attributes.get("bucketId", ""), attributes.get("objectId", ""))
    own = (notified, attributes.get("objectGeneration")) == (source, version)
    return int(size) if own and size.isascii() and size.isdigit() else None


def _stated_creation(message: Message) -> str:
    return str(_payload(message).get("timeCreated") or message.attributes.get(CREATED, ""))


def _notified_table(message: Message, rules: Rules) -> ObjectVersion:
    source, version = message.attributes[TABLE], message.attributes.get("objectGeneration", "")
    try:
        table = table_named(source)
    except RecordError as error:
        raise RecordError("BAD_MESSAGE", error.message, error.hint, found=source) from None
    if not _GENERATION.fullmatch(version):
        raise RecordError("BAD_MESSAGE", "The message lacks the table's version.", "Send a manifest.", found=version)
    if not is_allowed(table, rules.allowed):
        raise _table_not_allowed(table)
    return ObjectVersion(source, version, _utc(message.attributes.get("eventTime", ""), message.publish_time))


def _table_not_allowed(table: Table) -> RecordError:
    return RecordError(
        "PATH_NOT_ALLOWED",
        f"The table {table.source} is not allowed.",
        f"Ask the operator to allow its dataset: --allow={SCHEME}{table.project}.{table.dataset}.",
        found=table.source,
    )


def request_of_object(version: ObjectVersion, message: Message, rules: Rules) -> Request:
    """Return the request for a file or a table; its forecast has its whole name, unless the request is resent.

    Raises:
        RecordError: BAD_MESSAGE.
    """
    if message.attributes.get("payloadFormat") != RESENT:
        name = _fitting(version.own_output, rules)
        return Request(version.uri, version.generation, version.time, name, rules.spec)
    try:
        asked = _Resent.model_validate_json(message.data)
        spec = ForecastSpec.from_json(rules.spec if asked.spec is None else asked.spec)
    except ValidationError as error:
        problem = "; ".join(option_errors(list(error.errors())))
        raise RecordError(
            "BAD_MESSAGE",
            f"The resent request is not valid: {problem}.",
            "Replay with the version of Dropcast that the pipeline runs.",
        ) from None
    if asked.spec is not None and any(getattr(spec, name) for name in OPERATORS_FIELDS):
        raise RecordError(
            "BAD_MESSAGE",
            "The request sets models or save_models, which only the operator may set.",
            "Leave out models and save_models.",
        )
    own = asked.output == version.own_output
    output = _fitting(asked.output if own else checked_output_name(asked.output), rules)
    return Request(version.uri, version.generation, version.time, output, spec.to_json(), asked.attempt, asked.id)


def _fitting(output: str, rules: Rules) -> str:
    """Return the name of a forecast.

    Raises:
        RecordError: PATH_NOT_ALLOWED if it is too long below the output prefix.
    """
    whole = split_uri(folder_prefix(rules.output) + output)[1]
    if len(whole.encode(errors="surrogatepass")) > LONGEST_NAME:
        raise RecordError(
            "PATH_NOT_ALLOWED",
            f"The name of the forecast would have more than {LONGEST_NAME:,} bytes.",
            "Shorten the file's name, or set a shorter output in a manifest.",
        )
    return output


class _Resent(BaseModel):
    """The payload of a request that is resent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    output: str
    spec: str | None
    attempt: int = Field(ge=0, le=1_000_000)
    id: str


def _payload(message: Message) -> dict[str, Any]:
    if message.attributes.get("payloadFormat") != "JSON_API_V1":
        return {}
    try:
        payload = json.loads(message.data)
    except (ValueError, RecursionError):
        return {}  # the attributes suffice
    return payload if isinstance(payload, dict) else {}


def _utc(text: str, otherwise: str) -> str:
    """Return a time in the form used throughout: in UTC, with Z."""
    try:
        time = datetime.fromisoformat(text)
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return otherwise
    return time.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class ManifestRequest:
    """What a manifest asks for, before the current generation of its input is known.

    Attributes:
        input: URI of the file, or the table.
        generation: the one asked for; "" for the current one.
        output: name of the forecast.
        spec: canonical JSON.
        id: as in a Request.
    """

    input: str
    generation: str
    output: str
    spec: str
    id: str

    def request(self, live: ObjectVersion | None, asked: str) -> Request:
        """Return the request, given the current generation and the time at which the request was made."""
        if is_query(self.input):
            version = self.generation or milliseconds_of(asked)
            return Request(self.input, version, asked, self.output, self.spec, id=self.id)
        if self.generation:
            time = live.time if live is not None and live.generation == self.generation else asked
            return Request(self.input, self.generation, time, self.output, self.spec, id=self.id)
        version, time = (live.generation, live.time) if live is not None else (UNREAD, asked)
        return Request(self.input, version, time, self.output, self.spec, id=self.id)


def read_manifest_message(content: bytes, place: str, rules: Rules) -> ManifestRequest:
    """Return what a manifest asks for.

    Args:
        content: JSON.
        place: URI of the object it was read from, "" if it came as a message.
        rules: what may be read and written; the manifest's own options override the operator's.

    Raises:
        RecordError: BAD_MANIFEST or PATH_NOT_ALLOWED.
    """
    manifest: Manifest = manifest_fields(content, ForecastSpec.from_json(rules.spec))
    fields = manifest.options()
    spec = ForecastSpec(**fields).to_json()
    if is_table(manifest.input):
        table = table_named(manifest.input)
        if not is_allowed(table, rules.allowed):
            raise _table_not_allowed(table)
        own = ObjectVersion(table.source, "", "").own_output
        output = _fitting(checked_output_name(manifest.output or own), rules)
        return ManifestRequest(table.source, manifest.generation, output, spec, manifest.id)
    uri = joined(place, manifest.input) if place or is_uri(manifest.input) else ""
    bucket, name = split_uri(uri)
    if not uri or not bucket or not name or name.endswith(("/", MANIFEST_SUFFIX)):
        raise RecordError(
            "BAD_MANIFEST",
            f"The input {manifest.input!r} is not a file in a bucket, nor a table.",
            "Name it as gs://bucket/name.csv, or as bigquery:PROJECT.DATASET.TABLE.",
            found=manifest.input,
        )
    beside = (folder_prefix(place.rpartition("/")[0]),) if place else ()
    if not lies_below(uri, rules.prefixes or beside) or lies_below(uri, [rules.output]):
        raise RecordError(
            "PATH_NOT_ALLOWED",
            f"The input {manifest.input!r} is outside the allowed prefixes.",
            "Put the CSV beside the manifest, or ask the operator to allow its prefix with --allow.",
            found=manifest.input,
        )
    if not _BUCKET.fullmatch(bucket):
        raise RecordError(
            "BAD_MANIFEST", f"{bucket!r} is not a valid bucket name.", "Name the CSV as gs://bucket/name.csv."
        )
    output = _fitting(checked_output_name(manifest.output or ObjectVersion(uri, "", "").own_output), rules)
    return ManifestRequest(uri, manifest.generation, output, spec, manifest.id)


def _kept(message: Message) -> str:
    return canonical_json({"attributes": dict(message.attributes), "data": base64.b64encode(message.data).decode()})


def message_key(message: Message) -> str:
    """Return the key of a message that is not a request."""
    return hashlib.sha256(_kept(message).encode()).hexdigest()[:32]


def message_letter(message: Message, error: RecordError, stage: str = "ReadRequests") -> DeadLetter:
    """Return the dead letter of a message that is not a request, with the message's bytes for a replay."""
    kept = _kept(message)
    bucket, name = message.attributes.get("bucketId", ""), message.attributes.get("objectId", "")
    source = message.attributes.get(TABLE, "") or f"message {message.message_id}"
    source = uri_of(bucket, name) if bucket and name else source
    version = message.attributes.get("objectGeneration", "") or message.message_id
    return DeadLetter(
        request_key=message_key(message),
        source=source,
        version=version,
        source_time=_utc(message.publish_time, message.publish_time),
        attempt=0,
        output="",
        scope="message",
        stage=stage,
        series_id="",
        code=error.code,
        message=f"{source}: {error}",
        hint=error.hint,
        line=error.line,
        column=error.column,
        found=error.found,
        replayable=CODES[error.code].replayable,
        request=kept,
    )


def kept_message(letter: DeadLetter) -> tuple[bytes, dict[str, str]]:
    """Return the payload and attributes of a dead letter's message."""
    kept = json.loads(letter.request)
    return base64.b64decode(kept["data"]), dict(kept["attributes"])


def message_of(version: ObjectVersion) -> Message:
    """Return a message with the notification of an object, as its bucket would have sent it."""
    return Message(b"", notification_of(version), "", version.time)


def notification_of(version: ObjectVersion) -> dict[str, str]:
    """Return the attributes of the notification that Cloud Storage would send for an object; our own for a table."""
    if is_table(version.uri):
        return {
            TABLE: version.uri, "objectGeneration": version.generation, "eventTime": version.time,
            "payloadFormat": "NONE",
        }  # fmt: skip
    bucket, name = split_uri(version.uri)
    return {
        "eventType": FINALIZE, "bucketId": bucket, "objectId": name, "objectGeneration": version.generation,
        "eventTime": version.time, CREATED: version.time, "payloadFormat": "NONE",
    }  # fmt: skip


def resent(request: Request, with_spec: bool = True) -> tuple[bytes, dict[str, str]]:
    """Return the payload and attributes of the message that resends a request.

    Args:
        request: the request.
        with_spec: whether to keep the request's own options; otherwise the pipeline's current ones apply.
    """
    version = ObjectVersion(request.source, request.version, request.source_time)
    fields = {
        "output": request.output,
        "spec": request.spec if with_spec else None,
        "attempt": request.attempt,
        "id": request.id,
    }
    return canonical_json(fields).encode(), {**notification_of(version), "payloadFormat": RESENT}
