"""ReadRequests: from wherever requests come."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from pipeline.options import Settings
from pipeline.transforms.list_objects import ListObjects
from pipeline.transforms.read_files import ReadFiles
from pipeline.transforms.read_messages import ReadMessages


@dataclass
class ReadRequests(beam.PTransform):
    """Reads requests from a subscription, a bucket's objects, or local files.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message).

    Attributes:
        settings: of the run.
    """

    settings: Settings

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        read: dict[str, beam.PCollection] = begin | "From" >> self._source()
        return read

    def _source(self) -> beam.PTransform:
        settings = self.settings
        if settings.subscription:
            return ReadMessages(settings.subscription, settings.rules)
        if settings.destination.in_bucket:
            return ListObjects(settings.objects, settings.rules)
        allowed = tuple(str(folder.absolute()) for folder in settings.allowed)
        return ReadFiles(settings.files, settings.spec.to_json(), allowed, settings.destination.path)
