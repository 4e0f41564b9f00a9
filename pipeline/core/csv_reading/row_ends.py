"""Where rows end in a CSV with quoted cells."""

from __future__ import annotations

import numpy as np

from pipeline.core.compiled import compiled

_QUOTE, _LINE_FEED, _CARRIAGE_RETURN = ord('"'), ord("\n"), ord("\r")


def end_of_last_row(buffer: bytes, delimiter: str) -> int:
    """Return the position after the last line end that is not within quotes; 0 if there is none.

    A quote opens a cell only where a cell begins; elsewhere, as in 5" pipe, it is an ordinary character. Carriage
    returns at the very end do not count: a line feed may follow.

    Args:
        buffer: text that begins with a row.
        delimiter: of cells.
    """
    return int(_end(np.frombuffer(buffer, np.uint8), np.frombuffer(delimiter.encode(), np.uint8)))


@compiled
def _end(text: np.ndarray, delimiter: np.ndarray) -> int:
    n, width = len(text), len(delimiter)
    end = at = 0
    cell_begins = True
    while at < n:
        byte = text[at]
        if byte == _QUOTE and cell_begins:
            at += 1
            while at < n and (text[at] != _QUOTE or (at + 1 < n and text[at + 1] == _QUOTE)):
                at += 2 if text[at] == _QUOTE else 1
            at += 1
            cell_begins = False
            continue
        at += 1
        cell_begins = False
        if byte == _LINE_FEED or (byte == _CARRIAGE_RETURN and at < n and text[at] != _CARRIAGE_RETURN):
            end, cell_begins = at, True
        elif byte == _CARRIAGE_RETURN:
            cell_begins = True
        elif byte == delimiter[width - 1] and at >= width:
            cell_begins = True
            for i in range(width - 1):
                cell_begins = cell_begins and text[at - width + i] == delimiter[i]
    return end
