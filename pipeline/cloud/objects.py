"""Objects in Cloud Storage: read by generation, written by compare-and-set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC

from google.api_core import exceptions
from google.cloud import storage

from pipeline.cloud.clients import storage_client
from pipeline.cloud.retry import CALL, again, is_transient, retrying
from pipeline.core.errors import IgnoredError, RecordError, SupersededError, shorten
from pipeline.core.io_faults import does_io, io
from pipeline.core.requests.messages import ObjectVersion
from pipeline.core.requests.uris import split_uri, uri_of

CHUNK = 8 << 20  # bytes of one request while a large object is read
MOST_SOURCES = 32  # of one compose request
TRIES = 10  # for a place that others write to at the same time
OPTIONS = {"timeout": CALL, "retry": retrying()}


class ObjectReader:
    """Reads one generation of an object, its bytes as stored, CHUNK bytes per request.

    Args:
        blob: the object, with its generation.
        start, end: which of its bytes, up to but excluding `end`; all if there is no end.
    """

    def __init__(self, blob: storage.Blob, start: int = 0, end: int | None = None) -> None:
        self._blob = blob
        self._start, self._end = start, end
        self._buffer = b""
        self._at = start
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; fewer than `size` only at the end."""
        parts = [self._buffer]
        length = len(self._buffer)
        while not self._ended and (size < 0 or length < size):
            parts.append(self._next())
            length += len(parts[-1])
        data = b"".join(parts)
        cut = len(data) if size < 0 else size
        self._buffer = data[cut:]
        return data[:cut]

    def _next(self) -> bytes:
        # raw: an object with Content-Encoding gzip is returned as stored, and decompressed like any other
        upto = self._at + CHUNK if self._end is None else min(self._at + CHUNK, self._end)
        data = _download(self._blob, self._at, upto - 1) if upto > self._at else b""
        self._ended = self._at + len(data) < upto or upto == self._end
        self._at += len(data)
        return data

    def restart(self) -> None:
        """Start again from the beginning, with the same generation."""
        self._buffer, self._at, self._ended = b"", self._start, False

    def version(self) -> str:
        """Return the generation: it cannot change while it is read."""
        return str(self._blob.generation)

    def size(self) -> int:
        """Return the number of bytes as stored; a small object is read for it, and need not be read again."""
        if self._at == self._start and self._end is None:
            self._buffer = self._next()
            if self._ended:
                return len(self._buffer)
        if self._blob.size is None:
            with io():
                again(self._blob.reload, **OPTIONS)
        return int(self._blob.size)

    def part(self, start: int, end: int) -> ObjectReader:
        """Return some of the bytes; see sources.DividedSource."""
        return ObjectReader(self._blob, start, end)

    def versions(self, bounds: Sequence[tuple[int, int]]) -> tuple[str, list[str]]:
        """Return the generation, of which all parts are."""
        return self.version(), [self.version()] * len(bounds)


@does_io()
def _download(blob: storage.Blob, start: int, end: int) -> bytes:
    try:
        # retried here too: the client gives up if the error response itself is cut off
        data = again(blob.download_as_bytes, start=start, end=end, raw_download=True, checksum=None, **OPTIONS)
    except exceptions.RequestRangeNotSatisfiable:  # the end of the object
        return b""
    return bytes(data)


@contextmanager
def open_object(uri: str, generation: str) -> Iterator[ObjectReader]:
    """Open one generation of an object.

    Raises:
        RecordError: SOURCE_GONE, SOURCE_FORBIDDEN or SOURCE_UNREADABLE.
        SupersededError: if it is gone and a newer one exists.
    """
    bucket, name = split_uri(uri)
    number = int(generation) if generation.isascii() and generation.isdigit() else None
    try:
        if number is None:
            raise exceptions.NotFound("no generation was there when the request was made")
        blob = storage_client().bucket(bucket).blob(name, generation=number)
        yield ObjectReader(blob)
    except exceptions.NotFound:
        live = live_version(uri)
        if live is not None and number is not None and int(live.generation) > number:
            raise SupersededError(f"{uri} has generation {live.generation}") from None
        raise RecordError(
            "SOURCE_GONE", "The file does not exist.", "Upload it again if it should still be forecast."
        ) from None
    except exceptions.ClientError as error:
        raise refusal(error) from None


def refusal(error: exceptions.ClientError) -> RecordError:
    """Return the RecordError for a refused read; a server's own error is raised.

    Raises:
        google.api_core.exceptions.ClientError: if it is transient.
    """
    if is_transient(error):
        raise error
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
        return RecordError(
            "SOURCE_FORBIDDEN",
            "Permission to read the file is denied.",
            "Grant the pipeline's service account the role Storage Object Viewer on the bucket, then replay.",
        )
    return RecordError(
        "SOURCE_UNREADABLE",
        f"Cloud Storage refused to return the file: {shorten(str(error.message), 200)}",
        "Objects with customer-supplied encryption keys or in requester-pays buckets cannot be read: copy the object.",
    )


@does_io()
def look(bucket: str, name: str) -> storage.Blob | None:
    """Return an object in its current state, or None."""
    return storage_client().bucket(bucket).get_blob(name, **OPTIONS)


def listed(bucket: str, prefix: str) -> Iterator[storage.Blob]:
    """Yield the objects whose names begin with a prefix."""
    with io():
        found = iter(storage_client().list_blobs(bucket, prefix=prefix, **OPTIONS))
    while True:
        with io():
            blob = next(found, None)
        if blob is None:
            return
        yield blob


def _version(blob: storage.Blob) -> ObjectVersion:
    time = blob.time_created.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return ObjectVersion(uri_of(blob.bucket.name, blob.name), str(blob.generation), time)


@does_io()
def live_version(uri: str) -> ObjectVersion | None:
    """Return the current generation of an object, or None.

    Raises:
        RecordError: SOURCE_FORBIDDEN or SOURCE_UNREADABLE.
    """
    try:
        blob = look(*split_uri(uri))
    except exceptions.ClientError as error:
        raise refusal(error) from None
    return None if blob is None else _version(blob)


def created(version: ObjectVersion) -> str:
    """Return when a generation of an object was created, RFC 3339 in UTC; "" if it is gone or may not be seen."""
    blob = _generation(version.uri, version.generation)
    return "" if blob is None else _version(blob).time


def size_of(uri: str, generation: str) -> int | None:
    """Return the bytes of a generation of an object; None if it is gone or may not be seen."""
    blob = _generation(uri, generation) if generation.isdigit() else None
    return None if blob is None else int(blob.size)


@does_io()
def _generation(uri: str, generation: str) -> storage.Blob | None:
    bucket, name = split_uri(uri)
    try:
        return storage_client().bucket(bucket).get_blob(name, generation=int(generation), **OPTIONS)
    except exceptions.ClientError as error:
        refusal(error)  # raised if it is the server's own
        return None


def matching(pattern: str) -> Iterator[ObjectVersion]:
    """Yield the objects that match a pattern: * matches part of a name, ** any number of folders.

    A pattern without a wildcard that ends in a slash matches everything below it.
    """
    bucket, name = split_uri(pattern)
    fixed = name[: min((name.index(mark) for mark in "*?[" if mark in name), default=len(name))]
    expression = _expression(name)
    for blob in listed(bucket, fixed):
        if (fixed == name and name.endswith("/")) or not name or expression.fullmatch(blob.name):
            yield _version(blob)


def _expression(name: str) -> re.Pattern[str]:
    """Return a regular expression for the names that match a pattern."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", name)
    text = "".join(parts.get(p) or (p.replace("[!", "[^") if p.startswith("[") else re.escape(p)) for p in pieces)
    return re.compile(text, re.DOTALL)


@does_io()
def read_version(version: ObjectVersion, most: int) -> bytes:
    """Return at most `most` bytes of one generation of an object.

    Raises:
        RecordError: SOURCE_GONE or SOURCE_FORBIDDEN.
        IgnoredError: if a newer generation has taken its place.
    """
    try:
        with open_object(version.uri, version.generation) as file:
            return file.read(most)
    except SupersededError:
        raise IgnoredError("superseded") from None


@does_io()
def read_small(bucket: str, name: str, most: int, generation: int | None = None) -> bytes | None:
    """Return at most `most` bytes of an object, or None if it does not exist."""
    try:
        return _download(storage_client().bucket(bucket).blob(name, generation=generation), 0, most - 1)
    except exceptions.NotFound:
        return None


@does_io()
def read_part(bucket: str, name: str, start: int, end: int) -> bytes:
    """Return the bytes of an object from `start` up to but excluding `end`."""
    return _download(storage_client().bucket(bucket).blob(name), start, end - 1)


@does_io()
def put(bucket: str, name: str, data: bytes, content_type: str, metadata: dict[str, str] | None = None) -> None:
    """Write an object whose content derives from its name, so that it does not matter who writes it last."""
    upload(storage_client().bucket(bucket).blob(name), data, content_type, metadata)


def create(bucket: str, name: str, data: bytes, content_type: str) -> bool:
    """Write an object if none of that name exists; return whether it was written."""
    try:
        upload(storage_client().bucket(bucket).blob(name), data, content_type, None, 0)
    except exceptions.PreconditionFailed:
        return False
    return True


@does_io()
def upload(
    blob: storage.Blob, data: bytes, content_type: str, metadata: dict[str, str] | None, generation: int | None = None
) -> None:
    """Write an object; if a generation is given, only if it is still the current one (0: none exists)."""
    blob.metadata = metadata
    again(
        blob.upload_from_string,
        data,
        content_type=content_type,
        if_generation_match=generation,
        timeout=CALL,
        retry=None,
    )


@does_io()
def delete(bucket: str, names: Iterable[str]) -> None:
    """Delete objects; those already gone are ignored."""
    for name in names:
        try:
            storage_client().bucket(bucket).blob(name).delete(**OPTIONS)
        except exceptions.NotFound:
            continue


def delete_below(bucket: str, prefix: str) -> None:
    """Delete the objects whose names begin with a prefix."""
    delete(bucket, [blob.name for blob in listed(bucket, prefix)])


@does_io()
def compare_and_set(
    bucket: str,
    name: str,
    decide: Callable[[storage.Blob | None], bool],
    write: Callable[[storage.Blob, int], None],
    absent: bool = False,
) -> None:
    """Write an object if it may be written and nobody else has written it meanwhile.

    Args:
        bucket: where.
        name: of the object.
        decide: whether to write, given the existing object; may raise.
        write: writes to a blob on the condition that its generation is still the one given (0: absent).
        absent: whether it did not exist a moment ago, so that it need not be looked at first.

    Raises:
        google.api_core.exceptions.PreconditionFailed: if others were faster each time.
    """
    for attempt in range(TRIES):
        current = None if absent and not attempt else look(bucket, name)
        if not decide(current):
            return
        try:
            write(storage_client().bucket(bucket).blob(name), current.generation if current is not None else 0)
            return
        except exceptions.PreconditionFailed:
            # somebody was faster, or the write succeeded but its response was lost: look again
            if attempt == TRIES - 1:
                raise


@does_io()
def compose(bucket: str, sources: list[str], target: storage.Blob, generation: int, work: str) -> list[str]:
    """Compose any number of objects into one.

    Args:
        bucket: of all of them.
        sources: names, in order.
        target: what to write, its content type and metadata set.
        generation: what the target's generation must be still.
        work: prefix for objects in between.

    Returns:
        Names of the objects in between, to be deleted.
    """
    client_bucket = storage_client().bucket(bucket)
    between: list[str] = []
    level = 0
    while len(sources) > MOST_SOURCES:
        merged = []
        for start in range(0, len(sources), MOST_SOURCES):
            blob = client_bucket.blob(f"{work}composed-{level}-{start // MOST_SOURCES:06d}")
            blob.content_type = target.content_type
            blob.compose([client_bucket.blob(name) for name in sources[start : start + MOST_SOURCES]], **OPTIONS)
            merged.append(blob.name)
        between += merged
        sources, level = merged, level + 1
    target.compose([client_bucket.blob(name) for name in sources], if_generation_match=generation, **OPTIONS)
    return between
