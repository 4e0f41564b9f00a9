"""Where forecasts go, as it travels to the workers; places.py opens it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.requests.uris import is_uri


@dataclass(frozen=True)
class Destination:
    """A place for forecasts, as it travels to the workers.

    Attributes:
        path: an absolute folder, or gs://bucket/prefix.
        dataset: PROJECT.DATASET, or "" for no tables in BigQuery.
        batch: whether the run ends.
        history: whether to also write the input values.
        readable: datasets and tables of BigQuery that queries may read, as bigquery:PROJECT.DATASET.
        run: id of this run, if its folder is to record what it has done.
    """

    path: str
    dataset: str = ""
    batch: bool = True
    history: bool = False
    run: str = ""
    readable: tuple[str, ...] = ()

    @property
    def in_bucket(self) -> bool:
        """Whether it is in a bucket."""
        return is_uri(self.path)
