"""I/O errors, kept apart from internal errors.

Code that reads or writes marks the exceptions it raises: a full disk, a server that does not answer. A marked
exception always propagates, so that the runner, or the person, retries. Anything else that is raised while a request
is processed, and is not a RecordError, is an internal error and costs only that file or series (internal_error.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from pipeline.core.errors import DoneError, IgnoredError, NobodyWaitsError, RecordError, SupersededError

_MARK = "from_a_place"
NO_FAULT = (RecordError, SupersededError, DoneError, IgnoredError, NobodyWaitsError)
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def mark_as_io(error: BaseException) -> None:
    """Mark an exception as an I/O error."""
    if not isinstance(error, NO_FAULT):
        setattr(error, _MARK, True)


def is_io(error: BaseException | None) -> bool:
    """Return whether an exception, or one that caused it, is marked as an I/O error."""
    while error is not None:
        if getattr(error, _MARK, False):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


@contextmanager
def io(*kinds: type[Exception]) -> Iterator[None]:
    """Mark exceptions of the given kinds, by default all, that are raised in the block."""
    try:
        yield
    except kinds or (Exception,) as error:  # noqa: B030 - a tuple of classes
        mark_as_io(error)
        raise


def does_io(*kinds: type[Exception]) -> Callable[[F], F]:
    """Mark exceptions of the given kinds that a function raises; not for generators: the caller's would be marked."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def marked(*arguments: Any, **named: Any) -> Any:
            with io(*kinds):
                return function(*arguments, **named)

        return cast(F, marked)

    return decorate


def place(*kinds: type[Exception]) -> Callable[[type[T]], type[T]]:
    """Mark exceptions of the given kinds that a class's public methods raise, except generators and context managers.

    An error that names no file, such as a full disk, gets the `root` of the instance, if it has one.
    """

    def decorate(cls: type[T]) -> type[T]:
        for name, method in list(vars(cls).items()):
            public = inspect.isfunction(method) and not name.startswith("_")
            if public and not inspect.isgeneratorfunction(inspect.unwrap(method)):
                setattr(cls, name, _named(does_io(*kinds)(method)))
        return cls

    return decorate


def _named(method: F) -> F:
    @functools.wraps(method)
    def named(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(self, *arguments, **options)
        except OSError as error:
            if error.errno is not None and error.filename is None and hasattr(self, "root"):
                error.filename = str(self.root)
            raise

    return cast(F, named)


class MarkedSource:
    """A source whose exceptions are marked, because they occur in the middle of parsing, which streams from storage."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""
        with io():
            data: bytes = self._source.read(size)
        return data

    def restart(self) -> None:
        """Start again from the beginning."""
        with io():
            self._source.restart()

    def version(self) -> str:
        """Return the version of the content, once all of it has been read."""
        with io():
            return str(self._source.version())
