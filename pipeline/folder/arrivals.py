"""Files that arrive in a folder, each given out until the ledger has what became of it.

Whoever works on them may be other processes. What this one remembers saves it from looking again; after a crash the
ledger tells what is left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.outputs.output import is_settled
from pipeline.folder.inbox import Inbox
from pipeline.folder.incoming import request_or_letter, taken_letter
from pipeline.folder.lookout import FoundFile, Lookout, Seen
from pipeline.folder.output import FolderOutput
from pipeline.runs import FolderRun

SETTLE = 1.0  # seconds for which a file must not have changed
WINDOW = 200  # files that are given out and not done
LOOK_SECONDS = 1.0  # after which one look gives out no more
AGAIN = 600.0  # seconds after which a file without a result is given out again: what worked on it may be lost


@dataclass
class _Given:
    seen: Seen
    asked: Request | DeadLetter
    at: float


class Arrivals:
    """Gives out what arrives in a folder.

    Args:
        run: which folder, and where the forecasts go.
    """

    def __init__(self, run: FolderRun) -> None:
        assert run.inbox is not None
        self._run = run
        self._lookout = Lookout(Inbox(run.inbox, SETTLE))
        self._output = FolderOutput(run.output, run.history)
        self._done: dict[str, Seen] = {}  # by path, as the files were then
        self._given: dict[str, _Given] = {}

    @property
    def given(self) -> int:
        """How many files are given out and not known to be done."""
        return len(self._given)

    def new(self, now: float) -> list[Request | DeadLetter]:
        """Return the requests of files that have settled and are not done, or their dead letters: some of them.

        Args:
            now: a time in seconds that never goes back.
        """
        look = self._lookout.look(now)
        self._note_done(now)
        for known in (self._done, self._given):
            for path in set(known) - look.of_interest:
                del known[path]
        found: dict[str, _Given] = {}  # noted once all are, since an error on the way keeps them from being given out
        end = time.monotonic() + LOOK_SECONDS
        for file in look.files:
            if len(self._given) + len(found) >= WINDOW or time.monotonic() > end:
                break
            if not file.unsettled and not self._is_known(file):
                asked = self._asked(file)
                if is_settled(asked, self._output):
                    self._done[file.file.path] = file.seen
                else:
                    found[file.file.path] = _Given(file.seen, asked, now)
        self._given |= found
        return [given.asked for given in found.values()]

    def take_back(self, asked: Request | DeadLetter) -> None:
        """Give something out again at the next look."""
        self._given = {path: given for path, given in self._given.items() if given.asked is not asked}

    def _note_done(self, now: float) -> None:
        for path, given in list(self._given.items()):
            if is_settled(given.asked, self._output):
                self._done[path] = given.seen
                del self._given[path]
            elif now - given.at > AGAIN:
                del self._given[path]

    def _is_known(self, file: FoundFile) -> bool:
        path, given = file.file.path, self._given.get(file.file.path)
        return self._done.get(path) == file.seen or (given is not None and given.seen == file.seen)

    def _asked(self, file: FoundFile) -> Request | DeadLetter:
        if file.taker:
            return taken_letter(file.file, file.taker)
        return request_or_letter(file.file, self._run.spec, self._run.allowed, self._output)
