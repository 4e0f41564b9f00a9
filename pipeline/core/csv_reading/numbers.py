"""Reads numbers as people write them, in bulk, and returns a hint for cells that are not numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.arrays import Floats
from pipeline.core.csv_reading.column_sample import DASHES, MISSING
from pipeline.core.csv_reading.columns import option

_ALIKE = {" ": "[\u00a0\u2009\u202f]", "'": "’"}  # typographic variants of keyboard characters


def missing_cells(text: pa.StringArray, more: Sequence[str]) -> pa.BooleanArray:
    """Return which trimmed cells of a numeric column are missing values, shape (n,).

    Args:
        text: the cells.
        more: further texts that mean a missing value.
    """
    known = pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(MISSING)))
    return pc.or_(known, pc.is_in(text, value_set=pa.array([*DASHES, *more])))


def read_numbers(
    column: pa.StringArray, decimal: str, thousands: str | None, more_missing: Sequence[str] = ()
) -> tuple[Floats, npt.NDArray[np.str_]]:
    """Return the numbers of a text column, NaN where missing, and the text of cells that are not valid numbers.

    Both have the shape of the column; the text is empty where nothing is wrong. Infinities are returned as
    such, with their text. A lone dash counts as missing; whether it may is checked once the whole file is read.
    """
    text = pc.utf8_trim_whitespace(column)
    missing = missing_cells(text, more_missing)
    plain = pc.replace_substring(text, "−", "-")
    if thousands in _ALIKE:
        plain = pc.replace_substring_regex(plain, _ALIKE[thousands], thousands)
    if thousands is not None:  # India writes 12,34,567
        grouped = rf"^[+-]?\d{{1,3}}(\{thousands}\d{{2,3}})*\{thousands}\d{{3}}(\{decimal}\d*)?([eE].*)?$"
        plain = pc.if_else(pc.match_substring_regex(plain, grouped), pc.replace_substring(plain, thousands, ""), plain)
    if decimal == ",":
        # otherwise a point would be taken for a decimal mark
        plain = pc.replace_substring(pc.replace_substring(plain, ".", "?"), ",", ".")
    shape = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|Inf|INF)(inity)?$"
    good = pc.and_not(pc.match_substring_regex(plain, shape), missing)
    bad = np.asarray(pc.invert(pc.or_(good, missing)))
    numbers = np.asarray(pc.if_else(good, plain, "nan").cast(pa.float64()))
    absent = [*numbers_among(more_missing).values()]
    if absent:  # -999 may also be written -999.0
        numbers = np.where(np.isin(numbers, absent), np.nan, numbers)
    bad = bad | np.isinf(numbers)
    if not bad.any():
        return numbers, np.broadcast_to(np.str_(""), len(numbers))
    return numbers, np.where(bad, text.to_numpy(zero_copy_only=False).astype(str), "")


def absent_texts(column: pa.StringArray, texts: set[str]) -> set[str]:
    """Return which missing-value texts occur in a column, literally or as the same number."""
    if not texts:
        return set()
    cells = set(pc.utf8_trim_whitespace(column).unique().to_pylist())
    numbers = {number for cell in cells if (number := _as_number(cell)) is not None}
    return {text for text in texts if text in cells or _as_number(text) in numbers}


def numbers_among(texts: Sequence[str]) -> dict[str, float]:
    """Return the texts that are numbers, with their numbers."""
    return {text: number for text in texts if (number := _as_number(text)) is not None}


def _as_number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def number_hint(found: str) -> str:
    """Return what to do about a cell that is not a number."""
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", found):
        return "If the comma separates thousands, use --thousands=, ; if it is the decimal mark, --decimal=, ."
    if re.fullmatch(r"[+-]?\d*,\d+", found):
        return "If the comma is the decimal mark, use --decimal=, ."
    if re.fullmatch(r"[+\-−]?\d{1,3}([. '’_\u00a0\u2009\u202f]\d{3})+([.,]\d*)?", found):
        mark = re.sub(r"[0-9+\-−]", "", found)[0]
        mark = next((plain for plain, alike in _ALIKE.items() if re.fullmatch(alike, mark)), mark)
        decimal = " and --decimal=," if "," in found or mark == "." else ""
        return f'If {mark!r} separates thousands, use --thousands="{mark}"{decimal} .'
    if re.search(r"\d", found):
        return (
            "Write only the number, without units, currency signs or brackets; leave the cell empty if it is "
            f"missing, or use {option('missing_values', found)}."
        )
    return f"Use {option('missing_values', found)} if there is no value; otherwise write a number."
