"""From a push request to a message: Pub/Sub's envelope, a message without one, and CloudEvents of a bucket."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pipeline.core.requests.messages import FINALIZE, Message

STRUCTURED = "application/cloudevents+json"
FINALIZED, PUBLISHED = "google.cloud.storage.object.v1.finalized", "google.cloud.pubsub.topic.v1.messagePublished"
_PUBSUB = "x-goog-pubsub-"
UNKNOWN_TIME = "1970-01-01T00:00:00Z"  # of a message that does not say when it was published
# What a bucket's notification has as attributes comes as headers of their own if the envelope is left out.
_ATTRIBUTES = ("eventType", "bucketId", "objectId", "objectGeneration", "payloadFormat", "eventTime",
               "dropcastTable", "dropcastTimeCreated")  # fmt: skip


class NoPushError(ValueError):
    """The request is none that Pub/Sub or Eventarc would send."""


def message_of_push(headers: Mapping[str, str], body: bytes) -> Message:
    """Return the message in a push request.

    Args:
        headers: by name in lower case.
        body: of the request.

    Raises:
        NoPushError: if there is none.
    """
    message = _message(headers, body)
    try:
        "".join((*message.attributes, *message.attributes.values(), message.message_id)).encode()
    except UnicodeEncodeError:
        raise NoPushError("a text in it has half a character") from None
    return message if _is_time(message.publish_time) else replace(message, publish_time=UNKNOWN_TIME)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _message(headers: Mapping[str, str], body: bytes) -> Message:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == STRUCTURED:
        event = _object(body)
        return _of_event(str(event.get("type", "")), event, event.get("data"))
    if "ce-type" in headers:
        event = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
        return _of_event(headers["ce-type"], event, _object(body))
    if f"{_PUBSUB}message-id" in headers:
        attributes = {name: headers[name.lower()] for name in _ATTRIBUTES if name.lower() in headers}
        time = headers.get(f"{_PUBSUB}publish-time", "")
        return Message(body, attributes, headers[f"{_PUBSUB}message-id"], time)
    return _of_envelope(_object(body))


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NoPushError("the body is not a JSON object")
    return found


def _of_envelope(envelope: dict[str, Any]) -> Message:
    """Return the message in Pub/Sub's envelope: {"message": {"data": base64, "attributes": {...}, ...}}."""
    message = envelope.get("message")
    if not isinstance(message, dict):
        raise NoPushError("there is no message in the body, nor headers of Pub/Sub or of a CloudEvent")
    attributes = message.get("attributes") or {}
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise NoPushError("the message's attributes are not texts by name")
    try:
        data = base64.b64decode(str(message.get("data") or ""), validate=True)
    except (binascii.Error, ValueError):
        raise NoPushError("the message's data is not base64") from None
    identity = message.get("messageId") or message.get("message_id") or ""
    time = message.get("publishTime") or message.get("publish_time") or ""
    return Message(data, attributes, str(identity), str(time))


def _of_event(kind: str, event: Mapping[str, Any], data: Any) -> Message:
    """Return the message for a CloudEvent: that of a bucket's notification, or the message that it has."""
    if not isinstance(data, dict):
        raise NoPushError("the event has no data")
    if kind == PUBLISHED:
        return _of_envelope(data)
    identity, time = str(event.get("id", "")), str(event.get("time", ""))
    attributes = {
        "eventType": FINALIZE if kind == FINALIZED else kind, "bucketId": str(data.get("bucket", "")),
        "objectId": str(data.get("name", "")), "objectGeneration": str(data.get("generation", "")),
        "eventTime": time, "payloadFormat": "JSON_API_V1",
    }  # fmt: skip
    return Message(json.dumps(data).encode(), attributes, identity, time)
