"""The books of a run: what was uploaded, the receipts of it, and the rows of it in the tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.api_core import exceptions

from pipeline.cloud.object_metadata import ObjectMetadata
from pipeline.cloud.tables import qualified
from pipeline.core.requests.names import INTERNAL, MANIFEST_SUFFIX, forecast_name
from pipeline.core.requests.uris import folder_prefix, split_uri
from verification.files import small_file
from verification.project import Job, Names, Project, wait_until
from verification.report import Failed

UPLOADS_AT_ONCE = 32
SETTLE_SECONDS = 120.0  # until a row that BigQuery has taken shows in a query
MAX_NAMED = 5  # missing files that a failure names
DELIVERY = "docs/delivery.md, After something went wrong"
ACCOUNTING = "docs/delivery.md, Accounting"
TABLES_CHAPTER = "docs/tables.md, In BigQuery"


@dataclass(frozen=True)
class Options:
    """What was asked for; each attribute is an option of the program (see `python -m verification --help`)."""

    project: str
    version: str
    region: str
    name: str
    report: Path
    released: bool = False
    existing: bool = False
    update_to: str = ""
    kill_workers: bool = False
    batch_files: int = 10_000
    deadline: float = 1800.0
    poll: float = 5.0
    keep: bool = False
    keep_on_failure: bool = False
    python: str = ""
    steps: tuple[str, ...] = ()
    dry_run: bool = False
    yes: bool = False


@dataclass(frozen=True)
class Uploaded:
    """A table whose forecast is expected, by the identity of its receipt.

    Attributes:
        source: gs://bucket/name.
        version: its generation.
        output: the forecast's name below the output.
    """

    source: str
    version: str
    output: str


@dataclass
class Run:
    """One verification while it runs.

    Attributes:
        options: what was asked for.
        project: the installation.
        id: of this verification; its uploads are below a folder of this name.
        scratch: a folder on this machine for files.
        begun: whether something was created in the project, which is then to be destroyed.
        running: the version that runs now.
        jobs: names of the jobs that were seen, by their ids.
        shapes: the files of several shapes.
        local: receipts of the local forecasts of these files, by output.
        letters: their dead letters.
        sent: how many files were uploaded to be forecast, and their series.
    """

    options: Options
    project: Project
    id: str
    scratch: Path
    begun: bool = False
    running: str = ""
    jobs: dict[str, str] = field(default_factory=dict)
    shapes: list[Uploaded] = field(default_factory=list)
    local: dict[str, dict[str, Any]] = field(default_factory=dict)
    letters: list[dict[str, Any]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    _names: Names | None = None

    @property
    def names(self) -> Names:
        """The names of what Terraform created."""
        if self._names is None:
            self._names = self.project.names()
        return self._names

    def has_names(self) -> bool:
        """Return whether Terraform was asked for the names already."""
        return self._names is not None

    def folder(self, part: str = "") -> str:
        """Return the folder of this verification's uploads, or a part of it, as names of objects begin."""
        prefix = split_uri(folder_prefix(self.names.uploads))[1]
        return f"{prefix}verification/{self.id}/{part}"

    def uri(self, name: str) -> str:
        """Return the URI of an upload."""
        return f"gs://{self.names.buckets[0]}/{name}"

    def streaming_job(self) -> Job | None:
        """Return the newest streaming job, and remember it."""
        jobs = self.project.jobs(self.options.name)
        for job in jobs:
            self.jobs[job.id] = job.name
        return jobs[0] if jobs else None

    def wait(self, ready: Callable[[], bool]) -> bool:
        """Wait until something holds, for at most the deadline; return whether it does."""
        return wait_until(ready, self.options.deadline, self.options.poll)


# ------------------------------------------------------------------------------------------- uploads


def upload_small_files(run: Run, part: str, count: int) -> list[Uploaded]:
    """Upload a number of equal files below a folder of this verification."""
    content = small_file().encode()

    def upload(number: int) -> Uploaded:
        name = f"{run.folder(part)}/{number:06d}.csv"
        return Uploaded(run.uri(name), run.project.upload(run.uri(name), content), name)

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        return list(pool.map(upload, range(count)))


def upload_folder(run: Run, folder: Path) -> list[Uploaded]:
    """Upload all files below a folder under the same names; return those whose forecast is expected."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    uploaded = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        version = run.project.upload(run.uri(name), path.read_bytes())
        if not name.endswith(MANIFEST_SUFFIX):
            uploaded.append(Uploaded(run.uri(name), version, forecast_name(name)))
    return uploaded


# ------------------------------------------------------------------------------------------ receipts


def receipts(run: Run, part: str = "") -> dict[Uploaded, str]:
    """Return the names of the receipts' objects of this verification's uploads, or of a part of them."""
    below = run.uri(run.folder(part))
    place = f"{folder_prefix(run.names.output)}{INTERNAL}/receipts/"
    found = {}
    for blob in run.project.objects(place):
        read = ObjectMetadata.read(blob)
        if (read.source or "").startswith(below):
            found[Uploaded(read.source or "", read.version or "", read.output or "")] = str(blob.name)
    return found


def wait_for_receipts(
    run: Run, expected: Sequence[Uploaded], part: str, look_at: str = DELIVERY
) -> dict[Uploaded, str]:
    """Wait until all these uploads have receipts; return the receipts of the part.

    Raises:
        Failed: if some have none when the deadline is over.
    """
    there: dict[Uploaded, str] = {}

    def all_there() -> bool:
        there.update(receipts(run, part))
        return there.keys() >= set(expected)

    if not run.wait(all_there):
        missing = sorted(upload.output for upload in set(expected) - there.keys())
        seen = f"{len(expected) - len(missing)} within {run.options.deadline:g} s; without: {_some(missing)}"
        raise Failed(f"{len(expected)} receipts", seen, look_at)
    return there


def read_receipts(run: Run, names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the receipts in these objects of the output's bucket."""
    bucket = split_uri(folder_prefix(run.names.output))[0]

    def read(name: str) -> dict[str, Any]:
        return dict(json.loads(run.project.read(f"gs://{bucket}/{name}") or b"{}"))

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        return list(pool.map(read, names))


# -------------------------------------------------------------------------------------------- tables


def counts(run: Run, part: str = "") -> dict[str, int]:
    """Return how many rows tables and views have of this verification's uploads, or of a part of them."""
    queries = {
        "rows in latest_forecasts": "SELECT COUNT(*) AS n FROM latest_forecasts WHERE {mine}",
        "distinct rows in forecasts": (
            "SELECT COUNT(*) AS n FROM (SELECT DISTINCT request_key, series_id, step, CAST(confidence_level AS STRING) "
            "FROM forecasts WHERE {mine})"
        ),
        "rows in latest_receipts": "SELECT COUNT(*) AS n FROM latest_receipts WHERE {mine}",
        "rows in open_dead_letters": "SELECT COUNT(*) AS n FROM open_dead_letters WHERE {mine}",
    }
    return {name: int(ask(run, sql, part)[0]["n"]) for name, sql in queries.items()}


def ask(run: Run, sql: str, part: str = "") -> list[dict[str, Any]]:
    """Return the rows of a query with bare names of tables, in which {mine} means this verification's uploads.

    Raises:
        Failed: if BigQuery refuses the query.
    """
    below = run.uri(run.folder(part))
    if "'" in below or "\\" in below:
        raise Failed("names without quotes", below, TABLES_CHAPTER)
    filled = qualified(sql.replace("{mine}", f"STARTS_WITH(source, '{below}')"), run.names.dataset)
    try:
        return run.project.query(filled)
    except exceptions.GoogleAPICallError as error:
        raise Failed(f"`{filled}` to be answered", str(error), TABLES_CHAPTER) from None


def balance(run: Run, expected: Sequence[Uploaded], part: str, look_at: str = ACCOUNTING) -> dict[str, Any]:
    """Check that each of these good uploads is complete, and that its rows are counted once; return the numbers.

    Raises:
        Failed: if the books do not balance.
    """
    there = wait_for_receipts(run, expected, part, look_at)
    read = read_receipts(run, there.values())
    rows = sum(receipt["rows"] for receipt in read)
    statuses = sorted({receipt["status"] for receipt in read})
    wanted = {
        "rows in latest_forecasts": rows,
        "distinct rows in forecasts": rows,
        "rows in latest_receipts": len(expected),
        "rows in open_dead_letters": 0,
        "receipts": len(expected),
        "statuses": ["complete"],
    }
    seen = settled(run, lambda: {**counts(run, part), "receipts": len(there), "statuses": statuses}, wanted)
    if seen != wanted:
        raise Failed(_told(wanted, seen), _told(seen, wanted), look_at)
    return {"files": len(expected), **counts_only(seen)}


def settled(run: Run, look: Callable[[], dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what is seen once it is what is wanted, or after a while: streamed rows show in queries a little later."""
    seen: dict[str, Any] = {}

    def is_as_wanted() -> bool:
        seen.clear()
        seen.update(look())
        return seen == wanted

    wait_until(is_as_wanted, min(run.options.deadline, SETTLE_SECONDS), run.options.poll)
    return seen


def counts_only(numbers: dict[str, Any]) -> dict[str, int]:
    """Return those of some findings that are counts."""
    return {name: number for name, number in numbers.items() if isinstance(number, int)}


def _told(numbers: dict[str, Any], other: dict[str, Any]) -> str:
    """Return the numbers that differ from others."""
    return ", ".join(f"{name}: {value}" for name, value in numbers.items() if value != other[name])


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
