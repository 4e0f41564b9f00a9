"""Messages as Cloud Storage sends them, and as nobody should."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.elements import Request
from pipeline.core.errors import IgnoredError, RecordError
from pipeline.core.requests.messages import (
    Message,
    ObjectVersion,
    Rules,
    kept_message,
    message_letter,
    notification_of,
    notified_object,
    read_manifest_message,
    request_of_object,
    resent,
    stated_size,
)
from pipeline.core.requests.uris import generation_number

RULES = Rules("{}", (), "gs://out/daily")
TIME = "2024-05-01T12:00:00Z"
# A notification of Cloud Storage, its attributes and its payload as documented ("Pub/Sub notifications for Cloud
# Storage", and the object resource of the JSON API).
PAYLOAD = {
    "kind": "storage#object", "id": "uploads/sales/north.csv/1714564800123456",
    "selfLink": "https://www.googleapis.com/storage/v1/b/uploads/o/sales%2Fnorth.csv", "name": "sales/north.csv",
    "bucket": "uploads", "generation": "1714564800123456", "metageneration": "1", "contentType": "text/csv",
    "timeCreated": "2024-05-01T12:00:00.123Z", "updated": "2024-05-01T12:00:00.123Z", "storageClass": "STANDARD",
    "timeStorageClassUpdated": "2024-05-01T12:00:00.123Z", "size": "1064", "md5Hash": "rvcV8dAp5lXrqVqk5sXLPA==",
    "mediaLink": "https://storage.googleapis.com/download/storage/v1/b/uploads/o/sales%2Fnorth.csv"
    "?generation=1714564800123456&alt=media",
    "crc32c": "tqkBCg==", "etag": "CMDbl9DK7YUDEAE=",
}  # fmt: skip
ATTRIBUTES = {
    "notificationConfig": "projects/_/buckets/uploads/notificationConfigs/3", "eventType": "OBJECT_FINALIZE",
    "payloadFormat": "JSON_API_V1", "bucketId": "uploads", "objectId": "sales/north.csv",
    "objectGeneration": "1714564800123456", "eventTime": "2024-05-01T12:00:00.456789Z",
}  # fmt: skip


def notification(data: bytes | None = None, **changes: str) -> Message:
    payload = json.dumps(PAYLOAD, indent=2).encode() if data is None else data
    return Message(payload, {**ATTRIBUTES, **changes}, "7", TIME)


def test_the_size_of_a_file_is_known_from_its_own_notification_only() -> None:
    uri, generation = "gs://uploads/sales/north.csv", "1714564800123456"
    assert stated_size(notification(), uri, generation) == 1064
    assert stated_size(notification(), uri, "1714564800123457") is None
    assert stated_size(notification(), "gs://uploads/sales/south.csv", generation) is None, "a manifest names another"
    assert stated_size(notification(payloadFormat="NONE"), uri, generation) is None
    assert stated_size(notification(b'{"size": "many"}'), uri, generation) is None
    assert stated_size(Message(b"{}", {}, "7", TIME), uri, generation) is None


def test_a_notification_becomes_the_request_for_its_object() -> None:
    message = notification()
    version = notified_object(message, RULES)
    assert version == ObjectVersion("gs://uploads/sales/north.csv", "1714564800123456", "2024-05-01T12:00:00.123000Z")
    request = request_of_object(version, message, RULES)
    assert (request.output, request.version, request.attempt) == ("sales/north.csv", "1714564800123456", 0)


def test_without_a_payload_the_attributes_suffice() -> None:
    version = notified_object(notification(b"", payloadFormat="NONE"), RULES)
    assert version is not None
    assert version.time == "2024-05-01T12:00:00.456789Z"
    with_payload = notified_object(notification(), RULES)
    assert with_payload is not None
    keys = {request_of_object(one, notification(), RULES).key for one in (version, with_payload)}
    assert len(keys) == 1, "whether there is a payload must not change the key"


@pytest.mark.parametrize("event", ["OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE", "SOMETHING_NEW"])
def test_only_what_is_complete_counts(event: str) -> None:
    with pytest.raises(IgnoredError, match="event"):
        notified_object(notification(eventType=event), RULES)


@pytest.mark.parametrize(
    ("bucket", "name", "size", "reason"),
    [
        ("uploads", "sales/", "0", "marker"),
        ("uploads", "sales_$folder$", "0", "marker"),
        ("uploads", "sales/_SUCCESS", "0", "marker"),
        ("out", "daily/sales/north.csv", "10", "output"),
        ("out", "daily/_dropcast/receipts/1/2.json", "10", "output"),
        ("uploads", "_dropcast/work/1.csv", "10", "output"),
    ],
)
def test_what_is_ignored(bucket: str, name: str, size: str, reason: str) -> None:
    data = json.dumps({**PAYLOAD, "size": size}).encode()
    with pytest.raises(IgnoredError, match=reason):
        notified_object(notification(data, bucketId=bucket, objectId=name), RULES)


def test_the_forecast_of_a_parquet_file_is_a_csv() -> None:
    for name, output in (("s/a.parquet", "s/a.parquet.csv"), ("A.PARQUET", "A.PARQUET.csv"), ("parquet", "parquet")):
        message = notification(objectId=name)
        version = notified_object(message, RULES)
        assert version is not None
        request = request_of_object(version, message, RULES)
        assert request.output == output
        assert request_of_object(version, Message(*resent(request), "9", TIME), RULES) == request
    manifest = read_manifest_message(b'{"input": "gs://uploads/b.parquet"}', "gs://uploads/x.manifest.json", RULES)
    assert manifest.output == "b.parquet.csv"


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.txt.gz", "a.parquet"])
def test_an_empty_table_is_not_a_marker(name: str) -> None:
    message = notification(json.dumps({**PAYLOAD, "size": "0"}).encode(), objectId=name)
    assert notified_object(message, RULES) is not None


@pytest.mark.parametrize(
    "name", ["a b.csv", "ü/ß.csv", "a#1.csv", "100%.csv", "two\nlines.csv", "a//b.csv", "..", "?*["]
)
def test_any_name_is_a_name(name: str) -> None:
    version = notified_object(notification(objectId=name), RULES)
    assert version is not None
    assert version.uri == f"gs://uploads/{name}"


def test_allowed_prefixes_end_at_a_slash() -> None:
    rules = Rules("{}", ("gs://uploads/sales",), "gs://out/daily")
    assert notified_object(notification(), rules) is not None
    with pytest.raises(IgnoredError, match="elsewhere"):
        notified_object(notification(objectId="sales2/north.csv"), rules)


@pytest.mark.parametrize(
    "changes",
    [
        {"objectGeneration": ""},
        {"objectGeneration": "x"},
        {"objectGeneration": "9" * 25},
        {"objectGeneration": "\u00b2"},
        {"objectId": ""},
        {"bucketId": ""},
        {"bucketId": "A B?"},
    ],
)
def test_a_notification_that_names_no_object_is_a_bad_message(changes: dict[str, str]) -> None:
    with pytest.raises(RecordError) as caught:
        notified_object(notification(**changes), RULES)
    assert caught.value.code == "BAD_MESSAGE"


def test_a_name_that_would_be_too_long_below_the_output_is_refused() -> None:
    message = notification(objectId="x" * 1020)
    version = notified_object(message, RULES)
    assert version is not None
    with pytest.raises(RecordError, match="more than 1,024 bytes"):
        request_of_object(version, message, RULES)


def test_a_time_that_is_none_gives_way_to_that_of_the_message() -> None:
    message = notification(b"", payloadFormat="NONE", eventTime="0001-01-01T00:00:00+14:00")
    version = notified_object(message, RULES)
    assert version is not None
    assert version.time == TIME


def test_a_bad_message_is_kept_to_the_byte() -> None:
    message = Message(b"\xff\x00 not text", {"odd": "ü"}, "12", TIME)
    letter = message_letter(message, RecordError("BAD_MESSAGE", "It is neither.", "Send another."))
    assert kept_message(letter) == (message.data, message.attributes)
    assert json.loads(letter.request)["data"] == base64.b64encode(message.data).decode()
    again = message_letter(Message(message.data, message.attributes, "13", TIME), RecordError("BAD_MESSAGE", "", ""))
    assert again.request_key == letter.request_key, "the same bytes under another id are one dead letter"


def test_a_manifest_message_names_what_is_allowed() -> None:
    rules = Rules('{"horizon":7}', ("gs://uploads",), "gs://out/daily")
    asked = read_manifest_message(b'{"input": "gs://uploads/a.csv", "level": [95]}', "", rules)
    assert (asked.input, asked.output, json.loads(asked.spec)) == (
        "gs://uploads/a.csv",
        "a.csv",
        {"horizon": 7, "level": [95.0]},
    )
    request = asked.request(ObjectVersion("gs://uploads/a.csv", "5", TIME), "2025-01-01T00:00:00Z")
    assert (request.version, request.source_time) == ("5", TIME)
    unread = asked.request(None, TIME)
    assert (unread.version, unread.source_time) == ("unread", TIME)


def test_a_manifest_beside_its_csv_needs_no_permission() -> None:
    asked = read_manifest_message(b'{"input": "a.csv"}', "gs://uploads/x/a.manifest.json", RULES)
    assert (asked.input, asked.output) == ("gs://uploads/x/a.csv", "x/a.csv")


@pytest.mark.parametrize(
    ("content", "place", "code"),
    [
        (b'{"input": "gs://elsewhere/a.csv"}', "gs://uploads/x/a.manifest.json", "PATH_NOT_ALLOWED"),
        (b'{"input": "../a.csv"}', "gs://uploads/x/a.manifest.json", "PATH_NOT_ALLOWED"),
        (b'{"input": "gs://uploads/a.csv"}', "", "PATH_NOT_ALLOWED"),
        (b'{"input": "gs://out/daily/a.csv"}', "", "PATH_NOT_ALLOWED"),
        (b'{"input": "a.csv"}', "", "BAD_MANIFEST"),
        (b'{"input": "gs://uploads"}', "", "BAD_MANIFEST"),
        (b'{"input": "gs://uploads/a/"}', "", "BAD_MANIFEST"),
        (b'{"input": "a.csv", "output": "../x"}', "gs://uploads/a.manifest.json", "PATH_NOT_ALLOWED"),
        (b'{"input": "a.csv", "generation": "99999999999999999999"}', "gs://uploads/a.manifest.json", "BAD_MANIFEST"),
        (b'{"input": "a.csv", "horizon": 0}', "gs://uploads/a.manifest.json", "BAD_MANIFEST"),
        (b"[" * 100_000, "gs://uploads/a.manifest.json", "BAD_MANIFEST"),
        (b'{"input": "a.csv", "save_models": "/etc"}', "gs://uploads/a.manifest.json", "BAD_MANIFEST"),
    ],
)
def test_what_manifests_may_not_name(content: bytes, place: str, code: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_manifest_message(content, place, RULES)
    assert caught.value.code == code


def test_a_request_that_is_sent_once_more_is_the_same_one_but_for_its_attempt() -> None:
    request = Request("gs://uploads/ü a.csv", "17", TIME, "other/name.csv", '{"horizon":7}', 2, "mine")
    data, attributes = resent(request)
    message = Message(data, attributes, "9", TIME)
    version = notified_object(message, RULES)
    assert version is not None
    assert request_of_object(version, message, RULES) == request
    message = Message(*resent(request, with_spec=False), "9", TIME)
    assert request_of_object(version, message, Rules('{"horizon":3}', (), "gs://out")).spec == '{"horizon":3}'


@pytest.mark.parametrize(
    "fields",
    [
        {"output": "../x"},
        {"spec": '{"models":"/etc"}'},
        {"attempt": -1},
        {"attempt": 10**30},
        {"more": 1},
        {"spec": '{"horizon":0}'},
    ],
)
def test_a_request_that_is_sent_once_more_is_not_trusted(fields: dict[str, object]) -> None:
    data, attributes = resent(Request("gs://uploads/a.csv", "17", TIME, "a.csv", "{}"))
    message = Message(json.dumps({**json.loads(data), **fields}).encode(), attributes, "9", TIME)
    version = notified_object(message, RULES)
    assert version is not None
    with pytest.raises(RecordError):
        request_of_object(version, message, RULES)


@pytest.mark.parametrize(("version", "number"), [("1714564800123456", 1714564800123456), ("unread", 0), ("", 0)])
def test_what_is_no_generation_counts_as_none(version: str, number: int) -> None:
    assert generation_number(version) == number
    assert generation_number("\u00b2") == 0, "a digit, but no number"


NAMES = st.sampled_from(["eventType", "bucketId", "objectId", "objectGeneration", "payloadFormat", "eventTime", "x"])
VALUES = st.one_of(st.text(max_size=20), st.sampled_from(["OBJECT_FINALIZE", "JSON_API_V1", "1", "uploads"]))


@given(data=st.binary(max_size=200), attributes=st.dictionaries(NAMES, VALUES))
def test_no_message_breaks_the_parser(data: bytes, attributes: dict[str, str]) -> None:
    message = Message(data, attributes, "1", TIME)
    try:
        version = notified_object(message, RULES)
        if version is not None:
            assert notification_of(version)["objectGeneration"].isdigit()
            request_of_object(version, message, RULES)
        else:
            read_manifest_message(data, "", RULES)
    except (RecordError, IgnoredError) as error:
        if isinstance(error, RecordError):
            assert message_letter(message, error).to_json()
