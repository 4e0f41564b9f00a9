"""Work that may kill its process, done in a child process, so that only the child dies.

A child that dies while its parent lives is proof. A marker left behind by a dead process is not: the process may have
been killed, or other work in it may have been the cause.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline.core.faults.internal_error import crashed
from pipeline.core.io_faults import io, is_io, mark_as_io

PROOF = 3  # this many deaths of children prove that their work is the cause
CHILD_START_SECONDS = 30.0  # seconds that a child may take to start, on a busy machine
_START = "import sys; sys.path[:] = {path!r}; from pipeline.core.faults.isolation import be_child; be_child({fd})"
_LONGEST_WORD = 2000  # characters of a dying child's output


class ChildDiedError(Exception):
    """The child ended without an answer."""


def in_child(function: Callable[..., Any], *arguments: Any, seconds: float | None = None) -> Any:
    """Call a function in its own process; return what it returns, or raise what it raises.

    Args:
        function: at the top level of a module, so that the child can import it.
        arguments: picklable; they go only from this process to its own child and back.
        seconds: how long the child may take.

    Raises:
        ChildDiedError: if the child ended without an answer.
        TimeoutError: if it took too long; it is killed.
    """
    with contextlib.ExitStack() as stack:
        with io():  # no process, or no memory for one: not the work's fault
            ours, theirs = socket.socketpair()
            connection = stack.enter_context(Connection(ours.detach()))
            said = stack.enter_context(tempfile.TemporaryFile())
            with theirs:
                child = subprocess.Popen(
                    [sys.executable, "-c", _START.format(path=sys.path, fd=theirs.fileno())],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                )  # fmt: skip
        stack.callback(_end, child)
        try:
            connection.send_bytes(pickle.dumps((function, arguments, os.getpid())))
            if not connection.poll(seconds):
                raise TimeoutError(f"the child took longer than {seconds:g} seconds")
            kind, answer, place_fault = pickle.loads(connection.recv_bytes())  # noqa: S301 - of our own child
        except (EOFError, ConnectionError):
            child.wait()
            said.seek(0)
            word = said.read()[-_LONGEST_WORD:].decode(errors="replace").strip()
            raise ChildDiedError(f"exit status {child.returncode}: {word}") from None
    if kind == "returned":
        return answer
    if place_fault:
        mark_as_io(answer)
    raise answer


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()


def be_child(fd: int) -> None:
    """Do what the parent asks for, then exit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, kill this, not its parent
    connection = Connection(fd)
    function, arguments, parent = pickle.loads(connection.recv_bytes())  # noqa: S301 - of our own parent
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        answer: tuple[str, Any, bool] = ("returned", function(*arguments), False)
    except BaseException as error:  # noqa: BLE001 - it is raised by the parent
        answer = ("raised", _portable(error), is_io(error))
    connection.send_bytes(pickle.dumps(answer))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """Return an exception that can be pickled; one that cannot be becomes a RuntimeError with its text."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - of our own
    except Exception:  # noqa: BLE001 - any reason why it cannot be pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def proven(about: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a child, and retry if the child dies.

    Args:
        about: a description for the log.
        function, arguments: as for in_child.

    Raises:
        RecordError: CRASHED, if all children died.
    """
    for _ in range(PROOF):
        with contextlib.suppress(ChildDiedError):
            return in_child(function, *arguments)
    raise crashed(PROOF, about)
