"""Faults between a client and a server, on demand: a proxy for HTTP and one for anything over TCP.

with FaultProxy(cloud.storage) as proxy:
    proxy.rules.append(Rule("status", code=503, method="POST", path="/upload/", times=2))
    client = storage.Client(client_options={"api_endpoint": proxy.url}, ...)
"""

from __future__ import annotations

import random
import re
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tests.local_cloud.forwarding import Answer, Handler, Request, Server, ask, error_answer

Kind = Literal["status", "reset", "reset_after", "cut", "delay", "hang"]
REASONS = {429: "rateLimitExceeded", 500: "internalError", 503: "backendError"}
# Closed like this, a connection is reset: the other end gets an error rather than an end.
AT_ONCE = struct.pack("ii", 1, 0)


@dataclass
class Rule:
    """Which requests a fault happens to, and what it is.

    - status: the answer is an error, the server never hears of the request.
    - reset: the connection is reset, the server never hears of the request.
    - reset_after: the server does as asked, its answer is lost and the connection reset.
    - cut: the connection is closed in the middle of the answer's body.
    - delay: the request is handed on after some seconds.
    - hang: there never is an answer.
    """

    kind: Kind
    method: str = ".*"
    path: str = ""  # Found anywhere in the path and query.
    code: int = 503
    seconds: float = 1.0
    probability: float = 1.0
    times: int | None = None  # Only the first so many that match; all of them if it is left out.

    def matches(self, request: Request) -> bool:
        """Tell whether it is about a request."""
        return bool(re.fullmatch(self.method, request.method) and re.search(self.path, request.path))


@dataclass(frozen=True)
class Fault:
    """A fault that happened."""

    kind: Kind
    method: str
    path: str
    at: float


class FaultProxy(Server):
    """A proxy in front of an HTTP server. The first of its rules that holds is applied."""

    def __init__(self, upstream: str, rules: list[Rule] | None = None, seed: int = 0, port: int = 0) -> None:
        self.upstream = upstream
        self.rules = list(rules or [])
        self.log: list[Fault] = []
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        super().__init__(port)

    def stop(self) -> None:
        """Stop to listen, and let go of those that hang."""
        self._stopped.set()
        super().stop()

    def respond(self, handler: Handler, request: Request) -> None:
        """Answer a request, or don't."""
        rule = self._choose(request)
        kind = rule.kind if rule else None
        if rule and kind == "status":
            reason = REASONS.get(rule.code, "backendError")
            handler.send(error_answer(rule.code, reason, "A fault, as asked for"))
            return
        if kind == "hang":
            self._hang(handler)
        if kind in ("hang", "reset"):
            _reset(handler)
            return
        if rule and kind == "delay":
            self._stopped.wait(rule.seconds)
        try:
            answer = self._ask(request)
        except OSError:  # The server is down; so is its proxy.
            _reset(handler)
            return
        if kind == "reset_after" or (kind == "cut" and len(answer.body) < 2):
            _reset(handler)
            return
        handler.send(answer, cut=kind == "cut")
        if kind == "cut":
            handler.close_connection = True

    def _choose(self, request: Request) -> Rule | None:
        with self._lock:
            for rule in self.rules:
                if rule.times == 0 or not rule.matches(request):
                    continue
                if rule.probability < 1 and self._random.random() >= rule.probability:
                    continue
                if rule.times is not None:
                    rule.times -= 1
                self.log.append(Fault(rule.kind, request.method, request.path, time.time()))
                return rule
        return None

    def _ask(self, request: Request) -> Answer:
        """Hand a request on, and let the links in its answer lead through the proxy, too."""
        headers = [(name, value) for name, value in request.headers if name.lower() != "host"]
        headers.append(("Host", urlsplit(self.upstream).netloc))
        answer = ask(self.upstream, Request(request.method, request.path, headers, request.body))
        answer.headers = [(name, value.replace(self.upstream, self.url)) for name, value in answer.headers]
        types = [value for name, value in answer.headers if name.lower() == "content-type"]
        is_metadata = any(value.startswith("application/json") for value in types) and "alt=media" not in request.path
        if is_metadata and not request.path.startswith("/download/"):
            answer.body = answer.body.replace(self.upstream.encode(), self.url.encode())
        return answer

    def _hang(self, handler: Handler) -> None:
        """Wait until the client goes away or the proxy is stopped."""
        while not self._stopped.is_set():
            readable, _, _ = select.select([handler.connection], [], [], 0.05)
            if readable and not handler.connection.recv(1, socket.MSG_PEEK):
                return


def _reset(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    handler.rfile.close()  # The socket stays open as long as this is.
    handler.connection.close()


class TcpProxy:
    """A proxy in front of any server, for gRPC. While it is down it resets every connection."""

    def __init__(self, upstream: str, port: int = 0) -> None:
        host, _, upstream_port = upstream.rpartition(":")
        self._upstream = (host, int(upstream_port))
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._is_up = True
        self._connections: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def down(self) -> None:
        """Break all connections, now and until it is up again."""
        with self._lock:
            self._is_up = False
            broken, self._connections = self._connections, set()
        for connection in broken:
            _break(connection)

    def up(self) -> None:
        """Connect again."""
        with self._lock:
            self._is_up = True

    def stop(self) -> None:
        """Stop to listen."""
        self.down()
        _break(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream) if self._is_up else None
            except OSError:
                server = None
            with self._lock:
                accepted = server is not None and self._is_up
                if accepted:
                    self._connections |= {client, server}
            if not accepted:
                _break(client)
                continue
            threading.Thread(target=self._connect, args=(client, server), daemon=True).start()

    def _connect(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)
        back.join()
        with self._lock:
            self._connections -= {client, server}
        client.close()
        server.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := source.recv(2**16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        _break(source)
        _break(target)


def _break(connection: socket.socket) -> None:
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        connection.shutdown(socket.SHUT_RDWR)  # Wakes up the thread that reads from it.
    except OSError:
        pass
    connection.close()
