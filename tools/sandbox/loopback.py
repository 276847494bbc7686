"""A server on loopback in a thread and an event loop of its own: what the stand-ins of our partners have in common."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Self

from tools.sandbox import backboard_wire as wire

HOST = "127.0.0.1"


class Loopback:
    """Accepts connections and leaves each exchange on them to `exchange`. Port 0 takes any free one."""

    name = "loopback"

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        raise NotImplementedError

    def closes_this_connection(self) -> bool:
        """Whether the connection that has just been accepted is closed unread."""
        return False

    def start(self) -> Self:
        self._door = self._bind()
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(started)), name=self.name, daemon=True)
        self._thread.start()
        started.wait()
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextlib.contextmanager
    def refuse_connections(self) -> Iterator[None]:
        """Be down: existing connections are cut, new ones refused; what was being worked on is lost."""
        self._run(self._go_down())
        try:
            yield
        finally:
            self._run(self._come_up())

    def refuse_connections_for(self, seconds: float) -> None:
        """As `refuse_connections`, shortly from now and without waiting for it."""
        self._loop.call_soon_threadsafe(self.in_background, self._be_down(seconds))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _main(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await self._come_up()
        started.set()
        await self._stopping.wait()
        await self._go_down()
        self._door.close()

    def _bind(self) -> socket.socket:
        """The port, taken but not yet listening: connections are refused, and nobody else can have it."""
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((HOST, self._port))
        self._port = door.getsockname()[1]
        return door

    async def _come_up(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._door, limit=wire.HEAD_BYTES, backlog=1024)

    async def _go_down(self) -> None:
        self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        self._door = self._bind()

    async def _be_down(self, seconds: float) -> None:
        await asyncio.sleep(0.1)  # The control request that asked for it gets its answer.
        await self._go_down()
        await asyncio.sleep(seconds)
        await self._come_up()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self.closes_this_connection():
                while await self.exchange(reader, writer):
                    pass
        except (ConnectionError, TimeoutError, wire.NotHttp):
            pass  # The client left, was idle for too long, or does not speak HTTP.
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            await wire.close(writer)
            self._connections.discard(task)
