"""A folder that is watched: what is dropped into it is forecast, once, however often this is started and killed.

Nothing is remembered but in the output folder: a file whose receipt stands is done. What this process has seen spares
it looking there again.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.elements import DeadLetter
from pipeline.core.errors import RecordError
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.requests.local_files import InputFile, named_by, request_for, stray_letter
from pipeline.core.requests.names import MANIFEST_SUFFIX, real_path
from pipeline.folder.inbox import Inbox, State, state_of
from pipeline.folder.output import OutputFolder
from pipeline.folder.problem_notes import note_of, notes_below, write_problem_note
from pipeline.folder.run import forecast_files, workers_worth_while
from pipeline.options import Settings

# The file is being written, or was taken away again: it will be looked at anew, and nobody needs to be told.
CHANGING = frozenset({"SOURCE_CHANGED"})
PASSING = CHANGING | {"SOURCE_GONE"}
_Seen = tuple[State | str | None, ...]
# What one pass does at most, so that what is dropped meanwhile is seen soon.
MOST_SECONDS, MOST_FILES = 1.0, 200


@dataclass(frozen=True)
class Pass:
    """What came of one pass.

    Attributes:
        done: how many files were forecast or refused.
        unsettled: a file that has yet to lie still, or "".
        more: whether there is more to do at once.
        looked: seconds of the processor that looking took.
    """

    done: int
    unsettled: str
    more: bool
    looked: float


class WatchedFolder:
    """Does what is to be done, pass by pass.

    Args:
        inbox: the folder that files are dropped into.
        settings: how to forecast, and where to; their `files` are replaced.
        tell: is told what came of each file.
    """

    def __init__(self, inbox: Inbox, settings: Settings, tell: Callable[[RunOutcome], None]) -> None:
        self._inbox, self._settings, self._tell = inbox, settings, tell
        self._folder = OutputFolder(settings.output, settings.history)
        self._seen: dict[str, _Seen] = {}  # the files that are dealt with, as they were then
        self._forecasts: dict[str, str] = {}  # of those that have one, where it is
        self._named: dict[str, tuple[State | None, tuple[str, str]]] = {}  # what manifests name
        self._notes = notes_below(settings.output)

    def step(self, now: float) -> Pass:
        """Look at the folder once, and forecast what lies still and is not done, or some of it.

        Args:
            now: a time in seconds that never goes back.
        """
        start = time.process_time()
        states = self._inbox.files()
        named = {path: self._manifest(path, state) for path, state in states.items() if _is_manifest(path)}
        claimed = {source for source, _ in named.values() if source and not _is_manifest(source)}
        unsettled, todo = "", []
        takers: dict[str, str] = {}
        for path, state in states.items():
            if claimed and str(real_path(Path(path))) in claimed:
                continue
            source, output = named.get(path, ("", ""))
            taker = takers.setdefault(output or self._output(path), path)
            now_there = state_of(source) if source else None
            seen: _Seen = (self._inbox.settled(path, state, now),)
            if source:
                seen = (*seen, self._inbox.settled(source, now_there, now))
            if taker != path:
                seen = (*seen, taker)
            if seen == self._seen.get(path) and self._is_there(path):
                continue
            if seen[0] is None or (source and seen[1] is None and now_there is not None):
                unsettled = path
            elif taker != path:
                self._refuse(path, taker)
                self._seen[path] = seen
            else:
                todo.append((InputFile(path, self._output(path)), seen))
        self._forget_all_but({*states, *claimed})
        self._remove_notes_but({*takers, *(self._output(path) for path in named)})
        looked = time.process_time() - start
        undone: list[tuple[InputFile, _Seen]] = []
        end, checked = time.monotonic() + MOST_SECONDS, 0
        for file, seen in todo:
            if len(undone) == MOST_FILES or time.monotonic() > end:
                break
            checked += 1
            if not self._done(file, seen):
                undone.append((file, seen))
        return Pass(self._forecast(undone), unsettled, checked < len(todo), looked)

    def _is_there(self, path: str) -> bool:
        """Return whether the forecast of a file that is done is still where it was written."""
        forecast = self._forecasts.get(path)
        return forecast is None or os.path.exists(forecast)  # noqa: PTH110 - for each file at each look

    def _forget_all_but(self, paths: set[str]) -> None:
        self._inbox.forget_all_but(paths)
        for path in set(self._seen) - paths:
            del self._seen[path]
            self._forecasts.pop(path, None)

    def _remove_notes_but(self, outputs: set[str]) -> None:
        """Remove notes that complain of what is gone from the inbox."""
        if self._notes:
            kept = {note_of(self._settings.output / output) for output in outputs}
            for note in self._notes - kept:
                note.unlink(missing_ok=True)
            self._notes &= kept

    def _refuse(self, path: str, taker: str) -> None:
        """Refuse a file whose forecast would go where another's goes."""
        error = RecordError(
            "OUTPUT_TAKEN", f"Its forecast would go where that of {taker} goes.", "Name another output in the manifest."
        )
        letter = stray_letter(InputFile(path, self._output(path)), error)
        if not self._told_before(letter):
            self._folder.write_stray_dead_letter(letter)
            outcome = RunOutcome((), (letter,))
            self._note(outcome)
            self._tell(outcome)

    def _forecast(self, todo: list[tuple[InputFile, _Seen]]) -> int:
        if not todo:
            return 0
        told: set[str] = set()
        written: dict[str, str] = {}

        def tell(outcome: RunOutcome) -> None:
            self._note(outcome)
            for row in outcome.receipts:
                if row["status"] != "failed":
                    written[str(row["source"])] = str(self._settings.output / str(row["output"]))
            told.update(str(row["source"]) for row in outcome.receipts)
            told.update(letter.source for letter in outcome.letters)
            self._tell(outcome)

        absent = [file for file, states in todo if None in states]  # what a manifest names may never come
        there = [file for file, states in todo if None not in states]
        for files, put_off in ((there, PASSING), (absent, CHANGING)):
            if files:
                settings = dataclasses.replace(self._settings, files=tuple(files))
                forecast_files(settings, workers_worth_while(settings), tell=tell, put_off=put_off)
        for file, states in todo:
            source = named_by(file)[0] if file.is_manifest else file.path
            if file.path in told or source in told:
                self._seen[file.path] = states
                if file.path not in told:  # a manifest that was no request before
                    self._write_note(self._output(file.path), "complete", ())
                if source in written:
                    self._forecasts[file.path] = written[source]
            else:  # put off
                self._inbox.disturbed(file.path)
                self._inbox.disturbed(source)
        return len(told)

    def _done(self, file: InputFile, states: _Seen) -> bool:
        """Return whether a file was dealt with before, perhaps by an earlier process; keep its note up to date."""
        try:
            request = request_for(file, self._settings.spec, list(self._settings.allowed), self._folder.keep_traceback)
        except RecordError as error:
            letter = stray_letter(file, error)
            done = self._told_before(letter)
            if done:
                self._note(RunOutcome((), (letter,)))
        else:
            receipt = self._folder.standing(request)
            if receipt is not None:
                if receipt.status != "failed":
                    self._forecasts[file.path] = str(self._settings.output / receipt.output)
                self._note(RunOutcome((vars(receipt),), tuple(self._folder.dead_letters(request.key))))
            done = receipt is not None
        if done:
            self._seen[file.path] = states
        return done

    def _told_before(self, letter: DeadLetter) -> bool:
        """Return whether the dead letter of something that is no request is there already."""
        known = self._folder.stray_dead_letter(letter.source)
        return known is not None and (known.version, known.message) == (letter.version, letter.message)

    def _note(self, outcome: RunOutcome) -> None:
        """Have a note lie beside the forecast of a file with problems, and none beside that of a good one."""
        for row in outcome.receipts:
            self._write_note(str(row["output"]), str(row["status"]), outcome.letters)
        if not outcome.receipts:  # what never became a request
            for letter in outcome.letters:
                self._write_note(self._output(letter.source), "failed", outcome.letters)

    def _write_note(self, output: str, status: str, letters: tuple[DeadLetter, ...]) -> None:
        forecast = self._settings.output / output
        write_problem_note(forecast, status, letters)
        if status in ("failed", "partial"):
            self._notes.add(note_of(forecast))

    def _manifest(self, path: str, state: State) -> tuple[str, str]:
        known = self._named.get(path)
        if known is None or known[0] != state:
            self._named[path] = known = (state, named_by(InputFile(path, self._output(path))))
        return known[1]

    def _output(self, path: str) -> str:
        return Path(path).relative_to(self._inbox.folder.absolute()).as_posix()


def _is_manifest(path: str) -> bool:
    return path.endswith(MANIFEST_SUFFIX)
