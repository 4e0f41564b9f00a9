"""dropcast reconcile: requests files in a folder or bucket that have no receipt."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.sending import Sending, add_arguments, carry_out, checked, destination_of, within
from pipeline.core.elements import DeadLetter
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.outputs.ledger import Candidate
from pipeline.core.outputs.summary import DEAD_LETTERED, DONE
from pipeline.core.plain_text import printable
from pipeline.core.requests.local_files import allowed_folders, list_inputs
from pipeline.core.requests.messages import Rules, resent
from pipeline.core.requests.names import MANIFEST_SUFFIX
from pipeline.core.requests.uris import is_uri
from pipeline.folder.ledger import candidates_in_folders
from pipeline.folder.lock import BusyError
from pipeline.options import RunOptions, spec_from
from pipeline.places import open_ledger, open_output
from pipeline.terminal import say


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "reconcile",
        "Compare the files of a folder, or the objects below a prefix, with the receipts, and forecast or request "
        "those without one: uploads from before the subscription, lost messages, a crash. With dates it is a backfill.",
        "dropcast reconcile --input='in/**/*.csv' --output=forecasts\n"
        "  dropcast reconcile --input=gs://uploads/ --output=gs://forecasts/daily --topic=projects/acme/topics/uploads",
        "--input=PATTERN --output=PLACE [OPTION ...]",
    )
    found.add_argument("--input", metavar="PATTERN", help="files, such as 'in/*.csv', or gs://bucket/prefix/")
    add_arguments(found)
    found.add_argument("--again", metavar="LABEL", help="also repeat what has a receipt, once per label")
    add_model_arguments(found, RunOptions, ("allow",))
    add_model_arguments(found, ForecastSpec)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        output = checked(arguments)
        pattern = arguments["input"] or ""
        if not pattern or is_uri(pattern) != is_uri(output):
            raise OptionsError(["--input: is missing; name files, or objects if the output is a bucket"])
        spec, _, problems = spec_from(arguments)
        if problems:
            raise OptionsError(problems)
        allowed = RunOptions(allow=arguments["allow"] or ()).allow
        done, failed = carry_out(_lacking(arguments, output, spec, allowed), arguments, output)
    except BusyError as error:
        return refuse(OptionsError([f"--output: {error}"]))
    except OptionsError as error:
        return refuse(error)
    say(f"{done} requests {'would be made' if arguments['dry_run'] else 'made'}.")
    return DEAD_LETTERED if failed else DONE


def _lacking(arguments: dict[str, Any], output: str, spec: ForecastSpec, allowed: tuple[str, ...]) -> Iterator[Sending]:
    """Yield the requests that have no receipt, or with --again no receipt of that label."""
    ledger, outputs = open_ledger(output), open_output(destination_of(arguments, output))
    attempts: dict[tuple[str, str, str], int] = {}
    labels: dict[tuple[str, str, str], set[str]] = {}
    finished: set[str] = set()
    for receipt in ledger.receipts():
        if receipt.good:
            finished.add(receipt.key)
        place = (receipt.source, receipt.version, receipt.output)
        attempts[place] = max(attempts.get(place, 0), receipt.attempt)
        labels.setdefault(place, set()).add(receipt.id)
    if not arguments["dry_run"]:
        outputs.clear_work_of(finished)
    refused = {(letters.source, letters.version) for letters in ledger.dead_letters()}
    for candidate in _candidates(arguments["input"], output, spec, allowed):
        request = candidate.request
        if not within(candidate.time, arguments) or request is None:
            continue
        if isinstance(request, DeadLetter):
            if (candidate.source, candidate.version) not in refused:
                say(printable(f"  {request.code}  {request.message}"))
                if not arguments["dry_run"]:
                    outputs.write_stray_dead_letter(request)
            continue
        place = (request.source, request.version, request.output)
        label = arguments["again"]
        # a manifest that was refused before is valid now
        then = partial(outputs.remove_stray_dead_letter, candidate.source)
        if place not in attempts:
            # as it would have come, so that the pipeline's own options hold
            yield Sending(request, candidate.message, then)
        elif label and label not in labels[place]:
            request = dataclasses.replace(request, attempt=attempts[place] + 1, id=label)
            if candidate.message is None:
                yield Sending(request, None, then)
                continue
            own_options = not candidate.source.endswith(MANIFEST_SUFFIX) and spec.to_json() == "{}"
            yield Sending(request, resent(request, with_spec=not own_options))


def _candidates(pattern: str, output: str, spec: ForecastSpec, allowed: tuple[str, ...]) -> Iterator[Candidate]:
    if not is_uri(output):
        files, problems = list_inputs([pattern], Path(output))
        if problems:
            raise OptionsError(problems)
        return candidates_in_folders(files, spec, allowed_folders([pattern], allowed), Path(output))
    from pipeline.cloud.ledger import candidates_in_buckets

    return candidates_in_buckets(pattern, Rules(spec.to_json(), allowed, output))
