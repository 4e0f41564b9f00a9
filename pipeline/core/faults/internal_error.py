"""Internal errors: unexpected exceptions become the dead letter of the file or series that raised them."""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import RecordError
from pipeline.core.io_faults import NO_FAULT, is_io

_log = logging.getLogger(__name__)
# The raise site of these depends on what else the process was doing.
_ANYWHERE = (MemoryError, RecursionError)
OWN_FAULTS = (Exception, SystemExit)  # a library may try to end the process


def own_fault(error: BaseException, arithmetic: bool = False) -> bool:
    """Return whether an exception is an internal error: neither a refusal nor an I/O error.

    Args:
        error: what was raised.
        arithmetic: whether it was raised where nothing is read or written, so that even an OSError is internal.
    """
    if isinstance(error, NO_FAULT) or is_io(error) or (isinstance(error, OSError) and not arithmetic):
        return False
    return isinstance(error, OWN_FAULTS)


def nowhere(error_id: str, text: str) -> str:
    """Store no traceback: it is in the log."""
    return ""


@dataclass(frozen=True)
class InternalErrors:
    """Turns unexpected exceptions into INTERNAL_ERROR.

    Attributes:
        key: of the request, or another identifier.
        keep: takes an error id and a traceback, and returns where it is stored; "" if only the log has it.
    """

    key: str = ""
    keep: Callable[[str, str], str] = nowhere

    def __call__(self, error: BaseException, series_id: str = "") -> RecordError:
        """Return the error of a series or file that raised an exception, whose traceback goes to the log.

        Args:
            error: what was raised.
            series_id: of the series; "" for the file as a whole.
        """
        kind = type(error).__name__
        error_id = error_id_of(error, self.key, series_id)
        text = "".join(traceback.format_exception(error))
        place = self.keep(error_id, f"request {self.key} series {series_id!r}\n{text}")
        _log.error(
            "INTERNAL_ERROR %s: %s%s",
            error_id,
            kind,
            f", traceback in {place}" if place else "",
            exc_info=None if place else error,
            extra={"error_id": error_id, "request_key": self.key, "series_id": series_id},
        )
        where = f" ({place})" if place else ""
        return RecordError(
            "INTERNAL_ERROR",
            f"Dropcast failed here with an internal error, {kind}: error id {error_id}.",
            f"Send the error id to whoever runs Dropcast; the log has the details under that id{where}. "
            "Replay once it is fixed.",
        )


@contextmanager
def contained(errors: InternalErrors) -> Iterator[None]:
    """Turn an unexpected exception in the block into the error of a file.

    Raises:
        RecordError: INTERNAL_ERROR.
    """
    try:
        yield
    except OWN_FAULTS as error:
        if not own_fault(error):
            raise
        raise errors(error) from None


def error_id_of(error: BaseException, key: str = "", series_id: str = "") -> str:
    """Return the error id: a hash of request, series, class and raise site, so that a retry reports the same id."""
    frames = traceback.extract_tb(error.__traceback__)
    site = ""
    if frames and not isinstance(error, _ANYWHERE):
        last = frames[-1]
        site = f"{'/'.join(Path(last.filename).parts[-2:])}:{last.name}:{last.lineno}"
    return hashlib.sha256("\x1f".join((key, series_id, type(error).__name__, site)).encode()).hexdigest()[:12]


def crashed(deaths: int, about: str) -> RecordError:
    """Return the error of a file or series that has repeatedly killed the process that read or fitted it.

    Args:
        deaths: how many times.
        about: a description for the log.
    """
    _log.error("CRASHED %s: its process died without an error message, %d times", about, deaths)
    return RecordError(
        "CRASHED",
        f"The process that did the work died {deaths} times without an error message: it crashed, or ran out of "
        "memory.",
        "Tell whoever runs Dropcast; replay once it is fixed, or with more memory.",
    )
