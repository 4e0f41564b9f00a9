"""dropcast replay: retries dead letters once their cause is fixed."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from pipeline.commands import OptionsError, parsed, parser_for, refuse
from pipeline.commands.sending import Sending, add_arguments, carry_out, checked, send_to_topic, within
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.outputs.ledger import Letters
from pipeline.core.outputs.summary import DEAD_LETTERED, DONE
from pipeline.core.plain_text import printable
from pipeline.core.requests.messages import kept_message, resent
from pipeline.core.requests.uris import is_uri
from pipeline.folder.lock import BusyError
from pipeline.places import open_ledger
from pipeline.terminal import say


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "replay",
        "Retry what is among the dead letters, as the next attempt. What was replayed once is not replayed again.",
        "dropcast replay --output=forecasts --code=FIT_TIMEOUT\n"
        "  dropcast replay --output=gs://forecasts/daily --code=SOURCE_GONE --topic=projects/acme/topics/uploads",
        "--output=PLACE [OPTION ...]",
    )
    add_arguments(found)
    found.add_argument("--code", metavar="CODE", help="only dead letters with this code")
    found.add_argument("--prefix", metavar="PLACE", help="only sources whose path or URI starts with this")
    found.add_argument("--request", metavar="KEY", help="only this request")
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        output = checked(arguments)
        sent, failed = carry_out(_requests(arguments, output), arguments, output)
        messages = _send_messages(arguments, output)
    except BusyError as error:
        return refuse(OptionsError([f"--output: {error}"]))
    except OptionsError as error:
        return refuse(error)
    would = "would be " if arguments["dry_run"] else ""
    say(f"{sent} requests and {messages} messages {would}replayed.")
    return DEAD_LETTERED if failed else DONE


def _waiting(arguments: dict[str, Any], output: str) -> list[tuple[Letters, DeadLetter]]:
    """Return everything to replay, each with the first of its dead letters, before any of it is sent."""
    waiting = []
    for letters in open_ledger(output).dead_letters():
        if (
            not letters.replayed
            and within(letters.source_time, arguments)
            and letters.source.startswith(arguments["prefix"] or "")
            and arguments["request"] in (None, letters.key)
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
    ledger = open_ledger(output)
    newest: dict[tuple[str, str], tuple[int, int]] = {}
    done: dict[tuple[str, str, str], set[str]] = {}
    for receipt in ledger.receipts():
        if receipt.good:
            done.setdefault((receipt.source, receipt.output, receipt.version), set()).add(receipt.key)
        place, rank = (receipt.source, receipt.output), (receipt.age, receipt.attempt)
        newest[place] = max(newest.get(place, rank), rank)
    for letters, letter in _waiting(arguments, output):
        if letter.scope == "message":
            continue
        request = Request(**json.loads(letter.request))
        rank = (ledger.age(request), request.attempt)
        if newest.get((request.source, request.output), rank) > rank:
            say(printable(f"  outdated: {request.source}#{request.version}, attempt {request.attempt}"))
            continue
        if done.get((request.source, request.output, request.version), set()) - {letters.key}:
            say(printable(f"  fixed since, with other options: {request.source}"))
            continue
        again, why_not = ledger.once_more(dataclasses.replace(request, attempt=request.attempt + 1))
        if again is None:
            say(printable(f"  {why_not}: {request.source}"))
            continue
        yield Sending(again, resent(again) if is_uri(output) else None, partial(letters.mark, again.key))


def _send_messages(arguments: dict[str, Any], output: str) -> int:
    """Resend messages that were not requests, unchanged; return how many."""
    sent = 0
    for letters, letter in _waiting(arguments, output):
        if letter.scope != "message":
            continue
        if not is_uri(output):
            say(printable(f"  fix it, then run `dropcast reconcile`: {letter.message}"))
            continue
        if not arguments["topic"] and not arguments["dry_run"]:
            say(printable(f"  needs --topic: {letter.message}"))
            continue
        if not arguments["dry_run"]:
            send_to_topic(arguments, kept_message(letter))
            letters.mark("message")
        sent += 1
    return sent
