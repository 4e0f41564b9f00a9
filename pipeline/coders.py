"""How elements cross Beam: small ones as a JSON array of their fields, blocks as one Arrow IPC stream each.

Beam's own row coder is no choice: a worker process that has not yet imported elements.py decodes its rows to
a made-up class.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam import coders

from pipeline.core.request_key import canonical_json
from pipeline.core.series_batch import TIMESTAMPS, first_of_same_dates, flat_list
from pipeline.elements import DeadLetter, ForecastBlock, Outcome, Receipt, Request, SeriesBlock

_HEADER = b"dropcast"


class FieldsCoder(coders.Coder):
    """Encodes a flat dataclass as a JSON array of its fields, in their order."""

    element: type[Any]

    def encode(self, value: Any) -> bytes:
        """Return the element's bytes."""
        return canonical_json(_fields(value)).encode()

    def decode(self, encoded: bytes) -> Any:
        """Return the element."""
        return self.element(*json.loads(encoded))

    def is_deterministic(self) -> bool:
        """Return True: canonical JSON leaves no choice."""
        return True

    def estimate_size(self, value: Any) -> int:
        """Return about the number of bytes, for which Beam's own would encode it again."""
        return sum(len(field) if isinstance(field, str) else 8 for field in _fields(value))

    def to_type_hint(self) -> type[Any]:
        """Return the element's type."""
        return self.element


def _fields(value: Any) -> list[Any]:
    return [getattr(value, field.name) for field in dataclasses.fields(value)]


class RequestCoder(FieldsCoder):
    """Coder of Request."""

    element = Request


class DeadLetterCoder(FieldsCoder):
    """Coder of DeadLetter."""

    element = DeadLetter


class ReceiptCoder(FieldsCoder):
    """Coder of Receipt."""

    element = Receipt


class OutcomeCoder(FieldsCoder):
    """Coder of Outcome."""

    element = Outcome

    def encode(self, value: Outcome) -> bytes:
        """Return the outcome's bytes."""
        request, *fields = _fields(value)
        return canonical_json([dataclasses.asdict(request), *fields]).encode()

    def decode(self, encoded: bytes) -> Outcome:
        """Return the outcome."""
        request, *fields = json.loads(encoded)
        return Outcome(Request(**request), *fields)


class BlockCoder(coders.Coder):
    """Encodes a block as an Arrow IPC stream whose schema carries the block's other fields as JSON.

    The same block always gives the same bytes, and no series becomes a Python object on the way.
    """

    element: type[Any]

    def encode(self, value: Any) -> bytes:
        """Return the block's bytes."""
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name != "batch"}
        fields["request"] = dataclasses.asdict(value.request)
        batch = _dates_once(value.batch).replace_schema_metadata({_HEADER: canonical_json(fields).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue().to_pybytes())

    def decode(self, encoded: bytes) -> Any:
        """Return the block."""
        with pa.ipc.open_stream(pa.py_buffer(encoded)) as reader:
            batch = reader.read_next_batch()
        fields = json.loads(batch.schema.metadata[_HEADER])
        fields["request"] = Request(**fields["request"])
        return self.element(batch=_dates_each(batch.replace_schema_metadata(None)), **fields)

    def estimate_size(self, value: Any) -> int:
        """Return about the number of bytes, for which Beam's own would encode it again."""
        return int(value.batch.nbytes)

    def is_deterministic(self) -> bool:
        """Return True: neither IPC nor canonical JSON leaves a choice."""
        return True

    def to_type_hint(self) -> type[Any]:
        """Return the element's type."""
        return self.element


def _dates_once(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch in which rows with the same dates share them: half of what a block would carry."""
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


class SeriesBlockCoder(BlockCoder):
    """Coder of SeriesBlock."""

    element = SeriesBlock


class ForecastBlockCoder(BlockCoder):
    """Coder of ForecastBlock."""

    element = ForecastBlock


CODERS: dict[type[Any], type[coders.Coder]] = {
    Request: RequestCoder,
    SeriesBlock: SeriesBlockCoder,
    ForecastBlock: ForecastBlockCoder,
    Outcome: OutcomeCoder,
    DeadLetter: DeadLetterCoder,
    Receipt: ReceiptCoder,
}
for _element, _coder in CODERS.items():
    coders.registry.register_coder(_element, _coder)
