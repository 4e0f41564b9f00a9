"""Standard output and standard error: everything that a command tells a person goes through here."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.core.faults.internal_error import error_id_of
from pipeline.core.io_faults import is_io
from pipeline.core.plain_text import printable

_COLOURS = {"complete": "32", "partial": "33", "failed": "31", "superseded": "33"}
_STATUS = re.compile(rf"^(\s*(?:\d\d:\d\d:\d\d )?\s*)({'|'.join(_COLOURS)})\b")
_CODE = re.compile(r"^(\s*(?:\d\d:\d\d:\d\d )?\s*)([A-Z][A-Z_]{5,})(?=  )")
_LATER = "Nothing is lost: fix this, then run the command again."
FAILED = 1  # exit code of a command that could not be carried out


class StdoutError(Exception):
    """Standard output cannot be written to any more; the text says why.

    Args:
        cause: what it raised.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"standard output: {in_one_line(cause)}")
        self.seen_enough = isinstance(cause, BrokenPipeError)  # the reader, such as head


def say(text: str, end: str = "\n") -> None:
    """Print lines on standard output; on a terminal, statuses and codes are in colour.

    Colours are off if NO_COLOR is set (https://no-color.org). Line ends are kept, so a line with text from elsewhere
    must go through `printable` when it is made.

    Raises:
        StdoutError: if standard output is closed, or full.
    """
    text = printable(text, "\n\t")
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        text = "\n".join(_coloured(line) for line in text.split("\n"))
    try:
        print(text, end=end, flush=True)
    except (OSError, ValueError) as error:
        raise StdoutError(error) from None


def complain(lines: str | Sequence[str]) -> None:
    """Print text, or a list of single lines, on standard error; do nothing if that is closed."""
    text = printable(lines, "\n") if isinstance(lines, str) else "\n".join(printable(line) for line in lines)
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def _coloured(line: str) -> str:
    line = _STATUS.sub(lambda found: f"{found[1]}\033[{_COLOURS[found[2]]}m{found[2]}\033[0m", line)
    return _CODE.sub(lambda found: f"{found[1]}\033[31m{found[2]}\033[0m", line)


def in_one_line(error: BaseException) -> str:
    """Return an error in one line, without a traceback."""
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    number = re.search(r"\[[Ee]rrno (\d+)\]", str(error.strerror or error))  # Arrow has it in its text
    reason = os.strerror(int(number[1])) if number else error.strerror or str(error) or type(error).__name__
    places = " -> ".join(str(place) for place in (error.filename, error.filename2) if place)
    return f"{places}: {reason}" if places else reason


def passes(error: BaseException) -> bool:
    """Return whether an error is an I/O error, which passes or can be fixed, and not an internal error."""
    return isinstance(error, OSError) or is_io(error)


def carried_out(command: Callable[[], int]) -> int:
    """Run a command; return its exit code. An exception is reported in one line."""
    _open_closed_streams()
    try:
        code = command()
        say("", end="")  # flush what is left
    except KeyboardInterrupt:
        complain("interrupted")
    except StdoutError as error:
        _silence_stdout()
        if not error.seen_enough:
            complain(str(error))
    except Exception as error:  # noqa: BLE001 - it is reported, with the place to read more
        complain(f"{in_one_line(error)}. {_LATER}" if passes(error) else unforeseen(error))
    else:
        return code
    return FAILED


def _open_closed_streams() -> None:
    """Open the standard streams that are closed: otherwise the next opened file would take their descriptor."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = _Closed()


class _Closed:
    """Replaces a standard output that was closed before the command started."""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if text:
            raise OSError(errno.EBADF, "it is closed")
        return 0

    def flush(self) -> None:
        return


def _silence_stdout() -> None:
    """Discard unwritten output, which would otherwise fail again when Python exits."""
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)


def unforeseen(error: Exception) -> str:
    """Return the message for an internal error, and save its traceback in a file."""
    text, error_id = "".join(traceback.format_exception(error)), error_id_of(error)
    told = f"dropcast failed with an internal error, {type(error).__name__}: error id {error_id}"
    path = Path(tempfile.gettempdir()) / f"dropcast-error-{error_id}.txt"
    try:
        path.write_text(text, errors="backslashreplace")
    except OSError:
        return f"{told}."
    return f"{told}. The traceback is in {path}; please report it."
