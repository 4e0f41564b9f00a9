"""Push requests as Pub/Sub and Eventarc send them, and as nobody should."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.requests.messages import Message, Rules, notified_object
from pipeline.service.push import FINALIZED, PUBLISHED, STRUCTURED, UNKNOWN_TIME, NoPushError, message_of_push

# As documented: the JSON API's object resource, Pub/Sub's push envelope, and CloudEvents in both modes.
OBJECT = {"bucket": "uploads", "name": "sales/ü.csv", "generation": "1714564800123456", "size": "1064",
          "timeCreated": "2024-05-01T12:00:00.123Z"}  # fmt: skip
ATTRIBUTES = {"eventType": "OBJECT_FINALIZE", "bucketId": "uploads", "objectId": "sales/ü.csv",
              "objectGeneration": "1714564800123456", "payloadFormat": "JSON_API_V1"}  # fmt: skip
ENVELOPE = {
    "message": {
        "data": base64.b64encode(json.dumps(OBJECT).encode()).decode(), "attributes": ATTRIBUTES, "messageId": "7",
        "publishTime": "2024-05-01T12:00:01Z",
    },
    "subscription": "projects/acme/subscriptions/s",
}  # fmt: skip
JSON = {"content-type": "application/json"}
EVENT = {"specversion": "1.0", "id": "7", "source": "//storage.googleapis.com/projects/_/buckets/uploads",
         "time": "2024-05-01T12:00:01Z"}  # fmt: skip
AS_HEADERS = {f"ce-{name}": value for name, value in EVENT.items()}
PUSHES: dict[str, tuple[dict[str, str], Any]] = {
    "wrapped": (JSON, ENVELOPE),
    "binary event": ({**JSON, **AS_HEADERS, "ce-type": FINALIZED}, OBJECT),
    "structured event": (
        {"content-type": f"{STRUCTURED}; charset=utf-8"},
        {**EVENT, "type": FINALIZED, "data": OBJECT},
    ),
    "binary event of Pub/Sub": ({**JSON, **AS_HEADERS, "ce-type": PUBLISHED}, ENVELOPE),
    "structured event of Pub/Sub": ({"content-type": STRUCTURED}, {**EVENT, "type": PUBLISHED, "data": ENVELOPE}),
}


@pytest.mark.parametrize("push", PUSHES.values(), ids=PUSHES)
def test_an_objects_notification_in_each_form_is_the_same_request(push: tuple[dict[str, str], Any]) -> None:
    headers, body = push
    message = message_of_push(headers, json.dumps(body).encode())
    version = notified_object(message, Rules("{}", (), "gs://out/f"))
    assert version is not None
    assert (version.uri, version.generation) == ("gs://uploads/sales/ü.csv", "1714564800123456")
    assert version.time == "2024-05-01T12:00:00.123000Z"
    assert message.message_id == "7"


def test_a_message_without_its_envelope() -> None:
    headers = {"x-goog-pubsub-message-id": "7", "x-goog-pubsub-publish-time": "2024-05-01T12:00:01Z",
               **{name.lower(): value for name, value in ATTRIBUTES.items()}}  # fmt: skip
    message = message_of_push(headers, json.dumps(OBJECT).encode())
    assert message == Message(json.dumps(OBJECT).encode(), ATTRIBUTES, "7", "2024-05-01T12:00:01Z")
    manifest = b'{"input": "gs://uploads/a.csv"}'
    only_id = {"x-goog-pubsub-message-id": "8"}
    assert message_of_push(only_id, manifest) == Message(manifest, {}, "8", UNKNOWN_TIME)


@pytest.mark.parametrize("time", ["", "soon", "2024-05-01", [1], None])
def test_a_message_may_lack_its_time(time: Any) -> None:
    envelope = {"message": {**ENVELOPE["message"], "publishTime": time}}
    assert message_of_push(JSON, json.dumps(envelope).encode()).publish_time == UNKNOWN_TIME
    event = json.dumps({**EVENT, "time": time, "type": FINALIZED, "data": OBJECT}).encode()
    assert message_of_push({"content-type": STRUCTURED}, event).publish_time == UNKNOWN_TIME


def test_other_events_of_a_bucket_are_told_apart() -> None:
    deleted = {**AS_HEADERS, "ce-type": "google.cloud.storage.object.v1.deleted"}
    message = message_of_push(deleted, json.dumps(OBJECT).encode())
    assert message.attributes["eventType"] != "OBJECT_FINALIZE"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b""), (JSON, b"[]"), (JSON, b"{}"), (JSON, b"\xff"), (JSON, b'{"message": "x"}'), (JSON, b"[" * 100_000),
        (JSON, b'{"message": {"data": "%%%"}}'), (JSON, b'{"message": {"attributes": {"a": 1}}}'),
        (JSON, b'{"message": {"attributes": {"objectId": "\\ud800.csv"}, "messageId": "7"}}'),
        (JSON, b'{"message": {"attributes": ["a"]}}'), ({"content-type": STRUCTURED}, b'{"type": "x"}'),
        ({**AS_HEADERS, "ce-type": FINALIZED}, b"7"), ({**AS_HEADERS, "ce-type": PUBLISHED}, b"{}"),
    ],
)  # fmt: skip
def test_what_is_no_push(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(NoPushError):
        message_of_push(headers, body)


NAMES = st.sampled_from(["message", "data", "attributes", "type", "bucket"])
HEADERS = st.sampled_from(["content-type", "ce-type", "ce-id", "x-goog-pubsub-message-id"])
VALUES = st.recursive(st.none() | st.text(), lambda inner: st.dictionaries(NAMES, inner))


@given(st.dictionaries(HEADERS, st.text()), st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_request_breaks_the_parser(headers: dict[str, str], body: bytes) -> None:
    try:
        message = message_of_push(headers, body)
    except NoPushError:
        return
    assert all(isinstance(value, str) for value in message.attributes.values())
