"""The client of rivals_worker.py: starts it with an interpreter and requests timings from it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from threads import ONE_THREAD


class Rivals:
    """A running worker."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("rivals_worker.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **ONE_THREAD},
        )  # fmt: skip

    def seconds(self, rival: str, rows: int, series: int, ragged: bool, seed: int, mode: str) -> tuple[float, float]:
        """Return the seconds per series of a rival's fit and of its forecast.

        Raises:
            RuntimeError: if the worker ended.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        request = {"rival": rival, "rows": rows, "series": series, "ragged": ragged, "seed": seed, "mode": mode}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the rivals' worker ended at the request {request}")
        timings = json.loads(answer)
        return timings["fit"] / series, timings["predict"] / series

    def close(self) -> None:
        """Let the worker end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
