"""One look at an inbox: which files to forecast, and which of them are still being written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.requests.local_files import InputFile, named_by
from pipeline.core.requests.names import MANIFEST_SUFFIX, forecast_name, real_path
from pipeline.folder.inbox import Inbox, State, state_of

Seen = tuple[State | str | None, ...]


@dataclass(frozen=True)
class FoundFile:
    """A CSV or a manifest in an inbox.

    Attributes:
        file: the file.
        source: the CSV that a manifest names; "" for a CSV itself, and for a manifest that names none.
        seen: their states: while these stay the same, there is nothing to do for the file.
        unsettled: whether one of them is still being written.
        taker: an earlier file whose forecast has the same name, or "".
    """

    file: InputFile
    source: str
    seen: Seen
    unsettled: bool
    taker: str

    @property
    def source_is_absent(self) -> bool:
        """Whether a manifest names a CSV that does not exist."""
        return None in self.seen


@dataclass(frozen=True)
class Look:
    """The contents of an inbox.

    Attributes:
        files: the files to forecast, by path; without CSVs that a manifest names.
        outputs: names of all forecasts and manifests.
        of_interest: paths of all files, and of those that manifests name elsewhere.
    """

    files: list[FoundFile]
    outputs: set[str]
    of_interest: set[str]


class Lookout:
    """Looks at an inbox again and again.

    Args:
        inbox: the folder that files are dropped into.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._named: dict[str, tuple[State | None, tuple[str, str]]] = {}  # what manifests name

    def look(self, now: float) -> Look:
        """Return the current contents.

        Args:
            now: a time in seconds that never goes back.
        """
        states = self._inbox.files()
        named = {path: self._names(path, state) for path, state in states.items() if is_manifest(path)}
        claimed = {source for source, _ in named.values() if source and not is_manifest(source)}
        takers: dict[str, str] = {}
        found = []
        for path, state in states.items():
            if claimed and str(real_path(Path(path))) in claimed:
                continue
            source, output = named.get(path, ("", ""))
            taker = takers.setdefault(output or self.output_of(path), path)
            found.append(self._found(path, state, source, "" if taker == path else taker, now))
        interesting = {*states, *claimed}
        self._inbox.forget_all_but(interesting)
        return Look(found, {*takers, *(self.output_of(path) for path in named)}, interesting)

    def _found(self, path: str, state: State, source: str, taker: str, now: float) -> FoundFile:
        seen: Seen = (self._inbox.settled(path, state, now),)
        unsettled = seen[0] is None
        if source:
            source_state = state_of(source)
            seen = (*seen, self._inbox.settled(source, source_state, now))
            unsettled = unsettled or (seen[1] is None and source_state is not None)
        if taker:
            seen = (*seen, taker)
        return FoundFile(InputFile(path, self.output_of(path)), source, seen, unsettled, taker)

    def disturbed(self, found: FoundFile) -> None:
        """Record that a file turned out to be changing, so that it has to settle again."""
        self._inbox.disturbed(found.file.path)
        self._inbox.disturbed(found.source)

    def output_of(self, path: str) -> str:
        """Return the name of the forecast of a file in the inbox."""
        return forecast_name(Path(path).relative_to(self._inbox.folder.absolute()).as_posix())

    def _names(self, path: str, state: State) -> tuple[str, str]:
        """Return what a manifest names; the manifest is read again only if it has changed."""
        known = self._named.get(path)
        if known is None or known[0] != state:
            self._named[path] = known = (state, named_by(InputFile(path, self.output_of(path))))
        return known[1]


def is_manifest(path: str) -> bool:
    """Return whether a file is a manifest, by its name."""
    return path.endswith(MANIFEST_SUFFIX)
