"""The elements that travel while one large file is read in ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.elements import OneOfParts, Request
from pipeline.core.series.ranges import ByteRange


@dataclass(frozen=True)
class RangedFile:
    """A request whose file is read in ranges.

    Attributes:
        request: the request.
        reading: identifies this reading of the file; see SeriesBlock.
        ranges: how many.
    """

    request: Request
    reading: str
    ranges: int


@dataclass(frozen=True)
class FileRange(OneOfParts):
    """Something to be done to one range of a file.

    Attributes:
        request, reading, ranges: as in the RangedFile.
        part: number of the range, from 0.
        parts: to how many ranges this is done.
        start, end, mark: as in the ByteRange, if the range is to be read.
        extras: number of extra columns, if its rows are to be sorted.
    """

    request: Request
    reading: str
    ranges: int
    part: int
    parts: int
    start: int = 0
    end: int = 0
    mark: str = ""
    extras: int = 0

    def whole(self) -> RangedFile:
        """Return the file, once this is done to all of them."""
        return RangedFile(self.request, self.reading, self.ranges)


def ranges_of(request: Request, reading: str, found: Sequence[ByteRange]) -> list[FileRange]:
    """Return the ranges of a request's file, as they travel."""
    return [
        FileRange(request, reading, len(found), part, len(found), own.start, own.end, own.mark)
        for part, own in enumerate(found)
    ]
