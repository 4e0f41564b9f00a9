"""A watched folder: files dropped into it are forecast once, however often the watch is started and killed.

All state is in the output folder: a file with a receipt is done. What this process remembers only saves it from
looking there again.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable

from pipeline.core.elements import DeadLetter
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.watching import Pass
from pipeline.folder.inbox import Inbox
from pipeline.folder.incoming import request_or_letter, taken_letter
from pipeline.folder.lookout import FoundFile, Lookout, Seen
from pipeline.folder.output import FolderOutput
from pipeline.folder.run import forecast_files, workers_worth_while
from pipeline.folder.watched_notes import WatchedNotes
from pipeline.runs import FolderRun

# The file is being written, or was removed again: it will be looked at again, and need not be reported.
CHANGING = frozenset({"SOURCE_CHANGED"})
PASSING = CHANGING | {"SOURCE_GONE"}
# Limits of one pass, so that files dropped meanwhile are seen soon.
PASS_SECONDS, PASS_FILES = 1.0, 200


class WatchedFolder:
    """Forecasts what is new, pass by pass.

    Args:
        inbox: the folder that files are dropped into.
        run: how to forecast, and where to write; its `files` are replaced.
        tell: called with the result of each file.
    """

    def __init__(self, inbox: Inbox, run: FolderRun, tell: Callable[[RunOutcome], None]) -> None:
        self._run, self._tell = run, tell
        self._lookout = Lookout(inbox)
        self._folder = FolderOutput(run.output, run.history)
        self._notes = WatchedNotes(self._folder, self._lookout.output_of)
        self._seen: dict[str, Seen] = {}  # the files that are dealt with, as they were then
        self._forecasts: dict[str, str] = {}  # of those that have one, where it is
        self._markers_cleared = False

    def step(self, now: float) -> Pass:
        """Look at the folder once, and forecast files that have settled and are not done, or some of them.

        Args:
            now: a time in seconds that never goes back.
        """
        start = time.process_time()
        look = self._lookout.look(now)
        self._forget_all_but(look.of_interest)
        self._notes.remove_all_but(look.outputs)
        new = [found for found in look.files if not self._is_dealt_with(found)]
        settled = [found for found in new if not found.unsettled]
        unsettled = next((found.file.path for found in reversed(new) if found.unsettled), "")
        for found in settled:
            if found.taker:
                self._refuse(found)
        todo = [found for found in settled if not found.taker]
        looked = time.process_time() - start
        undone, checked = self._undone(todo)
        done = self._forecast(undone)
        more = checked < len(todo)
        if not (more or unsettled or self._markers_cleared) and all(found.file.path in self._seen for found in undone):
            # everything in the inbox is done: remaining markers are of files that were replaced or removed
            self._folder.clear_markers()
            self._markers_cleared = True
        return Pass(done, unsettled, more, looked)

    def _is_dealt_with(self, found: FoundFile) -> bool:
        """Return whether a file is done in its current state, and its forecast still exists."""
        path = found.file.path
        if found.seen != self._seen.get(path):
            return False
        forecast = self._forecasts.get(path)
        return forecast is None or os.path.exists(forecast)  # noqa: PTH110 - for each file at each look

    def _forget_all_but(self, paths: set[str]) -> None:
        for path in set(self._seen) - paths:
            del self._seen[path]
            self._forecasts.pop(path, None)

    def _refuse(self, found: FoundFile) -> None:
        """Refuse a file whose forecast would overwrite that of another."""
        letter = taken_letter(found.file, found.taker)
        if not self._folder.has_stray_dead_letter(letter):
            self._folder.write_stray_dead_letter(letter)
            outcome = RunOutcome((), (letter,))
            self._notes.write(outcome)
            self._tell(outcome)
        self._seen[found.file.path] = found.seen

    def _undone(self, todo: list[FoundFile]) -> tuple[list[FoundFile], int]:
        """Return the files without a receipt, up to the limits of one pass, and how many files were checked."""
        undone: list[FoundFile] = []
        end, checked = time.monotonic() + PASS_SECONDS, 0
        for found in todo:
            if len(undone) == PASS_FILES or time.monotonic() > end:
                break
            checked += 1
            if not self._done_before(found):
                undone.append(found)
        return undone, checked

    def _done_before(self, found: FoundFile) -> bool:
        """Return whether a file was done, perhaps by an earlier process; keep its note up to date."""
        request = request_or_letter(found.file, self._run.spec, self._run.allowed, self._folder)
        if isinstance(request, DeadLetter):
            if not self._folder.has_stray_dead_letter(request):
                return False
            self._notes.write(RunOutcome((), (request,)))
        else:
            receipt = self._folder.standing_receipt(request)
            if receipt is None:
                return False
            if receipt.status != "failed":
                self._forecasts[found.file.path] = str(self._run.output / receipt.output)
            self._notes.write(RunOutcome((receipt,), tuple(self._folder.dead_letters(request.key))))
        self._seen[found.file.path] = found.seen
        return True

    def _forecast(self, todo: list[FoundFile]) -> int:
        """Forecast files; return how many were forecast or refused, not counting those put off."""
        told: set[str] = set()
        forecasts: dict[str, str] = {}

        def tell(outcome: RunOutcome) -> None:
            self._notes.write(outcome)
            for receipt in outcome.receipts:
                told.add(receipt.source)
                if receipt.status != "failed":
                    forecasts[receipt.source] = str(self._run.output / receipt.output)
            told.update(letter.source for letter in outcome.letters)
            self._tell(outcome)

        absent = [found.file for found in todo if found.source_is_absent]  # what a manifest names may never come
        there = [found.file for found in todo if not found.source_is_absent]
        for files, put_off in ((there, PASSING), (absent, CHANGING)):
            if files:
                run = dataclasses.replace(self._run, files=tuple(files))
                forecast_files(run, workers_worth_while(run), tell=tell, put_off=put_off)
        for found in todo:
            path, source = found.file.path, found.source if found.file.is_manifest else found.file.path
            if path not in told and source not in told:  # put off
                self._lookout.disturbed(found)
                continue
            self._seen[path] = found.seen
            if path not in told:  # a manifest that was no request before
                self._notes.remove(self._lookout.output_of(path))
            if source in forecasts:
                self._forecasts[path] = forecasts[source]
        return len(told)
