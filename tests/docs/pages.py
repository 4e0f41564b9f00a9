"""The documents' examples: what of them can be run, and whether what they show is what comes of it.

In a `console` block a line that begins with `$ ` is a command, and what follows is what it prints; a block without
such a line is only to be read. `python` blocks of a page share their names; a `text` block right after one is what it
prints. In what is shown, `...` stands for any text, on a line by itself for any lines.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
CLOSE = 0.02  # numbers with a decimal point may differ so much: another processor, another optimizer's step
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")


def examples(text: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield what a page would have run: `console` or `python`, what to run, and what it shows, or None."""
    for kind, body, shown in _BLOCK.findall(text):
        if kind == "python":
            yield kind, body, shown or None
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n", part)[0]
            yield kind, command.replace("\\\n", " ").strip(), part.removeprefix(command) or None


def run_command(command: str) -> tuple[int, str]:
    """Run a command in the current folder; return its exit code and what it prints."""
    if not command.startswith("dropcast ") or re.search(r"[|;<>]", command):
        folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
        done = subprocess.run(
            command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, "PATH": os.pathsep.join(folders)},
        )  # fmt: skip
        return done.returncode, done.stdout
    printed = io.StringIO()  # in this process, which has imported all that it takes
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(shlex.split(command)[1:])
    return code, printed.getvalue()


def run_python(code: str, names: dict[str, Any]) -> str:
    """Run a block of Python in the names of its page; return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<a page's example>", "exec"), names)
    return printed.getvalue()


def is_as_shown(shown: str, printed: str) -> bool:
    """Tell whether what was printed is what a page shows, but for `...` and the last digits of fractions."""
    pattern = "".join(_pattern(line) for line in shown.strip("\n").split("\n"))
    found = re.fullmatch(pattern, "\n".join(line.rstrip() for line in printed.strip("\n").split("\n")) + "\n")
    if found is None:
        return False
    numbers = zip(map(float, _NUMBER.findall(shown)), map(float, found.groups()), strict=True)
    return all(abs(a - b) <= CLOSE * max(abs(a), abs(b)) + 1e-9 for a, b in numbers)


def _pattern(line: str) -> str:
    if line.strip() == "...":
        return r"(?:.*\n)*?"
    words = re.split(r"(\.\.\.|-?\d+\.\d+(?:e[-+]\d+)?|\s+)", line.rstrip())
    return "".join(map(_word, words)) + r"\n"


def _word(word: str) -> str:
    if word == "...":
        return ".*?"
    if _NUMBER.fullmatch(word):
        return r"(-?\d+\.\d+(?:e[-+]\d+)?)"
    return r"\s+" if word.isspace() else re.escape(word)
