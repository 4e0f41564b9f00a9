"""dropcast watch: forecasts files dropped into a folder."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.sending import needs_clients
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import DEAD_LETTERED, DONE, RunOutcome, told
from pipeline.core.requests.uris import is_uri
from pipeline.core.watching import Pass
from pipeline.folder.inbox import Inbox
from pipeline.folder.lock import BusyError
from pipeline.folder.output import FolderOutput
from pipeline.folder.watch import WatchedFolder
from pipeline.options import RunOptions, spec_from, validated
from pipeline.places import open_output
from pipeline.runs import BucketRun, FolderRun, inbox_problems, run_from, watching
from pipeline.terminal import StdoutError, complain, in_one_line, passes, say, unforeseen

EVERY, EVERY_IN_BUCKETS = 0.5, 10.0  # seconds
SHARE = 0.01  # of a core, at most, for looking at folders with very many files
LONGEST_PAUSE = 30.0  # seconds between looks, even with many files or errors
LONGEST_WAIT = 60.0  # seconds that --once waits for a file that is being written


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "watch",
        "Watch a folder: forecast files dropped into it, and those already there that are not done. Started again "
        "after any interruption, it continues where it was. Ctrl-C stops it.",
        "dropcast watch inbox forecasts --horizon=14",
        "INBOX OUTBOX [OPTION ...]",
    )
    found.add_argument("inbox", nargs="?", metavar="INBOX", help="folder, or gs://bucket/prefix/")
    found.add_argument("outbox", nargs="?", metavar="OUTBOX", help="folder, or gs://bucket/prefix, for the forecasts")
    found.add_argument("--settle", metavar="SECONDS", help="read a file once it has not changed for this long [1]")
    found.add_argument("--every", metavar="SECONDS", help="how often to look [0.5; in buckets, where it costs, 10]")
    found.add_argument("--once", action="store_true", help="do what there is to do, then exit")
    add_model_arguments(found, RunOptions, ("allow", "history", "dataset"))
    add_model_arguments(found, ForecastSpec)
    add_model_arguments(found, Limits)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        problems: list[str] = []
        seconds = {name: _seconds(arguments[name], f"--{name}", problems) for name in ("settle", "every")}
        problems += [f"{n.upper()}: is missing; name a folder" for n in ("inbox", "outbox") if not arguments[n]]
        spec, limits, wrong = spec_from(arguments)
        problems += wrong
        places = [arguments["inbox"] or "", arguments["outbox"] or ""]
        if len({is_uri(place) for place in places}) > 1:
            problems.append("INBOX, OUTBOX: name two folders, or two gs://bucket/prefix")
        if problems:
            raise OptionsError(problems)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        tell = _Teller(places[1])
        if is_uri(places[0]):
            step = _bucket_step(arguments, tell)
            return _passes(step, seconds["every"] or EVERY_IN_BUCKETS, arguments, tell)
        settle = 1.0 if seconds["settle"] is None else seconds["settle"]
        inbox, run = _folder_run(arguments, spec, limits)
        folder = FolderOutput(run.output)
        with folder.for_us_alone():
            folder.clear_unfinished()
            watched = WatchedFolder(Inbox(inbox, settle), run, tell)
            return _passes(watched.step, seconds["every"] or EVERY, arguments, tell)
    except BusyError as error:
        return refuse(OptionsError([f"OUTBOX: {error}"]))
    except OptionsError as error:
        return refuse(error)


def _seconds(text: str | None, name: str, problems: list[str]) -> float | None:
    try:
        value = None if text is None else float(text)
    except ValueError:
        value = -1.0
    if value is not None and not 0 <= value <= 86_400:
        problems.append(f"{name}: must be a number of seconds (given: {text!r})")
    return value


def _folder_run(arguments: dict[str, str], spec: ForecastSpec, limits: Limits) -> tuple[Path, FolderRun]:
    """Return the inbox, and the run for its files.

    Raises:
        OptionsError: if the inbox does not exist, or the forecasts would be read again.
    """
    inbox, outbox = Path(arguments["inbox"]), Path(arguments["outbox"])
    problems = inbox_problems(arguments["inbox"], arguments["outbox"], "INBOX", "OUTBOX")
    if problems:
        raise OptionsError(problems)
    options = validated(RunOptions, arguments, problems) or RunOptions()
    if options.dataset:
        problems.append("--dataset: works only with buckets")
    if problems:
        raise OptionsError(problems)
    try:
        outbox.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionsError([f"OUTBOX: {outbox} cannot be created: {error.strerror}"]) from None
    return inbox, watching(inbox, outbox, spec, limits, options)


def _bucket_step(arguments: dict[str, Any], tell: Callable[[RunOutcome], None]) -> Callable[[float], Pass]:
    """Return what looks at a bucket once; see WatchedBucket.step.

    Raises:
        OptionsError: if an option is invalid, or Google's clients are not installed.
    """
    needs_clients()
    from pipeline.cloud.output import BucketOutput
    from pipeline.cloud.prepare import prepare
    from pipeline.cloud.watch import WatchedBucket

    inbox = arguments["inbox"] if arguments["inbox"].endswith("/") else f"{arguments['inbox']}/"
    run = run_from({**arguments, "output": arguments["outbox"]}, [inbox], inputs_name="INBOX")
    assert isinstance(run, BucketRun)
    prepare(run)
    # each object alone, so that its rows do not wait for those of others
    output = open_output(dataclasses.replace(run.destination, batch=False))
    assert isinstance(output, BucketOutput)
    return WatchedBucket(inbox, output, run.rules, run.limits, tell).step


class _Teller:
    """Prints the result of each file, and remembers whether something was refused."""

    def __init__(self, output: Path | str) -> None:
        self._output = output
        self._mute = False
        self.exit_code = DONE

    def __call__(self, outcome: RunOutcome) -> None:
        self.exit_code = self.exit_code or outcome.exit_code
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        for number, line in enumerate(told(outcome, self._output)):
            self.say(f"{now if not number else ' ' * len(now)} {line}")

    def say(self, line: str) -> None:
        """Print a line; if that fails, report it once and continue without printing."""
        if self._mute:
            return
        try:
            say(line)
        except StdoutError as error:
            self._mute = True
            complain(f"{error}. Forecasting goes on.")


def _passes(step: Callable[[float], Pass], every: float, arguments: dict[str, Any], tell: _Teller) -> int:
    """Look repeatedly until interrupted, or with --once until everything is done."""
    if not arguments["once"]:
        tell.say(f"Watching {arguments['inbox']}, forecasts go to {arguments['outbox']}. Ctrl-C stops it.")
    trouble, pause, patience = "", every, time.monotonic() + LONGEST_WAIT
    try:
        while True:
            try:
                found = step(time.monotonic())
                trouble, pause = "", every
            except Exception as error:
                if arguments["once"]:
                    raise
                problem = in_one_line(error) if passes(error) else unforeseen(error)
                if problem != trouble:
                    trouble = problem
                    complain(f"{trouble.rstrip('.')}. Fix this; dropcast retries until it succeeds.")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            if arguments["once"] and not found.more:
                if not found.unsettled:
                    return tell.exit_code
                if time.monotonic() > patience:
                    complain(f"{found.unsettled} is still being written; it is left for the next run.")
                    return DEAD_LETTERED
            if not found.more:
                time.sleep(max(every, min(found.looked / SHARE, LONGEST_PAUSE)))
    except KeyboardInterrupt:
        tell.say("Stopped. Run it again to finish the rest.")
        return DONE
    except OSError as error:
        complain(f"{in_one_line(error)}. Fix this, then start it again.")
        return 1
