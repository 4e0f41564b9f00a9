"""`python -m tests.local_cloud` starts the local cloud and prints how to use it, `... install` only builds it."""

from __future__ import annotations

import shlex
import signal
import sys
import threading

from tests.downloads import Unavailable
from tests.local_cloud import install
from tests.local_cloud.cloud import LocalCloud


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    if arguments not in ([], ["install"]):
        print("Usage: python -m tests.local_cloud [install]", file=sys.stderr)
        return 2
    try:
        install.storage_and_pubsub()
        install.bigquery_python()
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return 1
    if arguments:
        return 0
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with LocalCloud() as cloud:
        for name, value in cloud.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        print("# The local cloud runs until Ctrl-C; its buckets are in", cloud.root / "buckets", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
