"""Hash tables that number texts, and pairs of numbers, in compiled code; numbering.py says what for.

What a text is numbered does not depend on the hashes. They have a random key, so that nobody can write a file whose
texts all fall into one place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Ints, with_room
from pipeline.core.compiled import compiled, inlined

_KEYS = 256  # words of a text that have a key of their own
_ROOM = 1024  # texts that there is room for at first


class _Texts(NamedTuple):
    """Texts by number.

    Attributes:
        slots: a power of two of places, at most half of them taken: a hash and in the lower 32 bits a number + 1, or 0.
        ends: where each text ends in `data`, and the next one begins.
        data: the texts, one after another.
    """

    slots: np.ndarray
    ends: np.ndarray
    data: np.ndarray


class TextTable:
    """Numbers texts."""

    def __init__(self) -> None:
        self._keys = _random_keys()
        self._count = 0
        self._texts = _Texts(_no_slots(), np.empty(_ROOM, np.int64), np.empty(32 * _ROOM, np.uint8))

    def of(self, texts: pa.StringArray) -> Ints:
        """Return the number of each text."""
        _, offsets, data = texts.buffers()
        if not len(texts):
            return np.empty(0, np.int64)
        bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
        content = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
        known = self._texts
        used = int(known.ends[self._count - 1]) if self._count else 0
        most = self._count + len(texts)
        self._texts = known = _Texts(
            _slots_for(known.slots, most), with_room(known.ends, most),
            with_room(known.data, used + int(bounds[-1] - bounds[0])))  # fmt: skip
        numbers = np.empty(len(texts), np.int64)
        self._count = _number_texts(content, bounds, self._keys, known, self._count, numbers)
        return numbers


class PairTable:
    """Numbers pairs of numbers, each from 0 to 2^31."""

    def __init__(self) -> None:
        self._keys = _random_keys()
        self._count = 0
        self._slots, self._pairs = _no_slots(), np.empty(_ROOM, np.int64)

    def of(self, first: Ints, second: Ints) -> Ints:
        """Return the number of each pair."""
        most = self._count + len(first)
        self._slots, self._pairs = _slots_for(self._slots, most), with_room(self._pairs, most)
        numbers = np.empty(len(first), np.int64)
        self._count = _number_pairs(first, second, self._keys, self._slots, self._pairs, self._count, numbers)
        return numbers


def _random_keys() -> np.ndarray:
    return np.random.default_rng().integers(0, 2**64, _KEYS + 1, np.uint64)


def _no_slots() -> np.ndarray:
    return np.zeros(4 * _ROOM, np.uint64)


def _slots_for(slots: np.ndarray, most: int) -> np.ndarray:
    """Return a table of slots with room for `most` entries, those of `slots` among them."""
    if 2 * most <= len(slots):
        return slots
    grown = np.zeros(1 << int(2 * most - 1).bit_length(), np.uint64)
    _fill(slots, grown)
    return grown


# Unsigned indices: numba need not look whether they are negative.
_ZERO, _ONE, _FOUR, _HALF = np.uint64(0), np.uint64(1), np.uint64(4), np.uint64(32)
_NUMBER = np.uint64(2**32 - 1)  # the part of a slot that is a number + 1


@compiled
def _fill(slots: np.ndarray, grown: np.ndarray) -> None:
    last = np.uint64(len(grown) - 1)
    for entry in slots:
        if entry != _ZERO:
            place = (entry >> _HALF) & last
            while grown[place] != _ZERO:
                place = (place + _ONE) & last
            grown[place] = entry


@inlined
def _hash(data: np.ndarray, begin: np.uint64, end: np.uint64, keys: np.ndarray) -> Any:
    """Return the upper half of a sum of keyed words (Lemire and Kaser 2014, MULTILINEAR), universal for 32 bits."""
    last = np.uint64(len(keys) - 1)
    total = keys[last] * (end - begin + _ONE)
    key, at = _ZERO, begin
    while at + _FOUR <= end:
        word = np.uint64(data[at]) | (np.uint64(data[at + _ONE]) << np.uint64(8))
        word |= (np.uint64(data[at + np.uint64(2)]) << np.uint64(16)) | (
            np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
        )
        total += keys[key] * (word + _ONE)
        key += _ONE
        if key == last:
            key = _ZERO
        at += _FOUR
    word = _ZERO
    while at < end:
        word = (word << np.uint64(8)) | np.uint64(data[at])
        at += _ONE
    return (total + keys[key] * (word + _ONE)) >> _HALF


@inlined
def _is(number: np.uint64, known: _Texts, content: np.ndarray, begin: np.uint64, end: np.uint64) -> bool:
    """Return whether a text is content[begin:end]."""
    start = np.uint64(known.ends[number - _ONE]) if number > _ZERO else _ZERO
    if np.uint64(known.ends[number]) - start != end - begin:
        return False
    at = begin
    while at < end and known.data[start + at - begin] == content[at]:
        at += _ONE
    return bool(at == end)


@compiled
def _number_texts(
    content: np.ndarray, bounds: np.ndarray, keys: np.ndarray, known: _Texts, count: int, numbers: np.ndarray
) -> int:
    """Write the number of each text; return how many are known then.

    In three passes, each over all texts, so that they wait for memory together: hashes, what has the same one, whether
    that is the same text.

    Args:
        content: of all texts.
        bounds: text i is content[bounds[i]:bounds[i + 1]].
        keys: of the hashes.
        known: texts that are known, with room for these.
        count: how many are known.
        numbers: the result.
    """
    slots = known.slots
    last = np.uint64(len(slots) - 1)
    n = len(numbers)
    hashes, alike = np.empty(n, np.uint64), np.zeros(n, np.uint64)
    for i in range(n):
        hashes[i] = _hash(content, np.uint64(bounds[i]), np.uint64(bounds[i + 1]), keys)
    for i in range(n):
        place = hashes[i] & last
        while slots[place] != _ZERO:
            if slots[place] >> _HALF == hashes[i]:
                alike[i] = slots[place] & _NUMBER
                break
            place = (place + _ONE) & last
    for i in range(n):
        begin, end = np.uint64(bounds[i]), np.uint64(bounds[i + 1])
        if alike[i] != _ZERO and _is(alike[i] - _ONE, known, content, begin, end):
            numbers[i] = np.int64(alike[i]) - 1
            continue
        place = hashes[i] & last
        found = -1
        while slots[place] != _ZERO:
            number = (slots[place] & _NUMBER) - _ONE
            if slots[place] >> _HALF == hashes[i] and _is(number, known, content, begin, end):
                found = int(number)
                break
            place = (place + _ONE) & last
        if found < 0:
            found = count
            start = known.ends[count - 1] if count > 0 else 0
            for k in range(end - begin):
                known.data[start + np.int64(k)] = content[begin + np.uint64(k)]
            known.ends[count] = start + np.int64(end - begin)
            count += 1
            slots[place] = (hashes[i] << _HALF) | np.uint64(count)
        numbers[i] = found
    return count


@compiled
def _number_pairs(
    first: np.ndarray, second: np.ndarray, keys: np.ndarray, slots: np.ndarray, pairs: np.ndarray, count: int,
    numbers: np.ndarray,
) -> int:  # fmt: skip
    """Write the number of each pair; return how many are known then."""
    last = np.uint64(len(slots) - 1)
    for i in range(len(numbers)):
        pair = (first[i] << 32) | second[i]
        hashed = (keys[0] + keys[1] * np.uint64(first[i]) + keys[2] * np.uint64(second[i])) >> _HALF
        place = hashed & last
        found = -1
        while slots[place] != _ZERO:
            number = (slots[place] & _NUMBER) - _ONE
            if slots[place] >> _HALF == hashed and pairs[number] == pair:
                found = int(number)
                break
            place = (place + _ONE) & last
        if found < 0:
            found = count
            pairs[count] = pair
            count += 1
            slots[place] = (hashed << _HALF) | np.uint64(count)
        numbers[i] = found
    return count
