"""Responses in pieces over real sockets: streams, files, any ASGI application, and how they break off."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http import middleware, pace
from app.http.middleware import RequestMiddleware
from app.metrics import Metrics
from tests.support.asgi import Log
from tests.support.connections import GET, connected, listening

pytestmark = pytest.mark.anyio

POST = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")


class Stream:
    """An application that streams what a test puts into it; None ends it."""

    def __init__(self, media_type: str = "text/plain") -> None:
        self.pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.has_ended = asyncio.Event()
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(self._pieces(), media_type=self._media_type)(scope, receive, send)

    async def _pieces(self) -> AsyncIterator[str]:
        try:
            while (piece := await self.pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.has_ended.set()


async def test_each_piece_arrives_when_it_is_sent() -> None:
    stream = Stream()
    async with connected(stream) as client:
        client.send(GET)
        stream.pieces.put_nowait("one")
        head = await client.read_until(b"3\r\none\r\n")
        stream.pieces.put_nowait("two")
        await client.read_until(b"3\r\ntwo\r\n")
        stream.pieces.put_nowait(None)
        await client.read_until(b"0\r\n\r\n")

    assert b"\r\ntransfer-encoding: chunked\r\n" in head
    assert b"\r\nx-request-id: " in head


async def test_connection_is_kept_after_a_stream() -> None:
    stream = Stream()
    async with connected(stream) as client:
        for _ in range(2):
            client.send(GET)
            stream.pieces.put_nowait("one")
            stream.pieces.put_nowait(None)
            await client.read_until(b"0\r\n\r\n")


async def test_server_sent_events_outlive_the_deadline_of_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is for the beginning; a stream may take as long as its client reads it."""
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.2)
    stream = Stream("text/event-stream")
    async with connected(stream) as client:
        client.send(GET)
        assert b"text/event-stream" in await client.read_until(b"\r\n\r\n")
        for number in range(4):
            await asyncio.sleep(0.15)
            stream.pieces.put_nowait(f"data: {number}\n\n")
            await client.read_until(b"data: %d\n\n" % number)


async def test_response_that_does_not_begin_is_503(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.1)

    async def hang(_: Scope, __: Receive, send: Send) -> None:
        await asyncio.sleep(60)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async with connected(hang) as client:
        client.send(GET)

        assert (await client.read_until(b"\r\n")).startswith(b"HTTP/1.1 503")
    assert log.line()["reason"] == "deadline"


async def test_handler_that_fails_in_a_stream_cuts_the_connection(log: Log) -> None:
    """Half of a response must not look whole, and the log has the failure."""
    stream = Stream()
    async with connected(stream) as client:
        client.send(GET)
        stream.pieces.put_nowait("one")
        await client.read_until(b"one\r\n")
        stream.pieces.put_nowait(RuntimeError("canary"))

        assert await client.is_closed(3)
        assert client.received == b""
    lines = {line["event"]: line for line in log.lines()}
    assert lines["bug"]["error"] in {"RuntimeError", "ExceptionGroup"}
    assert lines["request"]["status"] == 200
    assert "canary" not in str(lines)


async def test_handler_that_ends_in_a_stream_cuts_the_connection(log: Log) -> None:  # noqa: ARG001  # It logs.
    async def half(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async with connected(half) as client:
        client.send(GET)

        assert await client.is_closed(3)
        assert client.received.endswith(b"4\r\nhalf\r\n")


async def test_client_that_leaves_ends_the_stream(log: Log) -> None:
    stream = Stream()
    async with connected(stream) as client:
        client.send(GET)
        stream.pieces.put_nowait("one")
        await client.read_until(b"one\r\n")
        client.writer.transport.abort()

        async with asyncio.timeout(3):
            await stream.has_ended.wait()
        await asyncio.sleep(0.05)
    assert [(line["event"], line["status"]) for line in log.lines()] == [("request", 200)]


async def test_stream_that_awaits_nothing_ends_when_its_client_leaves(log: Log) -> None:
    """It would keep the loop for itself: what is sent to a client that has left does not wait."""
    produced = 0

    async def numbers() -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(1_000_000):
            produced += 1
            yield b"x" * 10_000

    async with connected(StreamingResponse(numbers())) as client:
        client.send(GET)
        await client.read_until(b"\r\n\r\n")
        client.writer.transport.abort()
        before = -1
        while before != produced:
            before = produced
            await asyncio.sleep(0.1)

    assert produced < 10_000
    line = log.line()
    assert (line["status"], line.get("reason", "client_disconnect")) == (200, "client_disconnect")


async def test_stream_waits_for_a_client_that_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not read yet stays in the generator and not in memory."""
    monkeypatch.setattr(pace, "UNREAD_SECONDS", 60.0)
    produced = 0

    async def megabytes() -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(300):
            produced += 1
            yield b"x" * 1_000_000

    async with listening(StreamingResponse(megabytes())) as server:
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
            wire.setblocking(False)  # noqa: FBT003  # The standard library's.
            loop = asyncio.get_running_loop()
            await loop.sock_connect(wire, server.address)
            await loop.sock_sendall(wire, GET)
            await asyncio.sleep(0.5)
            assert 0 < produced < 20
            before = produced
            received = 0
            while received < 30_000_000:
                received += len(await loop.sock_recv(wire, 1_000_000))
            assert produced > before


async def test_body_that_breaks_off_in_a_stream_cuts_the_connection(log: Log) -> None:
    """There is no place for a second status line in the middle of a response."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for piece in Request(scope, receive).stream():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with connected(echo) as client:
        client.send(POST, b"2\r\n{}\r\n")
        head = await client.read_until(b"2\r\n{}\r\n")
        client.send(b"ZZ\r\n")

        assert await client.is_closed(5)
        assert client.received == b""
    line = log.line()
    assert (line["status"], line["reason"]) == (200, "http")
    assert line["request_id"].encode() in head


async def test_head_request_of_a_stream_has_no_body() -> None:
    stream = Stream()
    async with connected(stream) as client:
        for piece in ("one", None, "one", None):
            stream.pieces.put_nowait(piece)
        client.send(HEAD + HEAD)

        for _ in range(2):
            head = await client.read_until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")


@pytest.fixture
def mounted(tmp_path: Path) -> ASGIApp:
    """A site with files, another application below it, and a response object that it shares between requests."""
    (tmp_path / "large.bin").write_bytes(b"0123456789" * 100_000)
    shared = PlainTextResponse("shared", headers={"cache-control": "max-age=60"})

    async def name(request: Request) -> Response:
        return PlainTextResponse(f"{request.scope['root_path']} {request.path_params['name']}")

    async def plain(_: Scope, __: Receive, send: Send) -> None:
        """An application that knows no more than the ASGI specification: a tuple of headers, no `body`."""
        start: Message = {"type": "http.response.start", "status": 200, "headers": ((b"x-plain", b"1"),)}
        await send(start)
        await send({"type": "http.response.body"})

    async def bare(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def teapot(_: Scope, __: Receive, ___: Send) -> None:
        raise HTTPException(418)

    site = Starlette(
        routes=[
            Mount("/files", StaticFiles(directory=tmp_path)),
            Mount("/below", Starlette(routes=[Route("/{name}", name)])),
            Mount("/plain", plain),
            Mount("/bare", bare),
            Mount("/teapot", teapot),
            Mount("/shared", shared),
        ]
    )
    return RequestMiddleware(site.router, Metrics({}))


@pytest.fixture
async def client(mounted: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        listening(mounted) as server,
        httpx.AsyncClient(base_url=f"http://{server.address[0]}:{server.address[1]}", trust_env=False) as client,
    ):
        yield client


async def test_files_are_served(client: httpx.AsyncClient) -> None:
    whole = await client.get("/files/large.bin")
    head = await client.head("/files/large.bin")
    part = await client.get("/files/large.bin", headers={"Range": "bytes=10-19"})
    unchanged = await client.get("/files/large.bin", headers={"If-None-Match": whole.headers["etag"]})
    missing = await client.get("/files/missing.bin")

    assert (whole.status_code, len(whole.content)) == (200, 1_000_000)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "1000000", b"")
    assert (part.status_code, part.content) == (206, b"0123456789")
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (missing.status_code, missing.json()["status"]) == (404, 404)


async def test_any_asgi_application_can_be_mounted(client: httpx.AsyncClient) -> None:
    below, plain, bare = await client.get("/below/x"), await client.get("/plain/"), await client.get("/bare/")

    assert below.text == "/below x"
    assert (plain.status_code, plain.headers["x-plain"]) == (200, "1")
    assert (bare.status_code, bare.headers["cache-control"]) == (204, "no-store")
    assert (await client.get("/teapot/")).json()["detail"] == "I'm a Teapot."
    assert below.headers["x-request-id"] != plain.headers["x-request-id"]


async def test_shared_response_keeps_its_own_headers(client: httpx.AsyncClient) -> None:
    """The request id of one request is not added to the next, and a cache policy of its own counts."""
    responses = [await client.get("/shared/") for _ in range(3)]

    assert [len(response.headers.get_list("x-request-id")) for response in responses] == [1, 1, 1]
    assert [response.headers.get_list("cache-control") for response in responses] == [["max-age=60"]] * 3
