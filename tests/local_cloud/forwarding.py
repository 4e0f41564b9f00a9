"""What the servers in front of other servers share: take an HTTP/1.1 request, hand it on, give the answer back."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# These are about one connection, so that they are not handed on.
OF_THE_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}


@dataclass
class Request:
    """A request, read to its end. The path has the query with it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def unzipped(self) -> Request:
        """Return the request with its body as it was before compression."""
        if self.header("content-encoding") != "gzip":
            return self
        headers = [(name, value) for name, value in self.headers if name.lower() != "content-encoding"]
        return Request(self.method, self.path, headers, gzip.decompress(self.body))


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def json_answer(status: int, content: Any) -> Answer:
    """Return an answer that holds JSON."""
    return Answer(status, [("Content-Type", "application/json; charset=UTF-8")], json.dumps(content).encode())


def error_answer(status: int, reason: str, message: str) -> Answer:
    """Return an error in the form of Google's JSON APIs."""
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return json_answer(status, {"error": {"code": status, "message": message, "errors": errors}})


def ask(upstream: str, request: Request) -> Answer:
    """Send a request to another server and return its answer."""
    address = urlsplit(upstream)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    try:
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            if name.lower() not in OF_THE_CONNECTION | {"content-length", "expect"}:
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        body = response.read()
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in OF_THE_CONNECTION]
        return Answer(response.status, headers, body)
    finally:
        connection.close()


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # An answer goes out in as few packets as it can.

    def handle_any(self) -> None:
        """Read a request and let the server answer it."""
        request = Request(self.command, self.path, list(self.headers.items()), self._body())
        self.server.respond(self, request)  # type: ignore[attr-defined]

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # Trailers, which nobody sends.
            pass
        return body

    def send(self, answer: Answer, cut: bool = False) -> None:
        """Send an answer, or its header and half its body."""
        self.send_response_only(answer.status)
        length = len(answer.body)
        for name, value in answer.headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
            elif self.command == "HEAD":
                length = int(value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server on a free port of this machine, in threads of this process. Descendants say how it answers."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def respond(self, handler: Handler, request: Request) -> None:
        """Answer a request."""
        raise NotImplementedError

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that went away."""

    def stop(self) -> None:
        """Stop to listen."""
        self.shutdown()
        self.server_close()

    def __exit__(self, *_: object) -> None:
        self.stop()
