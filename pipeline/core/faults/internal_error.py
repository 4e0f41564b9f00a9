"""Our own faults: exceptions that nobody foresaw, as the dead letter of the file or series that met one."""

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
# Where these are raised depends on what else the process was doing.
_ANYWHERE = (MemoryError, RecursionError)
OWN_FAULTS = (Exception, SystemExit)  # a library may mean to end the process


def own_fault(error: BaseException, arithmetic: bool = False) -> bool:
    """Return whether an exception is our own fault, and not a refusal, nor one of a place.

    Args:
        error: what was raised.
        arithmetic: whether it was raised where nothing is read or written: then even an OSError is our own.
    """
    if isinstance(error, NO_FAULT) or is_io(error) or (isinstance(error, OSError) and not arithmetic):
        return False
    return isinstance(error, OWN_FAULTS)


def nowhere(error_id: str, text: str) -> str:
    """Keep no traceback: it is in the log."""
    return ""


@dataclass(frozen=True)
class InternalErrors:
    """Turns exceptions that nobody foresaw into INTERNAL_ERROR.

    Attributes:
        key: of the request, or what else tells it apart.
        keep: takes an error id and a traceback, and returns where it is kept; "" if only the log has it.
    """

    key: str = ""
    keep: Callable[[str, str], str] = nowhere

    def __call__(self, error: BaseException, series_id: str = "") -> RecordError:
        """Return the fault of a series or file that met an exception, whose traceback goes to the log.

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
    """Have what nobody foresaw within be the fault of a file.

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
    """Return what names one fault: a hash of request, series, class and raise site, so that a retry says the same."""
    frames = traceback.extract_tb(error.__traceback__)
    site = ""
    if frames and not isinstance(error, _ANYWHERE):
        last = frames[-1]
        site = f"{'/'.join(Path(last.filename).parts[-2:])}:{last.name}:{last.lineno}"
    return hashlib.sha256("\x1f".join((key, series_id, type(error).__name__, site)).encode()).hexdigest()[:12]


def crashed(deaths: int, about: str) -> RecordError:
    """Return the fault of a file or series that has ended the process that read or fitted it, time after time.

    Args:
        deaths: how often.
        about: what it was, for the log.
    """
    _log.error("CRASHED %s: its process died without an error message, %d times", about, deaths)
    return RecordError(
        "CRASHED",
        f"The process that did the work died {deaths} times without an error message: it crashed, or ran out of "
        "memory.",
        "Tell whoever runs Dropcast; replay once it is fixed, or with more memory.",
    )
