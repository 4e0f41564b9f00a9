"""How elements cross Beam: small ones as a JSON array of their fields, blocks as one Arrow IPC stream each.

Beam's own row coder does not work here: a worker process that has not yet imported core/elements.py decodes its rows
to a generated class.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from apache_beam import coders

from pipeline.core.block_bytes import block_from_bytes, block_to_bytes
from pipeline.core.blocks import ForecastBlock, SeriesBlock
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.file_ranges import FileRange, RangedFile
from pipeline.core.outputs.outcomes import Outcome, WrittenPart, outcome_from_json, outcome_to_json
from pipeline.core.request_key import canonical_json


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
        """Return True: canonical JSON is deterministic."""
        return True

    def estimate_size(self, value: Any) -> int:
        """Return the approximate number of bytes; Beam's default would encode it again."""
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


class PartCoder(FieldsCoder):
    """Encodes a flat dataclass whose first field is a Request."""

    def encode(self, value: Any) -> bytes:
        """Return the element's bytes."""
        request, *fields = _fields(value)
        return canonical_json([dataclasses.asdict(request), *fields]).encode()

    def decode(self, encoded: bytes) -> Any:
        """Return the element."""
        request, *fields = json.loads(encoded)
        return self.element(Request(**request), *fields)


class WrittenPartCoder(PartCoder):
    """Coder of WrittenPart."""

    element = WrittenPart


class FileRangeCoder(PartCoder):
    """Coder of FileRange."""

    element = FileRange


class RangedFileCoder(PartCoder):
    """Coder of RangedFile."""

    element = RangedFile


class OutcomeCoder(coders.Coder):
    """Coder of Outcome, whichever of its classes."""

    def encode(self, value: Outcome) -> bytes:
        """Return the outcome's bytes."""
        return outcome_to_json(value).encode()

    def decode(self, encoded: bytes) -> Outcome:
        """Return the outcome."""
        return outcome_from_json(encoded)

    def is_deterministic(self) -> bool:
        """Return True: sorted JSON is deterministic."""
        return True

    def to_type_hint(self) -> type[Outcome]:
        """Return the element's type."""
        return Outcome


class BlockCoder(coders.Coder):
    """Encodes a block as core/block_bytes.py does."""

    element: type[Any]

    def encode(self, value: Any) -> bytes:
        """Return the block's bytes."""
        return block_to_bytes(value)

    def decode(self, encoded: bytes) -> Any:
        """Return the block."""
        return block_from_bytes(self.element, encoded)

    def estimate_size(self, value: Any) -> int:
        """Return the approximate number of bytes; Beam's default would encode it again."""
        return int(value.batch.nbytes)

    def is_deterministic(self) -> bool:
        """Return True: IPC and canonical JSON are deterministic."""
        return True

    def to_type_hint(self) -> type[Any]:
        """Return the element's type."""
        return self.element


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
    FileRange: FileRangeCoder,
    RangedFile: RangedFileCoder,
    WrittenPart: WrittenPartCoder,
    Outcome: OutcomeCoder,
    DeadLetter: DeadLetterCoder,
    Receipt: ReceiptCoder,
}
for _element, _coder in CODERS.items():
    coders.registry.register_coder(_element, _coder)
