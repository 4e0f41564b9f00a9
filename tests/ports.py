"""Ports of this machine that are free."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Return the numbers of some ports that nobody listens on."""
    with ExitStack() as held:  # all at once, so that they differ
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]
