"""ReadRequests: from wherever requests come."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from pipeline.runs import FolderRun, Run
from pipeline.transforms.list_objects import ListObjects
from pipeline.transforms.pull_requests import PullRequests
from pipeline.transforms.read_files import ReadFiles
from pipeline.transforms.read_messages import ReadMessages
from pipeline.transforms.watch_files import WatchFiles


@dataclass
class ReadRequests(beam.PTransform):
    """Reads requests from a subscription or a topic, a bucket's objects, or local files.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        run: the run.
    """

    run: Run

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        read: dict[str, beam.PCollection] = begin | "From" >> self._source()
        return read

    def _source(self) -> beam.PTransform:
        run = self.run
        if isinstance(run, FolderRun) and run.inbox is not None:
            return WatchFiles(run)
        if isinstance(run, FolderRun):
            allowed = tuple(str(folder.absolute()) for folder in run.allowed)
            return ReadFiles(run.files, run.spec.to_json(), allowed, run.destination.path)
        if run.pulls:
            return PullRequests(run)
        if run.subscription:
            return ReadMessages(run.subscription, run.rules)
        return ListObjects(run.objects, run.rules)
