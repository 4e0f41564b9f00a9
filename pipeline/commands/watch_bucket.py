"""dropcast watch between buckets: what has no receipt is forecast here, pass by pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.commands.sending import needs_clients
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.errors import DoneError, IgnoredError, RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.plain_text import printable
from pipeline.core.process_request import process
from pipeline.core.requests.messages import Message, Rules, message_letter, notification_of
from pipeline.core.requests.uris import folder_prefix, split_uri
from pipeline.folder.problem_notes import SUFFIX, problem_note
from pipeline.folder.watch import Pass
from pipeline.options import settings_from
from pipeline.places import Destination, open_output
from pipeline.terminal import say


def bucket_step(
    arguments: dict[str, Any], spec: ForecastSpec, limits: Limits, tell: Callable[[RunOutcome], None]
) -> Callable[[float], Pass]:
    """Return what looks at the bucket once; see WatchedFolder.step.

    Raises:
        OptionsError: if an option is wrong, or Google's clients are not there.
    """
    needs_clients()
    inbox = arguments["inbox"] if arguments["inbox"].endswith("/") else f"{arguments['inbox']}/"
    settings = settings_from({**arguments, "output": arguments["outbox"]}, [inbox])
    from pipeline.cloud.prepare import prepare

    prepare(settings)
    destination = Destination(settings.destination.path, settings.destination.dataset, False, settings.history)
    return _WatchedBucket(inbox, destination, settings.rules, limits, tell).step


class _WatchedBucket:
    def __init__(
        self, inbox: str, destination: Destination, rules: Rules, limits: Limits, tell: Callable[[RunOutcome], None]
    ) -> None:
        self._inbox, self._destination, self._rules, self._limits, self._tell = inbox, destination, rules, limits, tell
        self._seen: set[tuple[str, str]] = set()

    def step(self, now: float) -> Pass:
        """Forecast what has no receipt; objects appear whole, so that none has to lie still."""
        from pipeline.cloud.incoming import request_of
        from pipeline.cloud.objects import matching

        done = 0
        there = set()
        for version in matching(self._inbox):
            name = (version.uri, version.generation)
            there.add(name)
            if name in self._seen:
                continue
            try:
                request = request_of(Message(b"", notification_of(version), "", version.time), self._rules)
            except IgnoredError:
                self._seen.add(name)
                continue
            except RecordError as error:
                say(printable(f"  {error.code}  {version.uri}: {error}"))
                say(printable(f"      {error.hint}"))
                message = Message(b"", notification_of(version), "", version.time)
                open_output(self._destination).write_stray_dead_letter(message_letter(message, error))
                self._seen.add(name)
                continue
            done += self._forecast(request)
            self._seen.add(name)
        self._seen &= there
        return Pass(done, "", False, 0.0)

    def _forecast(self, request: Request) -> int:
        from pipeline.cloud.output import OutputBucket

        output = open_output(self._destination)
        assert isinstance(output, OutputBucket)
        try:
            if output.receipt(request) is not None:
                return 0
            receipt = process(request, self._limits, output)
        except DoneError:
            return 0
        letters = tuple(output.dead_letters(request.key)) if receipt.status in ("failed", "partial") else ()
        self._note(receipt, letters)
        self._tell(RunOutcome((vars(receipt),), letters))
        return 1

    def _note(self, receipt: Receipt, letters: tuple[DeadLetter, ...]) -> None:
        """Have a note lie beside the forecast of a file with problems, and none beside that of a good one."""
        from pipeline.cloud import objects

        bucket, root = split_uri(folder_prefix(self._destination.path))
        text = problem_note(receipt.output, receipt.status, letters)
        name = f"{root}{receipt.output}{SUFFIX}"
        if text:
            objects.put(bucket, name, text.encode(), "text/plain; charset=utf-8")
        else:
            objects.delete(bucket, [name])
