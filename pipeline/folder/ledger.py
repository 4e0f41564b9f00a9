"""The ledger of an output folder: its receipts and dead letters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.ndjson import read_ndjson
from pipeline.core.outputs.ledger import Candidate, Done
from pipeline.core.requests.local_files import UNREAD, InputFile, request_of_csv
from pipeline.core.requests.names import INTERNAL
from pipeline.folder.dead_letters import REPLAYED, STRAY
from pipeline.folder.incoming import request_or_letter
from pipeline.folder.output import FolderOutput
from pipeline.folder.receipts import FolderReceipts
from pipeline.folder.whole_files import WholeFiles


@dataclass(frozen=True)
class FolderLetters:
    """Dead letters in an output folder."""

    path: Path
    source: str
    version: str
    source_time: str

    @property
    def key(self) -> str:
        """The request's key."""
        return self.path.stem.removeprefix(STRAY)

    @property
    def replayed(self) -> bool:
        """Whether they were already replayed."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(REPLAYED)

    def read(self) -> Iterator[DeadLetter]:
        """Yield the letters one at a time."""
        with self.path.open("rb") as file:
            yield from read_ndjson(file)

    def mark(self, key: str) -> None:
        """Record that they were replayed, and under which key."""
        self._mark.write_text(key + "\n")


class FolderLedger:
    """The ledger of an output folder."""

    def __init__(self, output: Path) -> None:
        self._internal = output / INTERNAL
        self._receipts = FolderReceipts(self._internal / "receipts", WholeFiles(self._internal / "work"))

    def receipts(self) -> Iterator[Done]:
        """Yield all receipts that are not superseded."""
        names = ["source", "version", "output", "attempt", "id", "status", "source_time"]
        for path, row in self._receipts.all(names):
            time = row.pop("source_time")
            if row["status"] != "superseded":
                yield Done(**row, age=_microseconds(time), key=path.stem)

    def dead_letters(self) -> Iterator[FolderLetters]:
        """Yield all dead letters."""
        for path in sorted((self._internal / "dead_letters").glob("*.ndjson")):
            with path.open("rb") as file:
                first = next(read_ndjson(file))
            yield FolderLetters(path, first.source, first.version, first.source_time)

    def age(self, request: Request) -> int:
        """Return when its source was created."""
        return _microseconds(datetime.fromisoformat(request.source_time))

    def once_more(self, request: Request) -> tuple[Request | None, str]:
        """Return the request to repeat: the current content must be the one requested."""
        now = request_of_csv(Path(request.source), request.output, request.parsed_spec, request.id)
        if now.version == UNREAD:
            return None, "still missing or unreadable"
        if request.version not in (now.version, UNREAD):
            return None, "outdated: the file has changed since"
        return dataclasses.replace(now, attempt=request.attempt), ""


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def candidates_in_folders(
    files: list[InputFile], spec: ForecastSpec, allowed: list[Path], output: Path
) -> Iterator[Candidate]:
    """Yield candidates for local files.

    Args:
        files: CSVs and manifests.
        spec: how they are forecast.
        allowed: folders in which manifests may name files.
        output: folder of the forecasts.
    """
    for file in files:
        request = request_or_letter(file, spec, allowed, FolderOutput(output))
        itself = request if isinstance(request, Request) and not file.is_manifest else None
        itself = itself or request_of_csv(Path(file.path), file.output, spec, "")
        yield Candidate(file.path, itself.version, itself.source_time, request)
