"""Numbers as people write them: read in bulk, and refused with a hint where they are none."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.columns import MISSING, Columns
from pipeline.errors import RecordError

Floats = npt.NDArray[np.float64]


def read_numbers(column: pa.StringArray, decimal: str, thousands: str | None) -> tuple[Floats, npt.NDArray[np.str_]]:
    """Return the numbers of a column of text, NaN where there is none, and the text of cells that should be one.

    Both have the shape of the column; the text is empty where nothing is wrong. Infinities are returned as
    such, with their text.
    """
    text = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(text, value_set=pa.array(MISSING))
    plain = text
    if thousands == " ":  # French spreadsheets write a no-break one
        plain = pc.replace_substring_regex(plain, "[\u00a0\u202f]", " ")
    if thousands is not None:
        grouped = rf"^[+-]?\d{{1,3}}(\{thousands}\d{{3}})+(\{decimal}\d*)?([eE].*)?$"
        plain = pc.if_else(pc.match_substring_regex(plain, grouped), pc.replace_substring(plain, thousands, ""), plain)
    if decimal == ",":
        # a point would otherwise pass for a decimal mark
        plain = pc.replace_substring(pc.replace_substring(plain, ".", "?"), ",", ".")
    shape = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|Inf|INF)(inity)?$"
    good = pc.match_substring_regex(plain, shape)
    bad = np.asarray(pc.invert(pc.or_(good, missing)))
    numbers = np.asarray(pc.if_else(good, plain, "nan").cast(pa.float64()))
    bad = bad | np.isinf(numbers)
    if not bad.any():
        return numbers, np.broadcast_to(np.str_(""), len(numbers))
    return numbers, np.where(bad, text.to_numpy(zero_copy_only=False).astype(str), "")


def refuse_ambiguous_points(sample: dict[str, list[str]], columns: Columns, line: int) -> None:
    """Raise if all numbers of a table with semicolons are like 1.234, which may be a thousand or a fraction."""
    for name in columns.values:
        cells = [cell.strip() for cell in sample[name] if cell.strip() not in MISSING]
        if len(cells) > 2 and all(re.fullmatch(r"-?[1-9]\d{0,2}(\.\d{3})+", cell) for cell in cells):
            raise RecordError(
                "AMBIGUOUS_NUMBER", f"{cells[0]!r}, like all numbers of the column, may be thousands or a fraction.",
                "Give --decimal=, --thousands=. for thousands, or --thousands=, for a fraction.",
                line=line, column=name, found=cells[0])  # fmt: skip


def number_hint(found: str) -> str:
    """Return what to do about a cell that is no number."""
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", found):
        return "If the comma separates thousands, give --thousands=, ; if it is the decimal mark, --decimal=, ."
    if re.fullmatch(r"[+-]?\d*,\d+", found):
        return "If the comma is the decimal mark, give --decimal=, ."
    if re.fullmatch(r"[+-]?\d{1,3}([. '_\u00a0\u202f]\d{3})+(,\d*)?", found):
        mark = re.sub(r"[0-9+-]", "", found)[0]
        mark = " " if mark in "\u00a0\u202f" else mark
        decimal = " and --decimal=," if "," in found or mark == "." else ""
        return f'If {mark!r} separates thousands, give --thousands="{mark}"{decimal} .'
    if re.search(r"\d", found):
        return "Write the bare number, without units or signs of currency; leave the cell empty if it is missing."
    return "Write a number, or leave the cell empty if it is missing."
