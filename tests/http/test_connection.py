"""The limits of a connection, made short enough to wait for: heads, bodies, kept connections, unread responses."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import cast
from unittest.mock import Mock

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.http import pace, protocol
from app.http.middleware import RequestMiddleware
from app.http.protocol import LimitedProtocol
from app.metrics import Metrics
from tests.support.asgi import Log
from tests.support.connections import GET, Client, connected, listening

pytestmark = pytest.mark.anyio

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def ok(_: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def ok_after_a_while(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.6)
    await ok(scope, receive, send)


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # What the server does has no event of ours.
            await asyncio.sleep(0.02)


async def test_kept_connection_is_closed_when_no_request_comes() -> None:
    async with connected(ok, keep_alive=0.2) as client:
        client.send(GET)

        assert await client.is_closed(3)
        assert client.received.count(b"HTTP/1.1 ") == 1


async def test_line_ends_between_requests_do_not_keep_a_connection() -> None:
    async with connected(ok, keep_alive=0.5) as client:
        client.send(GET)
        for _ in range(8):
            client.send(b"\r\n")
            if await client.is_closed(0.2):
                break
        else:
            pytest.fail("it was kept")


async def test_each_request_renews_the_time_of_a_kept_connection() -> None:
    async with connected(ok, keep_alive=0.6) as client:
        for _ in range(4):
            client.send(GET)
            assert not await client.is_closed(0.3)


async def test_silent_connection_is_closed_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    async with connected(ok) as client:
        assert await client.is_closed(3)
        assert client.received == b""


async def test_head_that_drips_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the head as a whole does not."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.1)
    async with connected(ok) as client:
        for byte in GET:
            client.send(bytes([byte]))
            if await client.is_closed(0.05):
                break

        assert client.received.startswith(b"HTTP/1.1 408 ")


async def test_head_that_stops_on_a_kept_connection_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the time of a head, not that of a connection without a request."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.1)
    async with connected(ok, keep_alive=60) as client:
        client.send(GET)
        await client.read_until(b"ok")
        client.send(GET[:10])

        assert await client.is_closed(3)
        assert client.received.startswith(b"HTTP/1.1 408 ")


async def test_body_that_we_do_not_read_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what is buffered for the application, the client has to wait for us."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.1)
    async with connected(ok_after_a_while) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n", b"x" * 300_000)

        assert (await client.read_until(b"\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("before", "expect", "size"),
    [
        pytest.param(b"", b"", 300_000, id="larger than what is buffered"),
        pytest.param(b"", b"Expect: 100-continue\r\n", 3, id="after 100 Continue"),
        pytest.param(GET, b"Expect: 100-continue\r\n", 3, id="after another response and 100 Continue"),
        pytest.param(GET, b"", 300_000, id="after another response"),
    ],
)
async def test_body_has_its_time_from_when_it_may_come(
    monkeypatch: pytest.MonkeyPatch, before: bytes, expect: bytes, size: int
) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.4)
    async with connected(ok_after_a_while) as client:
        client.send(before, b"POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (expect, size))
        client.send(b"" if expect else b"x" * (size - 1))
        await asyncio.sleep(1.5 if before else 0.9)
        client.send(b"x" * (size if expect else 1))

        for _ in range(2 if before else 1):
            assert b"HTTP/1.1 200" in await client.read_until(b"ok")


async def test_body_that_stops_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.1)
    async with connected(ok) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nx")

        assert await client.is_closed(3)
        assert client.received.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in client.received


async def test_body_that_drips_after_its_response_does_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application answered without reading it, and does not close."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)

    async def ok_at_once(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with connected(ok_at_once) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(40):
            client.send(b"x")
            if await client.is_closed(0.05):
                break
        else:
            pytest.fail("it was kept")
        assert client.received.count(b"HTTP/1.1 ") == 1


async def test_request_after_a_body_that_its_response_overtook_is_answered() -> None:
    async def ok_at_once(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await ok(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with connected(ok_at_once) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        await client.read_until(b"\r\n\r\n")
        client.send(b"hello" + GET)

        assert (await client.read_until(b"ok")).startswith(b"HTTP/1.1 200")


async def test_refusal_before_100_continue_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has its answer, so it is not waited for because of the 100 that it asked for."""
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.3)

    async def hang(_: Scope, __: Receive, ___: Send) -> None:
        await asyncio.sleep(60)

    async with listening(RequestMiddleware(hang, Metrics({}))) as server:
        _, writer = await asyncio.open_connection(*server.address)
        writer.write(CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\nZZ\r\n"))
        await eventually(lambda: len(server.state.connections) == 1)

        await eventually(lambda: not server.state.connections)
        writer.close()
        for task in server.state.tasks:
            task.cancel()


async def test_refused_client_that_goes_on_sending_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has so many bytes in which to notice that it was refused."""
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 60.0)
    monkeypatch.setattr(protocol, "LINGER_BYTES", 1_000_000)
    async with connected(ok) as client:
        client.send(b"garbage\r\n\r\n")
        await client.read_until(b"}")
        assert await client.is_closed(0.5)
        with suppress(ConnectionError):
            for _ in range(100):
                client.send(b"x" * 100_000)
                await client.writer.drain()
            pytest.fail("it was not cut")


async def test_client_that_leaves_before_several_responses_is_no_bug(log: Log) -> None:
    """Also where the request being answered is not the last that was read."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3 if scope["path"] == "/slow" else 0)
        await ok(scope, receive, send)

    async with connected(slow) as client:
        client.send(GET + GET.replace(b"/", b"/slow", 1) + GET)
        assert not await client.is_closed(0.1)
        client.writer.close()
        await asyncio.sleep(0.5)

    assert "bug" not in [line["event"] for line in log.lines()]


async def test_request_being_answered_learns_that_its_client_left() -> None:
    """Not only the last one that was read."""
    learned = asyncio.Event()

    async def wait_for_disconnect(_: Scope, receive: Receive, __: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        learned.set()

    async with connected(wait_for_disconnect) as client:
        client.send(GET * 3)
        assert not await client.is_closed(0.1)
        client.writer.close()
        async with asyncio.timeout(3):
            await learned.wait()


async def test_nothing_follows_the_last_response(log: Log) -> None:
    """Not even a refusal of what came after it."""

    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-length", b"0"), (b"connection", b"close")] if scope["path"] == "/last" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with connected(close) as client:
        client.send(GET.replace(b"/", b"/last", 1) + GET + CHUNKED + b"ZZ\r\n")

        assert await client.is_closed(5)
        assert client.received.count(b"HTTP/1.1 ") == 1
    assert [line["event"] for line in log.lines()] == ["request"]


async def test_connection_whose_limits_fail_is_reset_and_the_others_keep_theirs(log: Log) -> None:
    """A bug in one of them must not end the limits of all."""

    class Limited(LimitedProtocol):
        def enforce_limits(self, now: float) -> None:
            if self.server_state.total_requests == 0:
                raise ZeroDivisionError
            super().enforce_limits(now)

    async with listening(RequestMiddleware(ok, Metrics({})), protocol=Limited, keep_alive=0.3) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        assert await Client(reader, writer).is_closed(3)
        writer.close()

        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(GET)
        assert await Client(reader, writer).is_closed(3)
        writer.close()
    assert [line["event"] for line in log.lines()] == ["bug", "request"]


@pytest.mark.parametrize("end", ["reads nothing", "half-closes", "asks for more"])
async def test_client_that_reads_no_response_is_cut(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(pace, "UNREAD_SECONDS", 0.3)
    body = b"x" * 30_000_000

    async def large(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"30000000")]})
        await send({"type": "http.response.body", "body": body})

    async with listening(RequestMiddleware(large, Metrics({}))) as server:
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            wire.connect(server.address)
            wire.sendall(GET if end != "asks for more" else GET * 3)
            if end == "half-closes":
                wire.shutdown(socket.SHUT_WR)
            await eventually(lambda: len(server.state.connections) == 1)

            await eventually(lambda: not server.state.connections)


@pytest.mark.parametrize(
    ("buffer", "piece", "pause"),
    [
        pytest.param(200_000, 400_000, 0.05, id="ours empties all the time"),
        pytest.param(200_000, 50_000, 0.05, id="the kernel's has to empty by megabytes before ours does"),
        pytest.param(4096, 30_000, 0.03, id="a small window"),
        pytest.param(200_000, 200_000, 0.2, id="a pause before each piece"),
    ],
)
async def test_client_that_reads_slowly_gets_its_response(
    monkeypatch: pytest.MonkeyPatch, buffer: int, piece: int, pause: float
) -> None:
    """It takes longer than the limit as a whole, but never pauses as long."""
    monkeypatch.setattr(pace, "UNREAD_SECONDS", 0.5)
    body = b"x" * 8_000_000

    async def large(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8000000")]})
        await send({"type": "http.response.body", "body": body})

    async with listening(RequestMiddleware(large, Metrics({}))) as server:
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            wire.setblocking(False)  # noqa: FBT003  # The standard library's.
            loop = asyncio.get_running_loop()
            await loop.sock_connect(wire, server.address)
            await loop.sock_sendall(wire, GET)
            received, slow_until = 0, loop.time() + 1.5
            while received < len(body) and (part := await loop.sock_recv(wire, piece)):
                received += len(part)
                if loop.time() < slow_until:
                    await asyncio.sleep(pause)

    assert received >= len(body)


async def test_client_that_reads_as_much_as_is_written_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each look as much is unsent as at the one before, since the next piece was written meanwhile."""
    monkeypatch.setattr(pace, "UNREAD_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "unacknowledged_bytes", lambda _: 0)
    transport = Mock(asyncio.Transport)
    transport.get_write_buffer_size.return_value = 100_000
    config = uvicorn.Config(ok, log_config=None, access_log=False, lifespan="off", ws="none")
    connection = LimitedProtocol(config, ServerState(), {"stopping": asyncio.Event()})
    connection.connection_made(transport)
    for look in range(5):
        connection.transport.write(b"x" * 100_000)
        connection.enforce_limits(look)
    assert not transport.abort.called

    for look in range(5, 8):
        connection.enforce_limits(look)
    assert transport.abort.called


async def test_trailer_is_no_header() -> None:
    """It comes after what the headers decide, and a proxy that looks at headers has not looked at it."""
    seen: list[list[tuple[bytes, bytes]]] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        await ok(scope, receive, send)
        seen.append(scope["headers"])

    async with connected(look) as client:
        client.send(CHUNKED + b"1\r\nx\r\n0\r\nHost: y\r\nAuthorization: z\r\n\r\n")
        assert (await client.read_until(b"ok")).startswith(b"HTTP/1.1 200")

    assert seen == [[(b"host", b"x"), (b"transfer-encoding", b"chunked")]]


@pytest.mark.parametrize("before", [b"", GET], ids=["alone", "after another request"])
async def test_close_in_a_trailer_ends_the_connection_after_the_response(before: bytes) -> None:
    """The parser drops what comes after it, so the client must not wait for another response."""
    async with connected(ok, keep_alive=60) as client:
        client.send(before + CHUNKED + b"1\r\nx\r\n0\r\nConnection: close\r\n\r\n" + GET)

        assert await client.is_closed(3)
        assert client.received.count(b"HTTP/1.1 200") == (2 if before else 1)


async def test_close_in_a_trailer_behind_the_response_ends_the_connection() -> None:
    async def ok_at_once(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with connected(ok_at_once, keep_alive=60) as client:
        client.send(CHUNKED + b"1\r\nx\r\n")
        await client.read_until(b"ok")
        client.send(b"0\r\nConnection: close\r\n\r\n" + GET)

        assert await client.is_closed(3)
        assert client.received == b""


async def test_connection_made_while_the_server_stops_may_bring_one_request() -> None:
    async with listening(RequestMiddleware(ok, Metrics({}))) as server:
        server.stopping.set()
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(GET)

        received = await asyncio.wait_for(reader.read(), 3)
        writer.close()

    assert received.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in received


async def test_client_that_takes_a_little_now_and_then_is_cut(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    """What it has not taken stays with the application, which sends one piece at a time."""
    monkeypatch.setattr(pace, "PACE_SECONDS", 0.5)
    monkeypatch.setattr(pace, "PACE_BYTES", 30_000_000)
    unsent: list[int] = []

    async def large(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"30000000")]})
        await send({"type": "http.response.body", "body": bytes(30_000_000)})

    async with listening(RequestMiddleware(large, Metrics({}))) as server:
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            wire.connect(server.address)
            wire.sendall(GET)
            await eventually(lambda: len(server.state.connections) == 1)
            async with asyncio.timeout(5):
                while connections := server.state.connections:
                    wire.recv(1024)
                    unsent += [cast("LimitedProtocol", one)._tcp.get_write_buffer_size() for one in connections]
                    await asyncio.sleep(0.02)

    assert 0 < max(unsent) <= 3 * 64 * 1024
    assert log.line()["reason"] == "client_disconnect"
