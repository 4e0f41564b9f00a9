"""dropcast reconcile: what lies in a bucket and has no receipt is requested."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.sending import Sending, add_arguments, carry_out, checked, within
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.messages import IgnoredError, Message, Rules, notification_of, resent
from pipeline.core.summary import DEAD_LETTERED, DONE
from pipeline.core.uris import is_uri
from pipeline.errors import RecordError
from pipeline.options import spec_from


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = parser_for(
        "reconcile",
        "Compare the objects below a prefix with the receipts, and request what has none: uploads from before the "
        "subscription, lost messages, a crash. With dates it is a backfill.",
        "dropcast reconcile --input=gs://uploads/ --output=gs://forecasts/daily --topic=projects/acme/topics/uploads",
        "--input=PATTERN --output=URI [OPTION ...]",
    )
    parser.add_argument("--input", metavar="PATTERN", help="gs://bucket/prefix/ or a pattern such as gs://bucket/*.csv")
    add_arguments(parser)
    parser.add_argument("--again", metavar="LABEL", help="request anew what has a receipt, once for each label")
    parser.add_argument("--allow", metavar="URI,...", help="prefixes that inputs must lie below, as for the pipeline")
    add_model_arguments(parser, ForecastSpec)
    try:
        arguments = parsed(parser, argv)
        output = checked(arguments)
        if not is_uri(arguments["input"] or ""):
            raise OptionsError(["--input: is missing; name objects, gs://bucket/prefix/"])
        spec, _, problems = spec_from(arguments)
        if problems:
            raise OptionsError(problems)
        allowed = tuple(part.strip() for part in (arguments["allow"] or "").split(",") if part.strip())
        rules = Rules(spec.to_json(), allowed, output)
        done, failed = carry_out(_lacking(arguments, output, rules), arguments, output)
    except OptionsError as error:
        return refuse(error)
    print(f"{done} requests {'would be made' if arguments['dry_run'] else 'made'}.")
    return DEAD_LETTERED if failed else DONE


def _lacking(arguments: dict[str, Any], output: str, rules: Rules) -> Iterator[Sending]:
    """Yield the requests that have no receipt, or with --again no receipt of that label."""
    from pipeline.cloud import ledger
    from pipeline.cloud.incoming import request_of
    from pipeline.cloud.objects import matching

    attempts: dict[tuple[str, str, str], int] = {}
    labels: dict[tuple[str, str, str], set[str]] = {}
    for receipt in ledger.receipts(output):
        place = (receipt.source, receipt.version, receipt.output)
        attempts[place] = max(attempts.get(place, 0), receipt.attempt)
        labels.setdefault(place, set()).add(receipt.id)
    refused = {(letters.source, letters.version) for letters in ledger.dead_letters(output)}
    for version in matching(arguments["input"]):
        if not within(version.time, arguments):
            continue
        try:
            request = request_of(Message(b"", notification_of(version), "", version.time), rules)
        except IgnoredError:
            continue
        except RecordError as error:
            if (version.uri, version.generation) not in refused:
                print(f"  {error.code} {version.uri}: {error}")
            continue
        place = (request.source, request.version, request.output)
        label = arguments["again"]
        if place not in attempts:
            # as it would have come, so that the pipeline's own options hold
            yield Sending(request, (b"", notification_of(version)))
        elif label and label not in labels[place]:
            request = dataclasses.replace(request, attempt=attempts[place] + 1, id=label)
            own_options = not version.is_manifest and rules.spec == "{}"
            yield Sending(request, resent(request, with_spec=not own_options))
