"""ReadFiles: local files to requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.requests.local_files import InputFile
from pipeline.folder.incoming import request_or_letter
from pipeline.folder.output import FolderOutput
from pipeline.transforms.requests_of_messages import BAD, told_apart


@dataclass
class ReadFiles(beam.PTransform):
    """Turns local files into requests.

    Input: the pipeline's begin. Outputs: `requests` (Request), `bad` (DeadLetter of scope message) for
    invalid manifests.

    Attributes:
        files: what to forecast, once.
        spec: the operator's options as canonical JSON.
        allowed: folders that manifests may name files in.
        output: folder of the forecasts.
    """

    files: tuple[InputFile, ...]
    spec: str
    allowed: tuple[str, ...]
    output: str

    def expand(self, begin: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        """Apply the transform."""
        outputs = (
            begin
            # deduplication by key spreads the requests anyway
            | "ListFiles" >> beam.Create([(file.path, file.output, file.named) for file in self.files], reshuffle=False)
            | "MakeRequests"
            >> beam.ParDo(_MakeRequest(self.spec, self.allowed, self.output))
            .with_output_types(Request, bad=DeadLetter)
            .with_outputs(BAD, main="requests")
        )
        return {"requests": outputs["requests"], "bad": outputs[BAD]}


class _MakeRequest(beam.DoFn):
    def __init__(self, spec: str, allowed: tuple[str, ...], output: str) -> None:
        self._spec, self._allowed, self._output = spec, allowed, output

    def process(self, element: tuple[str, str, bool]) -> Iterator[Request | beam.pvalue.TaggedOutput]:
        file, folder = InputFile(*element), FolderOutput(Path(self._output))
        allowed = [Path(path) for path in self._allowed]
        read = request_or_letter(file, ForecastSpec.from_json(self._spec), allowed, folder)
        if file.is_manifest and isinstance(read, Request):
            folder.remove_stray_dead_letter(file.path)
        yield told_apart(read)
