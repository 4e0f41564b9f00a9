"""A table from JSON: a list of records, or columns by name."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.core.errors import RecordError, shorten
from pipeline.core.strict_json import read_json

FIRST_LINE = 2  # of the first record: the line that it would have in a CSV
EXACT = 1 << 53  # up to here a float has every whole number
CELLS_PER_BYTE, FREE_CELLS = 2, 10_000  # a table may be sparse, but not a few bytes of JSON a huge one
_FORM = 'Send records, [{"ds": "2026-01-01", "y": 3}, ...], or columns, {"ds": ["2026-01-01", ...], "y": [3, ...]}.'


def json_of(content: bytes) -> Any:
    """Return what JSON text says.

    Raises:
        RecordError: BAD_JSON.
    """
    try:
        return read_json(content)
    except ValueError as error:
        raise _refused(f"This is not JSON: {shorten(str(error), 200)}") from None


def is_columns(found: Any) -> bool:
    """Return whether data in JSON is columns by name, not a list of records."""
    return isinstance(found, dict)


def table_of_json(found: Any, size: int) -> pa.Table:
    """Return the table that JSON describes; texts and numbers keep their types.

    A column of both becomes text, and a field that a record lacks is missing, like null.

    Args:
        found: records; or columns, each a list or, as pandas writes them by default, an object with a cell for each
            row.
        size: bytes of its text, which bound the table's.

    Raises:
        RecordError: BAD_JSON; a line is that of the record in a CSV with a header.
    """
    columns = _columns(found) if isinstance(found, dict) else _columns_of_records(found, size)
    for name in columns:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise _refused("A name has half of a character") from None
    return pa.table({name: _column(name, cells) for name, cells in columns.items()})


def _columns(found: dict[str, Any]) -> dict[str, list[Any]]:
    if found and all(isinstance(cells, dict) for cells in found.values()):
        rows = list(next(iter(found.values())))
        if any(list(cells) != rows for cells in found.values()):
            raise _refused("The columns do not have the same rows")
        found = {name: list(cells.values()) for name, cells in found.items()}
    for name, cells in found.items():
        if not isinstance(cells, list):
            raise _refused(f"The column {shorten(name)!r} is not a list")
    if len({len(cells) for cells in found.values()}) > 1:
        raise _refused("The columns do not have the same length")
    return found


def _columns_of_records(found: Any, size: int) -> dict[str, list[Any]]:
    if not isinstance(found, list):
        raise _refused("This is neither a list of records nor columns by name")
    names: dict[str, None] = {}
    for number, record in enumerate(found):
        if not isinstance(record, dict):
            raise _refused("This is not a record, which has a value for each name", FIRST_LINE + number)
        if record.keys() != names.keys():
            names |= dict.fromkeys(record)
            if len(names) * len(found) > CELLS_PER_BYTE * size + FREE_CELLS:
                raise _refused("The records have too many different names", FIRST_LINE + number)
    return {name: [record.get(name) for record in found] for name in names}


def _column(name: str, cells: list[Any]) -> pa.Array:
    kinds = {*map(type, cells)} - {type(None)}
    if kinds & {list, dict}:
        at = next(row for row, cell in enumerate(cells) if isinstance(cell, list | dict))
        raise _refused(f"A value of {shorten(name)!r} is a list or an object", FIRST_LINE + at, name)
    try:
        if kinds <= {int}:
            return pa.array(cells, pa.int64())
        if kinds <= {int, float} and not _loses_digits(cells):
            return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    except OverflowError:  # a number of 20 digits or more, perhaps an id
        pass
    try:
        return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())
    except UnicodeEncodeError:
        raise _refused(f"A text of {shorten(name)!r} has half of a character", column=name) from None


def _loses_digits(cells: list[Any]) -> bool:
    """Return whether a whole number has more digits than a float, as only an id has."""
    return any(isinstance(cell, int) and abs(cell) > EXACT for cell in cells)


def _text(cell: Any) -> str:
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _refused(problem: str, line: int | None = None, column: str | None = None) -> RecordError:
    return RecordError("BAD_JSON", f"{problem}.", _FORM, line=line, column=column)
