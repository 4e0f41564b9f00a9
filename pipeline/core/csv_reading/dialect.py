"""How a CSV is written: delimiter, decimal mark and encoding. A forecast is written like its source."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass

# With a byte order mark at the start, and how the rest is encoded.
_MARKED = {
    "utf-8-sig": (codecs.BOM_UTF8, "utf-8"),
    "utf-16": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "utf-32": (codecs.BOM_UTF32_LE, "utf-32-le"),
}


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV is written.

    Attributes:
        delimiter: what separates cells.
        decimal: the decimal mark.
        encoding: Python's name for it; utf-8-sig, utf-16 and utf-32 begin with a byte order mark.
    """

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"

    def encoded(self, text: str, start: bool = False) -> bytes:
        """Return text in the file's encoding; characters that it lacks become question marks.

        Args:
            text: a part of the file.
            start: whether it begins the file.
        """
        mark, encoding = _MARKED.get(self.encoding, (b"", self.encoding))
        return (mark if start else b"") + text.encode(encoding, errors="replace")


PLAIN = CsvDialect()


def header_of_forecast(start: bytes) -> tuple[list[str], CsvDialect] | None:
    """Return the header and dialect of a forecast; None if the file is not a forecast.

    Args:
        start: the first bytes of the file.
    """
    marked = next((name for name, (mark, _) in _MARKED.items() if start.startswith(mark)), None)
    encoding = marked or ("utf-16-le" if start[1:2] == b"\0" else "utf-16-be" if start[:1] == b"\0" else "utf-8")
    text = start.decode(encoding, errors="replace").lstrip("\ufeff")
    for delimiter in dict.fromkeys([*",;\t|", *re.findall(r"date([^\w\n])prediction", text[:1_000_000])]):
        try:
            rows = csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter)
            header, first = next(rows, []), next(rows, [])
        except csv.Error:
            continue
        if ["date", "prediction"] in [header[i : i + 2] for i in range(len(header))]:
            numbers = first[header.index("prediction") :] if len(first) == len(header) else []
            decimal = "," if any("," in cell for cell in numbers) else "."
            return header, CsvDialect(delimiter, decimal, encoding)
    return None
