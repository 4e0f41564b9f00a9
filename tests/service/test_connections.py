"""Connections that never send a whole request are closed; all others are left alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from pipeline.service import connections

SECONDS = 0.3
LARGE = 50_000_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body's length, or much."""
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = str(size).encode() if scope["path"] == "/" else b"x" * LARGE
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "HEADER_SECONDS", SECONDS)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", SECONDS)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=connections.BoundedConnection, ws="none", lifespan="off",
                                           log_config=None))  # fmt: skip
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


def opened(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def dribbled(connection: socket.socket, text: bytes) -> bool:
    """Send a byte at a time, for much longer than a head may take; return whether the other side hangs up."""
    start = time.monotonic()
    for byte in text * 1000:
        try:
            connection.sendall(bytes([byte]))
        except (BrokenPipeError, ConnectionResetError):
            return True
        time.sleep(0.02)
        if time.monotonic() - start > 20 * SECONDS:
            return False
    return False


REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


def test_a_connection_that_sends_nothing_is_closed(port: int) -> None:
    assert is_closed(opened(port))


def test_a_head_that_never_ends_is_cut_off(port: int) -> None:
    assert dribbled(opened(port), b"POST / HTTP/1.1\r\nX: ")
    connection = opened(port)
    connection.sendall(REQUEST + b"abcd")
    assert connection.recv(1000).endswith(b"4")
    assert dribbled(connection, b"POST / HTTP/1.1\r\nX: "), "nor a later one on the same connection"


def test_a_slow_body_is_none_of_its_business(port: int) -> None:
    connection = opened(port)
    connection.sendall(REQUEST)
    for byte in b"abcd":
        time.sleep(SECONDS)
        connection.sendall(bytes([byte]))
    assert connection.recv(1000).endswith(b"4")
    connection.sendall(REQUEST + b"abcd")
    assert connection.recv(1000).endswith(b"4")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 4\r\n\r\nabcd", b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_a_request_that_offers_an_upgrade_keeps_its_body(port: int, framing: bytes, protocol: bytes) -> None:
    connection = opened(port)
    head, _, body = framing.partition(b"\r\n\r\n")
    offer = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + b"\r\n"
    connection.sendall(offer + head + b"\r\n\r\n")
    connection.sendall(body)
    assert connection.recv(1000).endswith(b"4")
    connection.sendall(REQUEST + b"abcd")
    assert connection.recv(1000).endswith(b"4"), "and the next request is the next"


@pytest.mark.parametrize(
    "start",
    [
        b"POST / HTTP/1.1\r\n",
        b"POST /?",
        REQUEST.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\n",
    ],
    ids=["headers", "address", "trailers"],
)
def test_a_head_is_only_so_long(port: int, start: bytes) -> None:
    connection = opened(port)
    connection.sendall(start)
    sent = 0
    try:
        while sent < 100 * connections.MOST_HEAD_BYTES:
            sent += connection.send(b"a: " + b"b" * 4000 + b"\r\n" if start.endswith(b"\n") else b"a" * 4096)
        assert is_closed(connection) or connection.recv(1000).startswith(b"HTTP/1.1 400")
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert sent < 100 * connections.MOST_HEAD_BYTES, "it was not cut off"


def test_an_answer_that_is_not_read_is_broken_off(port: int) -> None:
    connection = opened(port)
    connection.sendall(REQUEST.replace(b" / ", b" /large ") + b"abcd")
    time.sleep(5 * SECONDS)
    found = 0
    try:
        while part := connection.recv(1 << 20):
            found += len(part)
    except ConnectionResetError:
        pass
    assert found < LARGE


def test_an_answer_that_is_read_slowly_comes_whole(port: int) -> None:
    connection = opened(port)
    connection.sendall(REQUEST.replace(b" / ", b" /large ") + b"abcd")
    found = 0
    while found < LARGE:
        part = connection.recv(1 << 20)
        assert part
        found += len(part)
        if found < LARGE // 10:
            time.sleep(SECONDS / 10)
