from __future__ import annotations

import threading

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import RecordError, SupersededError
from pipeline.core.faults.alone import HEAVY_WORK, Room
from pipeline.core.faults.internal_error import InternalErrors, contained, error_id_of
from pipeline.core.faults.isolation import PROOF, ChildDiedError
from pipeline.core.faults.narrowing import MOST_DEATHS, narrowed, narrowed_in_children
from pipeline.core.io_faults import MarkedSource, does_io, io, is_io, mark_as_io


def rows(first: int, last: int, text: str = "done") -> pa.RecordBatch:
    return pa.record_batch({"row": pa.array(range(first, last), pa.int64()), "text": [text] * (last - first)})


@given(size=st.integers(1, 40), bad=st.sets(st.integers(0, 39)))
def test_each_row_that_raises_is_blamed_and_no_other(size: int, bad: set[int]) -> None:
    def do(first: int, last: int) -> pa.RecordBatch:
        if bad & set(range(first, last)):
            raise ZeroDivisionError
        return rows(first, last)

    found = narrowed(size, do, lambda row, error: rows(row, row + 1, type(error).__name__))
    assert found.column("row").to_pylist() == list(range(size))
    blamed = {row for row, text in zip(*found.to_pydict().values(), strict=True) if text == "ZeroDivisionError"}
    assert blamed == bad & set(range(size))


@given(size=st.integers(1, 40), bad=st.sets(st.integers(0, 39), max_size=3))
def test_each_row_whose_child_dies_is_blamed_and_no_other(size: int, bad: set[int]) -> None:
    deaths: list[tuple[int, int]] = []

    def do(first: int, last: int) -> pa.RecordBatch:
        if bad & set(range(first, last)):
            deaths.append((first, last))
            raise ChildDiedError
        return rows(first, last)

    found = narrowed_in_children(size, do, lambda first, last, times: rows(first, last, f"died {times} times"))
    blamed = {row for row, text in zip(*found.to_pydict().values(), strict=True) if text == f"died {PROOF} times"}
    assert blamed == bad & set(range(size))
    for row in blamed:
        assert deaths.count((row, row + 1)) == PROOF


def test_a_block_in_which_all_die_is_given_up_before_it_takes_all_day() -> None:
    deaths = 0

    def do(first: int, last: int) -> pa.RecordBatch:
        nonlocal deaths
        deaths += 1
        raise ChildDiedError

    found = narrowed_in_children(512, do, lambda first, last, times: rows(first, last, "died"))
    assert found.column("row").to_pylist() == list(range(512))
    assert MOST_DEATHS <= deaths <= MOST_DEATHS + PROOF


def test_what_raises_but_once_is_not_blamed() -> None:
    calls = []

    def do(first: int, last: int) -> pa.RecordBatch:
        calls.append((first, last))
        if len(calls) == 1:
            raise MemoryError
        return rows(first, last)

    assert narrowed(1, do, lambda row, error: rows(row, row + 1, "blamed")).column("text").to_pylist() == ["done"]
    assert calls == [(0, 1), (0, 1)]


@pytest.mark.parametrize("error", [SupersededError("x"), RecordError("BAD_DATE", "m", "h"), KeyboardInterrupt()])
def test_what_is_no_fault_of_ours_is_raised(error: BaseException) -> None:
    calls = []

    def do(first: int, last: int) -> pa.RecordBatch:
        calls.append((first, last))
        raise error

    with pytest.raises(type(error)):
        narrowed(3, do, lambda row, error: rows(row, row + 1, "blamed"))
    assert calls == [(0, 3)], "at once: nothing is done again"


def test_a_row_is_not_blamed_for_what_a_place_raises_when_it_is_tried_alone() -> None:
    tries = []

    def do(first: int, last: int) -> pa.RecordBatch:
        tries.append(first)
        if len(tries) == 1:
            raise ZeroDivisionError
        error = OSError(28, "No space left on device")
        mark_as_io(error)
        raise error

    with pytest.raises(OSError, match="No space left"):
        narrowed(1, do, lambda row, error: rows(row, row + 1, "blamed"))
    assert len(tries) == 2


def test_what_a_place_raises_is_raised_however_it_is_wrapped() -> None:
    @does_io(OSError)
    def read() -> None:
        raise OSError(28, "No space left on device")

    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise ValueError("a network error that nobody knows")

    for function in (read, MarkedSource(Broken()).read):
        with pytest.raises(RuntimeError) as raised, contained(InternalErrors()):
            try:
                function()
            except (OSError, ValueError) as error:
                raise RuntimeError("wrapped") from error
        assert is_io(raised.value)
    with pytest.raises(RecordError, match="ValueError"), contained(InternalErrors()):
        raise ValueError("of our own")
    with pytest.raises(OSError), contained(InternalErrors()):
        raise OSError("where something may be read or written, even if it is not marked")


def test_a_refusal_is_never_marked() -> None:
    refusal = RecordError("BAD_DATE", "m", "h")
    mark_as_io(refusal)
    assert not is_io(refusal)
    with pytest.raises(ZeroDivisionError) as raised, io(OSError):
        raise ZeroDivisionError
    assert not is_io(raised.value)


def test_work_that_is_to_be_alone_waits_for_others_and_keeps_them_out() -> None:
    room, inside, seen = Room(), threading.Event(), []

    def alone() -> None:
        with room.alone():
            seen.append("alone")
            inside.set()
            finish.wait(10)
            seen.append("not alone any more")

    def shared() -> None:
        with room.shared():
            seen.append("shared")

    finish = threading.Event()
    with room.shared():
        first = threading.Thread(target=alone)
        first.start()
        assert not inside.wait(0.05), "somebody else is there"
        seen.append("left")
    assert inside.wait(10)
    second = threading.Thread(target=shared)
    second.start()
    finish.set()
    first.join(10)
    second.join(10)
    assert seen == ["left", "alone", "not alone any more", "shared"]


def test_a_row_is_blamed_for_its_memory_only_when_nothing_else_is_fitted_in_the_process() -> None:
    left, tried = threading.Event(), threading.Event()

    def neighbour() -> None:
        with HEAVY_WORK.shared():
            began.set()
            tried.wait(10)
        left.set()

    def do(first: int, last: int) -> pa.RecordBatch:
        tried.set()
        if not left.is_set():
            raise MemoryError
        return rows(first, last)

    began = threading.Event()
    thread = threading.Thread(target=neighbour)
    thread.start()
    assert began.wait(10)
    found = narrowed(1, do, lambda row, error: rows(row, row + 1, "blamed"))
    thread.join(10)
    assert found.column("text").to_pylist() == ["done"]


def test_an_error_id_says_the_same_for_each_try_and_tells_sites_apart() -> None:
    def at(number: int) -> BaseException:
        try:
            if number == 1:
                raise KeyError("one")
            raise KeyError("two")
        except KeyError as error:
            return error

    assert error_id_of(at(1), "key", "a") == error_id_of(at(1), "key", "a")
    ids = {error_id_of(at(1), "key", "a"), error_id_of(at(2), "key", "a"), error_id_of(at(1), "key", "b"),
           error_id_of(at(1), "other", "a")}  # fmt: skip
    assert len(ids) == 4


def test_the_log_has_the_traceback_under_the_id(caplog: pytest.LogCaptureFixture) -> None:
    kept: dict[str, str] = {}

    def keep(error_id: str, text: str) -> str:
        kept[error_id] = text
        return "errors/x.txt"

    with pytest.raises(RecordError) as raised, contained(InternalErrors("key", keep)):
        raise KeyError("secret")
    ((error_id, text),) = kept.items()
    assert raised.value.code == "INTERNAL_ERROR"
    assert f"error id {error_id}" in raised.value.message
    assert "KeyError" in raised.value.message
    assert "secret" not in raised.value.message
    assert "Traceback (most recent call last)" in text
    assert error_id in caplog.text
    with pytest.raises(RecordError), contained(InternalErrors("key")):
        raise KeyError
    assert caplog.records[-1].exc_info, "where no place keeps it, the log has it"
