"""Where a run writes to: a folder, or a bucket with or without tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.core.output import Output
from pipeline.core.output_folder import OutputFolder
from pipeline.core.uris import is_uri


@dataclass(frozen=True)
class Destination:
    """A place for forecasts, as it travels to the workers.

    Attributes:
        path: an absolute folder, or gs://bucket/prefix.
        dataset: PROJECT.DATASET, or "" for no tables in BigQuery.
        batch: whether the run ends.
        history: whether to write the values from which forecasts are made.
        run: what tells this run from others, if a folder is to note what it has done.
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
        from pipeline.cloud.output_bucket import OutputBucket  # needs the extra `gcp`
        from pipeline.cloud.retry import on_retry
        from pipeline.metrics import count_retry

        on_retry(count_retry)
        return OutputBucket(destination.path, destination.dataset, destination.batch, destination.history)
    return OutputFolder(Path(destination.path), destination.history, destination.run)
