"""Sources of bytes: local files and objects. Opened, checked, hashed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

from pipeline.core.errors import RecordError
from pipeline.core.io_faults import does_io


class ByteSource(Protocol):
    """An open file, or an object that can be read like one."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""
        ...


class Source(ByteSource, Protocol):
    """A CSV that is read."""

    def version(self) -> str:
        """Return the version of the content, once all of it has been read."""
        ...


@runtime_checkable
class DividedSource(Source, Protocol):
    """A source whose bytes can be read from any place on, by several readers at once."""

    def size(self) -> int:
        """Return the number of bytes."""
        ...

    def part(self, start: int, end: int) -> Source:
        """Return the bytes from `start` up to but excluding `end`, whose version says what they were."""
        ...

    def versions(self, bounds: Sequence[tuple[int, int]]) -> tuple[str, list[str]]:
        """Return the version of the whole, and those of the parts, one after another, of which it consists."""
        ...


def restart(source: ByteSource) -> None:
    """Rewind a source to its beginning."""
    again = getattr(source, "restart", None)
    if again is not None:
        again()
    else:
        source.seek(0)  # type: ignore[attr-defined]


class HashingReader:
    """Reads a file and hashes what it reads, so that the version named is that of the content forecast."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def restart(self) -> None:
        """Start again from the beginning."""
        self._file.seek(0)
        self._hash = hashlib.sha256()

    def version(self) -> str:
        """Return the SHA-256 of the whole content, as content_version does, after reading the rest."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()

    def size(self) -> int:
        """Return the number of bytes."""
        return os.fstat(self._file.fileno()).st_size

    def part(self, start: int, end: int) -> FilePart:
        """Return some of the bytes; see DividedSource."""
        return FilePart(self._file.fileno(), start, end)

    def versions(self, bounds: Sequence[tuple[int, int]]) -> tuple[str, list[str]]:
        """Return the SHA-256 of the whole content and of its parts; see DividedSource."""
        self.restart()
        parts = []
        for start, end in bounds:
            own, left = hashlib.sha256(), end - start
            while left and (data := self.read(min(left, 1 << 20))):
                own.update(data)
                left -= len(data)
            parts.append(own.hexdigest())
        return self.version(), parts


class FilePart:
    """Some of a file's bytes; an error of the system is marked as one.

    Args:
        file: its descriptor, which must stay open.
        start, end: of the bytes.
    """

    def __init__(self, file: int, start: int, end: int) -> None:
        self._file, self._at, self._end = file, start, end
        self._hash = hashlib.sha256()

    @does_io(OSError)
    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        left = self._end - self._at
        wanted, parts = left if size < 0 else min(size, left), []
        while wanted and (data := os.pread(self._file, wanted, self._at)):
            self._at, wanted = self._at + len(data), wanted - len(data)
            self._hash.update(data)
            parts.append(data)
        return b"".join(parts)

    def version(self) -> str:
        """Return the SHA-256 of these bytes, after reading the rest of them."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()


def open_source(path: Path) -> BufferedReader:
    """Open a local file for reading.

    Raises:
        RecordError: if it is gone, forbidden, or not a regular file.
    """
    try:
        return _open_regular(path)
    except OSError as error:
        refusal = refusal_of_os_error(error)
        if refusal is None:
            raise
        raise refusal from None


def content_version(path: Path) -> str:
    """Return the SHA-256 of a local file's content, read in pieces.

    Raises:
        RecordError: if it cannot be opened; see open_source.
        OSError: if it cannot be read.
    """
    with open_source(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_regular(path: Path) -> BufferedReader:
    # O_NONBLOCK: opening a FIFO would otherwise wait for a writer
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        file.close()
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise _not_a_file()
    return file


def _not_a_file() -> RecordError:
    return RecordError(
        "SOURCE_NOT_A_FILE",
        "This is a pipe, a socket or a device, not a file.",
        "Copy its output into a file, and forecast that.",
    )


def refusal_of_os_error(error: OSError) -> RecordError | None:
    """Return the RecordError for an error on opening a file; None if the system, not the owner, is to blame."""
    if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return RecordError("SOURCE_GONE", "The file does not exist.", "Check the path; upload it again if it is gone.")
    if isinstance(error, IsADirectoryError):
        return RecordError(
            "SOURCE_IS_DIRECTORY",
            "This is a folder, not a file.",
            "Name the files in it, for example with a pattern such as folder/*.csv.",
        )
    if isinstance(error, PermissionError):
        return RecordError(
            "SOURCE_FORBIDDEN",
            "Permission to read the file is denied.",
            "Grant read permission to the user who runs the pipeline.",
        )
    if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, or a missing device
        return _not_a_file()
    return None
