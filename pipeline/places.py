"""Where a run reads and writes: the only module that chooses between a folder and a bucket."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pipeline.core.outputs.ledger import Ledger
from pipeline.core.outputs.output import Output
from pipeline.core.outputs.results import Results
from pipeline.core.requests.uris import is_uri
from pipeline.destination import Destination
from pipeline.folder.ledger import FolderLedger
from pipeline.folder.output import FolderOutput
from pipeline.folder.receipts import spec_of_forecast
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


@lru_cache(maxsize=8)
def open_output(destination: Destination) -> Output:
    """Return the place itself; its clients live as long as the process."""
    if destination.in_bucket:
        from pipeline.cloud.output import BucketOutput  # needs the extra `gcp`
        from pipeline.cloud.retry import on_retry
        from pipeline.metrics import count_retry

        on_retry(count_retry)
        return BucketOutput(
            destination.path, destination.dataset, destination.batch, destination.history, destination.readable
        )
    return FolderOutput(Path(destination.path), destination.history, destination.run)


def local_copy(place: str, scratch: Path) -> Path | None:
    """Return a local path of a file: itself, or a copy of an object; None if there is no such object.

    Args:
        place: a path, or gs://bucket/name.
        scratch: a folder for copies.
    """
    if not is_uri(place):
        return Path(place)
    from pipeline.cloud.results import local_copy as copy_of_object

    return copy_of_object(place, scratch)


def options_of_forecast(forecast: str, history: str) -> dict[str, object]:
    """Return the options, by name, with which a file was forecast; none if there is no receipt of that."""
    if is_uri(forecast) != is_uri(history):
        return {}
    if is_uri(forecast):
        from pipeline.cloud.results import options_of_forecast as options_of_object

        return options_of_object(forecast, history)
    return spec_of_forecast(Path(forecast), Path(history))


def open_ledger(output: str) -> Ledger:
    """Return the ledger of an output."""
    if is_uri(output):
        from pipeline.cloud.ledger import BucketLedger

        return BucketLedger(output)
    return FolderLedger(Path(output))
