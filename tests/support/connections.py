"""A server of the test's own in the test's loop, with limits short enough to wait for, and raw clients of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.http.middleware import RequestMiddleware
from app.http.protocol import LimitedProtocol
from app.http.server import enforce_limits
from app.metrics import Metrics

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ENFORCE_SECONDS = 0.02

Protocol = Callable[..., HttpToolsProtocol]


@dataclass
class Listening:
    """Where the server listens, and what it knows of its connections."""

    address: tuple[str, int]
    state: ServerState
    stopping: asyncio.Event


@dataclass
class Client:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytes = field(default=b"")

    def send(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))

    async def is_closed(self, seconds: float) -> bool:
        """Whether the server closes within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while piece := await self.reader.read(65_536):
                    self.received += piece
        except TimeoutError:
            return False
        except ConnectionError:
            # Closed while we were sending.
            pass
        return True

    async def read_until(self, end: bytes, seconds: float = 5.0) -> bytes:
        async with asyncio.timeout(seconds):
            return await self.reader.readuntil(end)


@asynccontextmanager
async def listening(
    app: ASGIApp, *, keep_alive: float = 5.0, protocol: Protocol = LimitedProtocol
) -> AsyncIterator[Listening]:
    """Serve `app` as it stands."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", proxy_headers=False)
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]  # It takes any time, if not by its name.
    config.load()
    loop, state, stopping = asyncio.get_running_loop(), ServerState(), asyncio.Event()
    app_state: dict[str, Any] = {"stopping": stopping}
    server = await loop.create_server(lambda: protocol(config, state, app_state), "127.0.0.1", 0)
    enforcing = asyncio.create_task(_enforce_limits(state))
    try:
        yield Listening(server.sockets[0].getsockname(), state, stopping)
    finally:
        enforcing.cancel()
        server.close()
        for connection in list(state.connections):
            connection.transport.close()
        await server.wait_closed()


async def _enforce_limits(state: ServerState) -> None:
    while True:
        await asyncio.sleep(ENFORCE_SECONDS)
        if all(isinstance(connection, LimitedProtocol) for connection in state.connections):
            enforce_limits(state)


@asynccontextmanager
async def connected(app: ASGIApp, *, keep_alive: float = 5.0) -> AsyncIterator[Client]:
    """Connect to a server of `app` behind the middleware."""
    async with listening(RequestMiddleware(app, Metrics({})), keep_alive=keep_alive) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
