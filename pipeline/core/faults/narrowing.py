"""Narrows an exception raised for many rows down to the row that causes it: only that row gets an error."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pyarrow as pa

from pipeline.core.faults.alone import HEAVY_WORK
from pipeline.core.faults.internal_error import OWN_FAULTS, own_fault
from pipeline.core.faults.isolation import PROOF, ChildDiedError

MOST_DEATHS = 100  # of children, for one block: each costs seconds


def narrowed(
    rows: int,
    do: Callable[[int, int], pa.RecordBatch],
    blamed: Callable[[int, BaseException], pa.RecordBatch],
) -> pa.RecordBatch:
    """Do something for all rows of a block; on an unexpected exception, for smaller and smaller parts of it.

    A row is blamed only if it raises on its own, with nothing else being read or fitted in this process, so that it is
    not blamed for the memory that other work needs.

    Args:
        rows: how many.
        do: does it for the rows from `first` up to but excluding `last`.
        blamed: returns the result for one row that cannot be done, given the exception.
    """
    return pa.concat_batches(_pieces(0, rows, do, blamed))


def _pieces(
    first: int,
    last: int,
    do: Callable[[int, int], pa.RecordBatch],
    blamed: Callable[[int, BaseException], pa.RecordBatch],
) -> list[pa.RecordBatch]:
    try:
        with HEAVY_WORK.shared():
            return [do(first, last)]
    except OWN_FAULTS as error:
        if not own_fault(error, arithmetic=True):
            raise
    if last - first > 1:
        middle = (first + last) // 2
        return [*_pieces(first, middle, do, blamed), *_pieces(middle, last, do, blamed)]
    gc.collect()  # free what the traceback held
    with HEAVY_WORK.alone():
        try:
            return [do(first, last)]
        except OWN_FAULTS as error:
            if not own_fault(error, arithmetic=True):
                raise
            return [blamed(first, error)]


def narrowed_in_children(
    rows: int,
    do: Callable[[int, int], pa.RecordBatch],
    blamed: Callable[[int, int, int], pa.RecordBatch],
) -> pa.RecordBatch:
    """Do something in child processes for all rows of a block; if a child dies, for smaller and smaller parts of it.

    Args:
        rows: how many.
        do: does it in a child for the rows from `first` up to but excluding `last`.
        blamed: returns the result for the rows from `first` up to but excluding `last`, given how many children died.
    """
    deaths = 0

    def pieces(first: int, last: int) -> list[pa.RecordBatch]:
        nonlocal deaths
        for tried in range(PROOF if last - first == 1 else 1):
            if deaths >= MOST_DEATHS and not tried:
                break
            try:
                return [do(first, last)]
            except ChildDiedError:
                deaths += 1
        if last - first == 1 or deaths >= MOST_DEATHS:
            return [blamed(first, last, PROOF if last - first == 1 else deaths)]
        middle = (first + last) // 2
        return [*pieces(first, middle), *pieces(middle, last)]

    return pa.concat_batches(pieces(0, rows))
