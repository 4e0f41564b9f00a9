"""Counters that a job also writes to a file, since DirectRunner keeps those of a streaming job to itself."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from apache_beam.metrics import Metrics

FILE = "STAND_IN_COUNTERS"  # the environment variable that names the file


class Written:
    """A counter of Beam's."""

    def __init__(self, name: str, counter: Any) -> None:
        self._name, self._counter = name, counter

    def inc(self, value: int = 1) -> None:
        """Count, and add a line to the file: short lines that are appended do not get mixed up."""
        self._counter.inc(value)
        line = f"{self._name} {value}\n".encode()
        file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line)
        finally:
            os.close(file)


def write_counters() -> None:
    """Let all counters be written from now on."""
    plain = Metrics.counter
    Metrics.counter = lambda namespace, name: Written(name, plain(namespace, name))


def read_counters(path: Path) -> Counter[str]:
    """Return what was counted."""
    found: Counter[str] = Counter()
    for line in path.read_text().splitlines() if path.exists() else ():
        name, value = line.split()
        found[name] += int(value)
    return found
