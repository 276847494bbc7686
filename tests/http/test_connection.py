"""A connection's own clock, with limits short enough to wait for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from app.http import protocol
from app.http.due import Due
from app.http.middleware import RequestMiddleware
from app.http.protocol import Protocol
from app.metrics import Metrics
from tests.support.asgi import Log

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Client:
    """One end of a connection to a server of the test's own."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytes = field(default=b"")

    async def is_hung_up_on(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                self.received += await self.reader.read()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def connected(app: ASGIApp, keep_alive: float = 5.0) -> AsyncIterator[Client]:
    config = uvicorn.Config(RequestMiddleware(app, Metrics({})), log_config=None, lifespan="off", proxy_headers=False)
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]  # It takes any time, if not by its name.
    config.load()
    state: dict[str, Any] = {"stopping": asyncio.Event()}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(config, ServerState(), state), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        server.close()
        await server.wait_closed()


async def well(_: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_a_kept_connection_ends_when_nothing_more_is_asked() -> None:
    """After its time, without a word."""
    async with connected(well, keep_alive=0.2) as client:
        client.writer.write(GET)

        assert await client.is_hung_up_on(3)
        assert client.received.count(b"HTTP/1.1 ") == 1


async def test_what_belongs_to_no_request_does_not_keep_a_connection() -> None:
    """A line end now and then would hold one for ever."""
    async with connected(well, keep_alive=0.5) as client:
        client.writer.write(GET)
        for _ in range(8):
            client.writer.write(b"\r\n")
            if await client.is_hung_up_on(0.2):
                break
        else:
            pytest.fail("it was kept")


async def test_a_request_in_time_gives_a_connection_its_time_anew() -> None:
    """As often as one comes."""
    async with connected(well, keep_alive=0.6) as client:
        for _ in range(4):
            client.writer.write(GET)
            assert not await client.is_hung_up_on(0.3)
        assert client.writer.transport.is_closing() is False


async def test_a_body_that_we_do_not_read_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what is kept for the application, the client has to wait for us."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.1)

    async def at_leisure(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        await well(scope, receive, send)

    async with connected(at_leisure) as client:
        body = b"x" * 300_000
        client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + body)
        async with asyncio.timeout(3):
            assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")


async def test_a_body_has_its_time_from_when_it_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it waited for our reading, for a "100 Continue" or for the answers before its own."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.4)

    async def at_leisure(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.6)
        await well(scope, receive, send)

    async def post(before: bytes, expect: bytes, size: int) -> None:
        async with connected(at_leisure) as client, asyncio.timeout(5):
            client.writer.write(before + b"POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (expect, size))
            client.writer.write(b"" if expect else b"x" * (size - 1))
            await asyncio.sleep(1.5 if before else 0.9)
            client.writer.write(b"x" * (size if expect else 1))
            for _ in range(2 if before else 1):
                assert b"HTTP/1.1 200" in await client.reader.readuntil(b"ok")

    expect = b"Expect: 100-continue\r\n"
    await asyncio.gather(post(b"", b"", 300_000), post(b"", expect, 3), post(GET, expect, 3), post(GET, b"", 300_000))


async def test_a_body_that_stops_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the application has not asked for it yet; the answer is the connection's own, and the last."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.1)
    async with connected(well) as client:
        client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nx")

        assert await client.is_hung_up_on(3)
        assert client.received.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in client.received


async def test_an_answer_in_pieces_is_a_bug(log: object) -> None:  # noqa: ARG001  # It logs.
    """There is none here, and half of one must not look whole."""

    async def in_pieces(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})

    async with connected(in_pieces) as client:
        client.writer.write(GET)

        assert await client.is_hung_up_on(3)
        assert client.received == b""


async def test_who_leaves_before_several_answers_is_no_bug(log: Log) -> None:
    """Also where the one under way is not the last that was read."""

    async def at_leisure(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3 if scope["path"] == "/slow" else 0)
        await well(scope, receive, send)

    async with connected(at_leisure) as client:
        client.writer.write(GET + GET.replace(b"/", b"/slow", 1) + GET)
        assert not await client.is_hung_up_on(0.1)
        client.writer.close()
        await asyncio.sleep(0.5)

    assert "bug" not in [line["event"] for line in log.lines()]


async def test_nothing_is_answered_behind_the_last_answer(log: Log) -> None:
    """Also where something was to be refused behind it."""

    async def once(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-length", b"0"), (b"connection", b"close")] if scope["path"] == "/last" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with connected(once) as client:
        broken = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
        client.writer.write(GET.replace(b"/", b"/last", 1) + GET + broken)

        assert await client.is_hung_up_on(3)
        assert client.received.count(b"HTTP/1.1 ") == 1
    assert [line["event"] for line in log.lines()] == ["request"]


async def test_who_ends_without_reading_does_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport closes once everything is read, and too little may be left unread for it to complain."""
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.1)
    aborted = asyncio.Event()

    class Unread(asyncio.Transport):
        def write(self, data: object) -> None:
            pass

        def close(self) -> None:
            pass

        def is_closing(self) -> bool:
            return True

        def abort(self) -> None:
            aborted.set()

    config = uvicorn.Config(well, log_config=None, lifespan="off")
    config.load()
    connection = Protocol(config, ServerState(), {"stopping": asyncio.Event()})
    connection.connection_made(Unread())
    connection.data_received(GET)
    connection.eof_received()

    async with asyncio.timeout(3):
        await aborted.wait()


async def test_a_trailer_is_no_header() -> None:
    """It came behind what the headers decide, and a proxy that looks at headers has not looked at it."""
    seen: list[list[tuple[bytes, bytes]]] = []

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        await well(scope, receive, send)
        seen.append(scope["headers"])

    async with connected(looking) as client:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.writer.write(head + b"1\r\nx\r\n0\r\nHost: y\r\nAuthorization: z\r\n\r\n")
        async with asyncio.timeout(3):
            assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")

    assert seen == [[(b"host", b"x"), (b"transfer-encoding", b"chunked")]]


async def test_what_is_due_is_done_when_its_time_is_over() -> None:
    """Once."""
    fired: list[str] = []
    due = Due(asyncio.get_running_loop())
    due.within(0.05, lambda: fired.append("late"))
    await asyncio.sleep(0.2)

    assert fired == ["late"]


async def test_what_is_due_may_be_moved_lifted_and_brought_forward() -> None:
    """Only what was said last counts, and a timer that was set for less does no harm."""
    fired: list[str] = []
    due = Due(asyncio.get_running_loop())
    due.within(0.05, lambda: fired.append("first"))
    due.within(0.3, lambda: fired.append("moved"))
    await asyncio.sleep(0.15)
    assert fired == []
    due.within(0.05, lambda: fired.append("forward"))
    await asyncio.sleep(0.15)
    assert fired == ["forward"]
    due.within(0.05, lambda: fired.append("lifted"))
    due.lift()
    await asyncio.sleep(0.15)
    due.within(0.05, lambda: fired.append("closed"))
    due.close()
    await asyncio.sleep(0.15)
    assert fired == ["forward"]
