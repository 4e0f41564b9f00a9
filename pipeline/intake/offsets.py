"""Which offset of a partition can be committed: up to the first message that is not settled."""

from __future__ import annotations


class Offsets:
    """The messages of one partition that were read and are not committed yet.

    Offsets go up, but a partition may lack some: those of messages that were compacted away, or of transactions. If
    they begin anew, the topic was made anew, or its log was cut: what was read before is of no concern then.
    """

    def __init__(self) -> None:
        self._settled: dict[int, bool] = {}  # by offset, in the order in which they were read
        self._next = 0

    def read(self, offset: int) -> None:
        """Note a message that was read; one that is read again is not unsettled by that."""
        if offset in self._settled:
            return
        if offset < self._next:
            self._settled.clear()
        self._settled[offset] = False
        self._next = offset + 1

    def settle(self, offset: int) -> None:
        """Note that a message is settled."""
        if offset in self._settled:
            self._settled[offset] = True

    def take_committable(self) -> int | None:
        """Return the offset to commit, that of the first message that is to come again; None if it is as before."""
        done = 0
        first = self._next
        for offset, settled in self._settled.items():
            if not settled:
                first = offset
                break
            done += 1
        for offset in list(self._settled)[:done]:
            del self._settled[offset]
        return first if done else None
