"""Blocks as bytes: one Arrow IPC stream each, whose schema carries the block's other fields as JSON.

The same block always gives the same bytes, and no series becomes a Python object on the way.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TypeVar

import numpy as np
import pyarrow as pa

from pipeline.core.blocks import ForecastBlock, SeriesBlock
from pipeline.core.elements import Request
from pipeline.core.request_key import canonical_json
from pipeline.core.series.arrow_lists import TIMESTAMPS, first_of_same_dates, flat_list
from pipeline.core.series.layout import Layout
from pipeline.core.series.row_slices import RowSlice

B = TypeVar("B", SeriesBlock, ForecastBlock)
_HEADER = b"dropcast"


def block_to_bytes(block: SeriesBlock | ForecastBlock) -> bytes:
    """Return a block as bytes."""
    fields = {f.name: getattr(block, f.name) for f in dataclasses.fields(block) if f.name != "batch"}
    fields["request"], fields["layout"] = dataclasses.asdict(block.request), block.layout.to_json()
    batch = _dates_once(block.batch).replace_schema_metadata({_HEADER: canonical_json(fields).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def block_from_bytes(kind: type[B], encoded: bytes) -> B:
    """Return the block that `block_to_bytes` was given."""
    with pa.ipc.open_stream(pa.py_buffer(encoded)) as reader:
        batch = reader.read_next_batch()
    fields = json.loads(batch.schema.metadata[_HEADER])
    fields["request"], fields["layout"] = Request(**fields["request"]), Layout.from_json(fields["layout"])
    if "slices" in fields:
        fields["slices"] = tuple(RowSlice(*rows) for rows in fields["slices"])
    return kind(batch=_dates_each(batch.replace_schema_metadata(None)), **fields)


def _dates_once(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch in which rows with the same dates share them, which halves a block's size."""
    for i, field in enumerate(batch.schema):
        if field.type != TIMESTAMPS or not len(batch):
            continue
        first = first_of_same_dates(*flat_list(batch, field.name))
        if first.sum() < len(batch):
            dates = batch.column(i).filter(pa.array(first))
            shared = pa.DictionaryArray.from_arrays(pa.array((np.cumsum(first) - 1).astype(np.int32)), dates)
            batch = batch.set_column(i, field.name, shared)
    return batch


def _dates_each(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return what `_dates_once` was given."""
    for i, field in enumerate(batch.schema):
        if pa.types.is_dictionary(field.type):
            column = batch.column(i)
            batch = batch.set_column(i, field.name, column.dictionary.take(column.indices))
    return batch
