"""Which offset of a partition can be committed: up to the first message that is not settled."""

from __future__ import annotations

from itertools import islice


class Offsets:
    """The messages of one partition that were read and are not committed yet, each with its time.

    Offsets go up, but a partition may lack some: those of messages that were compacted away, or of transactions. If
    they begin anew, or one has another time, the topic was made anew, or its log was cut: what was read before is of
    no concern then, and settles nothing.
    """

    def __init__(self) -> None:
        self._times: dict[int, int] = {}  # by offset, in the order in which they were read
        self._settled: set[int] = set()
        self._next = 0

    def read(self, offset: int, time: int) -> None:
        """Note a message that was read; one that is read again is not unsettled by that."""
        if self.has(offset, time):
            return
        if offset < self._next:
            self._times.clear()
            self._settled.clear()
        self._times[offset] = time
        self._next = offset + 1

    def has(self, offset: int, time: int) -> bool:
        """Return whether a message is among those that were read and are not committed yet."""
        return self._times.get(offset) == time

    def settle(self, offset: int, time: int) -> None:
        """Note that a message is settled."""
        if self.has(offset, time):
            self._settled.add(offset)

    def take_committable(self) -> int | None:
        """Return the offset to commit, that of the first message that is to come again; None if it is as before."""
        done, first = 0, self._next
        for offset in self._times:
            if offset not in self._settled:
                first = offset
                break
            done += 1
        for offset in [*islice(self._times, done)]:
            del self._times[offset]
            self._settled.discard(offset)
        return first if done else None
