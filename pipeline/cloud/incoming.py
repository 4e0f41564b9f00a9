"""From a message to its request, looking up the objects that it names."""

from __future__ import annotations

import dataclasses

from pipeline.cloud.objects import created, read_version
from pipeline.cloud.sources import live_version, query_of
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors, contained
from pipeline.core.requests.bigquery_sources import is_query
from pipeline.core.requests.local_files import MAX_MANIFEST_BYTES
from pipeline.core.requests.messages import (
    Message,
    Rules,
    message_key,
    message_letter,
    notified_object,
    read_manifest_message,
    request_of_object,
    states_creation,
)


def request_or_letter(message: Message, rules: Rules) -> Request | DeadLetter:
    """Return the request for a message, or the message's dead letter if it is not a request.

    Raises:
        IgnoredError: if it is of no concern.
    """
    try:
        return request_of(message, rules)
    except RecordError as error:
        return message_letter(message, error)


def request_of(message: Message, rules: Rules) -> Request:
    """Return the request for a message, reading the manifest that it names.

    Raises:
        IgnoredError: if it is of no concern.
        RecordError: if it is neither a notification nor a manifest, or a bad one.
    """
    with contained(InternalErrors(message_key(message))):
        request = _request_of(message, rules)
        if is_query(request.source):
            query_of(request.source, request.version, rules.allowed)  # refused here, where its owner looks first
        return request


def _request_of(message: Message, rules: Rules) -> Request:
    version = notified_object(message, rules)
    if version is not None and not states_creation(message):
        # rows and receipts of one generation must have one time, whichever message came first
        version = dataclasses.replace(version, time=created(version) or version.time)
    if version is not None and not version.is_manifest:
        return request_of_object(version, message, rules)
    if version is None:
        if not message.data.lstrip().startswith(b"{"):
            raise RecordError(
                "BAD_MESSAGE",
                "The message is neither a Cloud Storage notification nor a manifest.",
                "Send a manifest as JSON, or let the bucket send its notifications to this subscription's topic.",
                found=message.data[:60].decode(errors="replace"),
            )
        asked = read_manifest_message(message.data, "", rules)
    else:
        asked = read_manifest_message(read_version(version, MAX_MANIFEST_BYTES + 1), version.uri, rules)
    live = None if is_query(asked.input) else live_version(asked.input)
    return asked.request(live, message.publish_time if version is None else version.time)
