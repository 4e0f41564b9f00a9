"""Colours, where a person looks: on a terminal, and not if NO_COLOR is set (https://no-color.org)."""

from __future__ import annotations

import os
import re
import sys

_COLOURS = {"complete": "32", "partial": "33", "failed": "31", "superseded": "33"}
_STATUS = re.compile(rf"^(\s*(?:\d\d:\d\d:\d\d )?\s*)({'|'.join(_COLOURS)})\b")
_CODE = re.compile(r"^(\s*(?:\d\d:\d\d:\d\d )?\s*)([A-Z][A-Z_]{5,})(?=  )")


def coloured(text: str) -> str:
    """Return lines for standard output, with what became of a file, and codes, in colour if that is a terminal."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    line = _STATUS.sub(lambda found: f"{found[1]}\033[{_COLOURS[found[2]]}m{found[2]}\033[0m", line)
    return _CODE.sub(lambda found: f"{found[1]}\033[31m{found[2]}\033[0m", line)
