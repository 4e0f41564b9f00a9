"""dropcast replay: dead letters once more, when their cause is mended."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from pipeline.commands import OptionsError, parsed, parser_for, refuse
from pipeline.commands.sending import Sending, add_arguments, carry_out, checked, within
from pipeline.core.messages import kept_message, resent
from pipeline.core.requests import UNREAD
from pipeline.core.summary import DEAD_LETTERED, DONE
from pipeline.core.uris import generation_number
from pipeline.elements import DeadLetter, Request


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = parser_for(
        "replay",
        "Send what is among the dead letters round again, as the next attempt. What was sent once is not sent again.",
        "dropcast replay --output=gs://forecasts/daily --code=SOURCE_GONE --topic=projects/acme/topics/uploads",
        "--output=URI [OPTION ...]",
    )
    add_arguments(parser)
    parser.add_argument("--code", metavar="CODE", help="only dead letters with this code")
    parser.add_argument("--prefix", metavar="URI", help="only of sources whose URI begins so")
    parser.add_argument("--request", metavar="KEY", help="only of this request")
    try:
        arguments = parsed(parser, argv)
        output = checked(arguments)
        sent, failed = carry_out(_requests(arguments, output), arguments, output)
        messages = _send_messages(arguments, output)
    except OptionsError as error:
        return refuse(error)
    would = "would be " if arguments["dry_run"] else ""
    print(f"{sent} requests and {messages} messages {would}replayed.")
    return DEAD_LETTERED if failed else DONE


def _waiting(arguments: dict[str, Any], output: str) -> list[tuple[Any, DeadLetter]]:
    """Return what is to be sent again, each with the first of its dead letters; all of it, before any of it is sent."""
    from pipeline.cloud import ledger

    waiting = []
    for letters in ledger.dead_letters(output):
        key = letters.blob.name.rpartition("/")[2].removesuffix(".ndjson").removeprefix("message-")
        if (
            not letters.replayed
            and within(letters.source_time, arguments)
            and letters.source.startswith(arguments["prefix"] or "")
            and arguments["request"] in (None, key)
        ):
            first, wanted = None, arguments["code"] is None
            for letter in letters.read():
                first = first or letter
                wanted = wanted or letter.code == arguments["code"]
                if wanted:
                    break
            if wanted and first is not None:
                waiting.append((letters, first))
    return waiting


def _requests(arguments: dict[str, Any], output: str) -> Iterator[Sending]:
    from pipeline.cloud import ledger
    from pipeline.cloud.objects import live_version

    newest: dict[tuple[str, str], tuple[int, int]] = {}
    for receipt in ledger.receipts(output):
        place, rank = (receipt.source, receipt.output), (generation_number(receipt.version), receipt.attempt)
        newest[place] = max(newest.get(place, rank), rank)
    for letters, letter in _waiting(arguments, output):
        if letter.scope == "message":
            continue
        request = Request(**json.loads(letter.request))
        version, attempt = newest.get((request.source, request.output), (0, request.attempt))
        if (version, attempt) > (generation_number(request.version), request.attempt):
            print(f"  outdated: {request.source}#{request.version}, attempt {request.attempt}")
            continue
        request = dataclasses.replace(request, attempt=request.attempt + 1)
        if request.version == UNREAD:  # its manifest came before it
            live = live_version(request.source)
            if live is None:
                print(f"  still not there: {request.source}")
                continue
            request = dataclasses.replace(request, version=live.generation, source_time=live.time)
        yield Sending(request, resent(request), partial(letters.mark, request.key))


def _send_messages(arguments: dict[str, Any], output: str) -> int:
    """Send messages that were no requests once more, as they were; return how many."""
    from pipeline.cloud.topics import publish

    sent = 0
    for letters, letter in _waiting(arguments, output):
        if letter.scope != "message":
            continue
        if not arguments["topic"] and not arguments["dry_run"]:
            print(f"  needs --topic: {letter.message}")
            continue
        if not arguments["dry_run"]:
            publish(arguments["topic"], [kept_message(letter)])
            letters.mark("message")
        sent += 1
    return sent
