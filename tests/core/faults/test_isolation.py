from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import RecordError
from pipeline.core.faults.isolation import PROOF, ChildDiedError, in_child, proven
from pipeline.core.io_faults import is_io, mark_as_io


def double(number: int) -> int:
    return 2 * number


def refuse(code: str) -> None:
    raise RecordError(code, "m", "h", line=3, column="c", found="f")


def fail_at_io() -> None:
    error = OSError(28, "No space left on device")
    mark_as_io(error)
    raise error


def fail_because_of_io() -> None:
    try:
        fail_at_io()
    except OSError as error:
        raise RuntimeError("wrapped") from error


def end(how: str) -> None:
    print("last words")
    sys.stdout.flush()
    if how == "exit":
        os._exit(9)
    os.kill(os.getpid(), signal.SIGKILL)


def note_and_end(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")
    os._exit(1)


def tell_and_wait(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)  # until it is stopped


class UnsendableError(Exception):
    def __init__(self, one: Any, two: Any) -> None:
        super().__init__(f"{one} and {two}")


def raise_unsendable() -> None:
    raise UnsendableError(1, lambda: 2)


def test_a_child_returns_and_raises_what_the_function_does() -> None:
    assert in_child(double, 21) == 42
    with pytest.raises(RecordError) as raised:
        in_child(refuse, "BAD_DATE")
    assert (raised.value.code, raised.value.line, raised.value.column, raised.value.found) == ("BAD_DATE", 3, "c", "f")
    with pytest.raises(OSError, match="No space left") as failed:
        in_child(fail_at_io)
    assert is_io(failed.value), "a place's exception is one on this side, too"
    with pytest.raises(RuntimeError, match="wrapped") as wrapped:
        in_child(fail_because_of_io)
    assert is_io(wrapped.value), "what led to it stays in the child, that it was a place's does not"
    with pytest.raises(RuntimeError, match="UnsendableError: 1 and"):
        in_child(raise_unsendable)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_child_that_dies_is_told_from_one_that_raises(how: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildDiedError, match="last words"):
        in_child(end, how)
    assert capfd.readouterr() == ("", "")


def test_three_deaths_are_proof(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with pytest.raises(RecordError) as raised:
        proven("a test", note_and_end, str(notes))
    assert raised.value.code == "CRASHED"
    assert notes.read_text() == "x" * PROOF


def test_a_child_has_its_time(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with pytest.raises(TimeoutError):
        in_child(tell_and_wait, str(told), seconds=15)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = textwrap.dedent(f"""
        from pipeline.core.faults.isolation import in_child
        from tests.core.faults.test_isolation import tell_and_wait
        in_child(tell_and_wait, {str(told)!r})
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3])
    while not (told.exists() and told.read_text()):
        assert parent.poll() is None
    parent.kill()
    parent.wait()
    child = int(told.read_text())
    while True:  # it looks once a second
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        if Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break


def test_the_kernel_takes_the_child_first(tmp_path: Path) -> None:
    assert in_child(_own_oom_score) == "1000"


def _own_oom_score() -> str:
    return Path("/proc/self/oom_score_adj").read_text().strip()
