"""A folder that is watched: what is dropped into it is forecast, once, however often this is started and killed.

Nothing is remembered but in the output folder: a file whose receipt stands is done. What this process has seen spares
it looking there again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from pipeline.core.inbox import Inbox, State, state_of
from pipeline.core.naming import real_path
from pipeline.core.output_folder import OutputFolder
from pipeline.core.problem_notes import write_problem_note
from pipeline.core.requests import InputFile, named_by, request_for, stray_letter
from pipeline.core.summary import RunOutcome
from pipeline.elements import DeadLetter
from pipeline.errors import RecordError
from pipeline.forecast_files import forecast_files, workers_worth_while
from pipeline.options import Settings

# The file is being written, or was taken away again: it will be looked at anew, and nobody needs to be told.
CHANGING = frozenset({"SOURCE_CHANGED"})
PASSING = CHANGING | {"SOURCE_GONE"}
_Seen = tuple[State | None, ...]


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
        self._named: dict[str, tuple[State | None, tuple[str, str]]] = {}  # what manifests name

    def step(self, now: float) -> tuple[int, bool]:
        """Look at the folder once, and forecast what lies still and is not done.

        Args:
            now: a time in seconds that never goes back.

        Returns:
            How many files were forecast or refused, and whether some have yet to lie still.
        """
        paths = self._inbox.paths()
        named = {path: self._manifest(path) for path in paths if InputFile(path, "").is_manifest}
        claimed = {source for source, _ in named.values() if source}
        waiting, todo = False, []
        takers: dict[str, str] = {}
        for path in paths:
            if claimed and str(real_path(Path(path))) in claimed:
                continue
            source, output = named.get(path, ("", ""))
            taker = takers.setdefault(output or self._output(path), path)
            of = [path, source] if source else [path]
            states = tuple(self._inbox.settled(name, now) for name in of)
            if states == self._seen.get(path):
                continue
            if states[0] is None or (len(of) > 1 and states[1] is None and state_of(of[1]) is not None):
                waiting = True
            elif taker != path:
                self._refuse(path, taker)
                self._seen[path] = states
            else:
                todo.append((InputFile(path, self._output(path)), states))
        self._forget_all_but({*paths, *claimed})
        return self._forecast([(file, states) for file, states in todo if not self._done(file, states)]), waiting

    def _forget_all_but(self, paths: set[str]) -> None:
        self._inbox.forget_all_but(paths)
        for path in set(self._seen) - paths:
            del self._seen[path]
            self._remove_note(path)  # what it complains of is gone

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
        told: set[str] = set()

        def tell(outcome: RunOutcome) -> None:
            self._note(outcome)
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
                if file.path not in told:
                    self._remove_note(file.path)  # of a manifest that was no request before
            else:  # put off
                self._inbox.disturbed(file.path)
                self._inbox.disturbed(source)
        return len(told)

    def _done(self, file: InputFile, states: _Seen) -> bool:
        """Return whether a file was dealt with before, perhaps by an earlier process; see to its note."""
        try:
            request = request_for(file, self._settings.spec, list(self._settings.allowed))
        except RecordError as error:
            letter = stray_letter(file, error)
            done = self._told_before(letter)
            if done:
                self._note(RunOutcome((), (letter,)))
        else:
            receipt = self._folder.standing(request)
            if receipt is not None:
                self._note(RunOutcome((vars(receipt),), tuple(self._folder.dead_letters(request.key))))
            done = receipt is not None
        if done:
            self._seen[file.path] = states
        return done

    def _told_before(self, letter: DeadLetter) -> bool:
        """Return whether the dead letter of something that is no request is there already."""
        known = self._folder.stray_dead_letter(letter.source)
        return known is not None and (known.version, known.message) == (letter.version, letter.message)

    def _remove_note(self, path: str) -> None:
        write_problem_note(self._settings.output / self._output(path), "complete", ())

    def _note(self, outcome: RunOutcome) -> None:
        """Have a note lie beside the forecast of a file with problems, and none beside that of a good one."""
        letters = outcome.letters
        for row in outcome.receipts:
            write_problem_note(self._settings.output / str(row["output"]), str(row["status"]), letters)
        if not outcome.receipts:  # a manifest that never became a request
            for letter in letters:
                write_problem_note(self._settings.output / self._output(letter.source), "failed", letters)

    def _manifest(self, path: str) -> tuple[str, str]:
        state = state_of(path)
        known = self._named.get(path)
        if known is None or known[0] != state:
            self._named[path] = known = (state, named_by(InputFile(path, self._output(path))))
        return known[1]

    def _output(self, path: str) -> str:
        return Path(path).relative_to(self._inbox.folder.absolute()).as_posix()
