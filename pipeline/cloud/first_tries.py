"""The first attempt's result of each part of a request. Later attempts adopt it: memory or time may change results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pipeline.cloud import objects
from pipeline.cloud.work_files import MAX_OBJECT_BYTES
from pipeline.core.block_bytes import block_from_bytes, block_to_bytes
from pipeline.core.blocks import ForecastBlock
from pipeline.core.elements import Request
from pipeline.core.outputs.outcomes import BlockSummary, cut_of

ARROW_TYPE = "application/vnd.apache.arrow.stream"


class FirstTries:
    """Reads and writes them.

    Args:
        bucket: where they are.
        prefix: below which the work files are.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix

    def adopt(self, block: ForecastBlock) -> ForecastBlock:
        """Return the part as the first try of its request computed it; write it if this is the first try."""
        name = self._name(block.request, block.part, cut_of(block))
        if objects.create(self._bucket, name, block_to_bytes(block), ARROW_TYPE):
            return block
        content = objects.read_small(self._bucket, name, MAX_OBJECT_BYTES)
        if content is None:  # the request has just been finished
            return block
        first = block_from_bytes(ForecastBlock, content)
        return dataclasses.replace(first, reading=block.reading, work_files=block.work_files)

    def remove(self, request: Request, summaries: Sequence[BlockSummary]) -> None:
        """Remove the first tries of a request that is done."""
        objects.delete(self._bucket, [self._name(request, part, summary.cut) for part, summary in enumerate(summaries)])

    def _name(self, request: Request, part: int, cut: str) -> str:
        return f"{self._prefix}{request.key}/first/{part:06d}-{cut}.arrow"
