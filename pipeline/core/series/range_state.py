"""What a range of a file adds to what is known of the whole, as a work file holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Ints
from pipeline.core.csv_reading.number_dialect import DialectEvidence
from pipeline.core.csv_reading.row_reader import RowReader
from pipeline.core.dates.date_style import OffsetsSeen
from pipeline.core.errors import RecordError

_HEADER = b"dropcast"


@dataclass(frozen=True)
class RangeState:
    """What was found in a range; attributes not listed are as in the RowReader, lines counted from the range's first.

    Attributes:
        start, end: its bytes.
        version: of these.
        ids: id values of its series, in order of first appearance, an array for each id column.
        counts: rows of each series.
        kept: rows of each series in the work file.
        by_series: whether these are in the order of their series.
        lines: number of lines.
        seconds: what reading the range took.
    """

    start: int
    end: int
    version: str
    ids: list[pa.StringArray]
    counts: Ints
    kept: Ints
    by_series: bool
    lines: int
    seconds: float
    faults: dict[int, RecordError]
    row_count: int
    missing: int
    zeros: set[str]
    dashes: dict[str, tuple[str, int]]
    short_years: set[int]
    unseen_missing: set[str]
    last_dated_line: int
    offsets: OffsetsSeen
    dialect: DialectEvidence | None

    @classmethod
    def of(
        cls,
        reader: RowReader,
        counts: Ints,
        kept: Ints,
        by_series: bool,
        bounds: tuple[int, int],
        version: str,
        seconds: float,
    ) -> RangeState:
        """Return the state of a reader that has read a range to its end.

        Args:
            reader: of the range.
            counts: rows of each series, shape (number of series,).
            kept: how many of them are in the work file.
            by_series: whether these are in the order of their series.
            bounds: of the bytes that were read.
            version: of these.
            seconds: what reading it took.
        """
        return cls(
            *bounds,
            version,
            [pa.array([ids[i] for ids in reader.ids], pa.string()) for i in range(len(reader.id_columns))],
            counts,
            kept,
            by_series,
            reader.end_line - 1,
            seconds,
            reader.faults,
            reader.row_count,
            reader.missing,
            reader.zeros,
            reader.dashes,
            reader.short_years,
            reader.unseen_missing,
            reader.last_dated_line,
            reader.offsets,
            reader.dialect,
        )

    def add_to(self, reader: RowReader, codes: Ints, line: int) -> None:
        """Add all but ids and counts to what a reader of the whole file would know.

        Args:
            reader: to which all ranges before this one were added.
            codes: number of each series of the range in the whole file.
            line: lines before the range.
        """
        reader.row_count += self.row_count
        reader.missing += self.missing
        reader.zeros |= self.zeros
        reader.short_years |= self.short_years
        reader.unseen_missing &= self.unseen_missing
        reader.offsets.take_in(self.offsets)
        for name, (dash, at) in self.dashes.items():
            reader.dashes.setdefault(name, (dash, line + at))
        if self.last_dated_line:
            reader.last_dated_line = line + self.last_dated_line
        reader.end_line = line + self.lines + 1
        if reader.dialect is not None and self.dialect is not None:
            reader.dialect.take_in(self.dialect)
        for code, fault in self.faults.items():
            if int(codes[code]) not in reader.faults:
                fault.line = line + (fault.line or 0)
                reader.faults[int(codes[code])] = fault

    def to_bytes(self) -> bytes:
        """Return the state as an Arrow stream."""
        offsets = self.offsets
        dialect = self.dialect
        fields: dict[str, Any] = {
            "start": self.start,
            "end": self.end,
            "version": self.version,
            "by_series": self.by_series,
            "lines": self.lines,
            "seconds": self.seconds,
            "faults": {code: fault.to_json() for code, fault in self.faults.items()},
            "row_count": self.row_count,
            "missing": self.missing,
            "zeros": sorted(self.zeros),
            "dashes": self.dashes,
            "short_years": sorted(self.short_years),
            "unseen_missing": sorted(self.unseen_missing),
            "last_dated_line": self.last_dated_line,
            "offsets": [sorted(offsets.minutes), offsets.last, sorted(offsets.clocks), offsets.latest],
            "dialect": None if dialect is None else [dialect.decimal, dialect.thousands, dialect.unsettled],
        }
        names = [*(f"id_{i}" for i in range(len(self.ids))), "counts", "kept"]
        batch = pa.RecordBatch.from_arrays([*self.ids, pa.array(self.counts), pa.array(self.kept)], names)
        batch = batch.replace_schema_metadata({_HEADER: json.dumps(fields).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue().to_pybytes())

    @classmethod
    def from_bytes(cls, encoded: bytes) -> RangeState:
        """Return what `to_bytes` was given."""
        with pa.ipc.open_stream(encoded) as stream:
            batch = stream.read_next_batch()
        fields = json.loads(batch.schema.metadata[_HEADER])
        minutes, last, clocks, latest = fields.pop("offsets")
        dialect = fields.pop("dialect")
        found = {} if dialect is None else [{m: tuple(cell) for m, cell in marks.items()} for marks in dialect]
        return cls(
            ids=batch.columns[:-2],
            counts=np.asarray(batch.columns[-2]),
            kept=np.asarray(batch.columns[-1]),
            faults={int(code): RecordError.from_json(fault) for code, fault in fields.pop("faults").items()},
            zeros=set(fields.pop("zeros")),
            dashes={name: tuple(dash) for name, dash in fields.pop("dashes").items()},
            short_years=set(fields.pop("short_years")),
            unseen_missing=set(fields.pop("unseen_missing")),
            offsets=OffsetsSeen(set(minutes), last, set(clocks), latest),
            dialect=None if dialect is None else DialectEvidence(*found),
            **fields,
        )
