"""Runs one transform on a few elements at once, so that its test is three lines."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline

from pipeline.metrics import NAMESPACE

_kept: dict[tuple[int, str], list[Any]] = {}  # by run and output; the runner's workers are threads of this process
_runs = itertools.count()


@dataclass(frozen=True)
class Ran:
    """What a transform gave.

    Attributes:
        outputs: elements of each output by its name; "" for the only one.
        counters: our own, by name.
    """

    outputs: dict[str, list[Any]]
    counters: dict[str, int]

    @property
    def output(self) -> list[Any]:
        """The elements of the only output."""
        return self.outputs[""]


def run(transform: beam.PTransform, elements: Iterable[Any] | beam.PTransform | None, streaming: bool = False) -> Ran:
    """Apply a transform to elements, to what a source gives, or for None to the pipeline's begin."""
    number = next(_runs)
    with TestPipeline(options=PipelineOptions(streaming=streaming)) as pipeline:
        source = elements if isinstance(elements, beam.PTransform) else beam.Create(list(elements or ()))
        begin = pipeline if elements is None else pipeline | "Elements" >> source
        result = begin | "Transform" >> transform
        named = result if isinstance(result, dict) else {"": result}
        for name, output in named.items():
            _kept[number, name] = []
            output | f"Keep {name}" >> beam.Map(partial(_keep, number, name))
    found = pipeline.result.metrics().query()["counters"]
    counters = {c.key.metric.name: c.committed for c in found if c.key.metric.namespace == NAMESPACE}
    return Ran({name: _kept.pop((number, name)) for name in named}, counters)


def _keep(number: int, name: str, element: Any) -> None:
    _kept[number, name].append(element)
