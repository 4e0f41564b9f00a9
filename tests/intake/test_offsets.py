"""Which offsets are committed: never past a message that is not settled, and in the end all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.intake.offsets import Offsets

TIME, LATER = 1_700_000_000_000, 1_700_000_000_001


def test_only_the_contiguous_prefix_is_committed() -> None:
    offsets = Offsets()
    for offset in (5, 6, 9):  # 7 and 8 were compacted away
        offsets.read(offset, TIME)
    assert offsets.take_committable() is None
    offsets.settle(6, TIME)
    assert offsets.take_committable() is None
    offsets.settle(5, TIME)
    assert offsets.take_committable() == 9
    assert offsets.take_committable() is None
    offsets.settle(9, TIME)
    assert offsets.take_committable() == 10
    offsets.settle(9, TIME)  # again, after it was committed
    assert offsets.take_committable() is None


def test_a_message_that_is_read_again_is_not_unsettled_by_that() -> None:
    offsets = Offsets()
    offsets.read(1, TIME)
    offsets.read(2, TIME)
    offsets.settle(2, TIME)
    offsets.read(2, TIME)
    offsets.settle(1, TIME)
    assert offsets.take_committable() == 3


def test_a_topic_that_is_made_anew_begins_anew() -> None:
    offsets = Offsets()
    for offset in (997, 998, 999):
        offsets.read(offset, TIME)
        offsets.settle(offset, TIME)
    assert offsets.take_committable() == 1000
    offsets.read(1000, TIME)
    for offset in range(3):
        offsets.read(offset, TIME)
    offsets.settle(0, TIME)
    assert offsets.take_committable() == 1
    offsets.settle(1000, TIME)
    assert offsets.take_committable() is None


def test_what_is_settled_of_an_earlier_topic_settles_nothing_of_the_next() -> None:
    offsets = Offsets()
    for offset in range(3):
        offsets.read(offset, TIME)
    offsets.settle(1, TIME)
    offsets.settle(2, TIME)
    for offset in range(3):
        offsets.read(offset, LATER)
    assert not offsets.has(1, TIME)
    offsets.settle(0, TIME)
    assert offsets.take_committable() is None
    offsets.settle(0, LATER)
    assert offsets.take_committable() == 1, "the others are not settled yet"


@given(st.sets(st.integers(0, 200), min_size=1), st.randoms(use_true_random=False), st.data())
def test_whatever_the_order_nothing_unsettled_is_passed(read: set[int], random: object, data: st.DataObject) -> None:
    in_order = sorted(read)
    order = data.draw(st.permutations(in_order))
    offsets, settled, committed = Offsets(), set(), -1
    for offset in in_order:
        offsets.read(offset, TIME)
    for offset in order:
        offsets.settle(offset, TIME)
        settled.add(offset)
        found = offsets.take_committable()
        if found is not None:
            assert found > committed
            committed = found
        assert all(offset in settled for offset in in_order if offset < committed)
    assert committed == in_order[-1] + 1
