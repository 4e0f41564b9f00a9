"""Where a run reads and writes: the only module that chooses between a folder and a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.core.outputs.ledger import Ledger
from pipeline.core.outputs.output import Output
from pipeline.core.outputs.results import Results
from pipeline.core.requests.uris import is_uri
from pipeline.folder.ledger import FolderLedger
from pipeline.folder.output import FolderOutput
from pipeline.folder.results import FolderResults


def open_results(place: str, scratch: Path) -> Results:
    """Return the results below a folder or gs://bucket/prefix.

    Args:
        place: the output of a run.
        scratch: a folder for copies of objects.

    Raises:
        FileNotFoundError: if it has no results.
    """
    if is_uri(place):
        from pipeline.cloud.results import BucketResults  # needs the extra `gcp`

        return BucketResults(place, scratch)
    return FolderResults(Path(place))


@dataclass(frozen=True)
class Destination:
    """A place for forecasts, as it travels to the workers.

    Attributes:
        path: an absolute folder, or gs://bucket/prefix.
        dataset: PROJECT.DATASET, or "" for no tables in BigQuery.
        batch: whether the run ends.
        history: whether to also write the input values.
        run: id of this run, if its folder is to record what it has done.
    """

    path: str
    dataset: str = ""
    batch: bool = True
    history: bool = False
    run: str = ""

    @property
    def in_bucket(self) -> bool:
        """Whether it is in a bucket."""
        return is_uri(self.path)


@lru_cache(maxsize=8)
def open_output(destination: Destination) -> Output:
    """Return the place itself; its clients live as long as the process."""
    if destination.in_bucket:
        from pipeline.cloud.output import BucketOutput  # needs the extra `gcp`
        from pipeline.cloud.retry import on_retry
        from pipeline.metrics import count_retry

        on_retry(count_retry)
        return BucketOutput(destination.path, destination.dataset, destination.batch, destination.history)
    return FolderOutput(Path(destination.path), destination.history, destination.run)


def open_ledger(output: str) -> Ledger:
    """Return the ledger of an output."""
    if is_uri(output):
        from pipeline.cloud.ledger import BucketLedger

        return BucketLedger(output)
    return FolderLedger(Path(output))
