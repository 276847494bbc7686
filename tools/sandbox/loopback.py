"""A TCP server on loopback: the base of the stand-ins and of the proxies.

It runs in the event loop that opens it (`async with`), or in a thread with an event loop of its own (`with`).
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Self

HOST = "127.0.0.1"
# Of a connection that is read by lines; an HTTP head has to fit.
BUFFER_BYTES = 64 * 1024


class HangUp(Exception):
    """Raised by `exchange` to close the connection."""


class LoopbackServer:
    """Accepts connections and leaves each exchange on them to `exchange`. Port 0 takes any free port."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one exchange; return whether the connection stays open for another."""
        raise NotImplementedError

    def rejects_connection(self) -> bool:
        """Whether the connection that has just been accepted is closed unread."""
        return False

    async def __aenter__(self) -> Self:
        self._socket = self._bind()
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def __enter__(self) -> Self:
        self._socket = self._bind()
        opened = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(opened)), name=type(self).__name__, daemon=True
        )
        self._thread.start()
        opened.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.call_in_loop(self._stopping.set)
        self._thread.join()

    @contextlib.contextmanager
    def refuse_connections(self) -> Iterator[None]:
        """Be down: existing connections are cut and new ones refused; work under way is lost."""
        self._wait_for(self._go_down())
        try:
            yield
        finally:
            self._wait_for(self.listen())

    def refuse_connections_for(self, seconds: float) -> None:
        """Do the same for some time, beginning in a moment; returns at once."""
        self.call_in_loop(self.in_background, self._be_down(seconds))

    async def listen(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._serve, sock=self._socket, limit=BUFFER_BYTES, backlog=1024)

    def stop_listening(self) -> None:
        """Refuse new connections; the port stays ours."""
        self._server.close()
        self._socket = self._bind()

    def in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def call_in_loop(self, function: Any, *arguments: Any) -> None:
        """Call a function in the server's event loop, from any thread."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def _wait_for(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _run(self, opened: threading.Event) -> None:
        self._stopping = asyncio.Event()
        await self._open()
        opened.set()
        await self._stopping.wait()
        await self._close()

    async def _open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.listen()

    async def _close(self) -> None:
        await self._go_down()
        self._socket.close()

    def _bind(self) -> socket.socket:
        """Take the port without listening yet: connections are refused, and no other program can have it."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, self.port))
        self.port = bound.getsockname()[1]
        return bound

    async def _go_down(self) -> None:
        self.stop_listening()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _be_down(self, seconds: float) -> None:
        await asyncio.sleep(0.1)  # The control request that asked for this gets its response.
        await self._go_down()
        await asyncio.sleep(seconds)
        await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self.rejects_connection():
                while await self.exchange(reader, writer):
                    pass
        except (OSError, EOFError, TimeoutError, HangUp):
            pass  # The client has disconnected, was idle for too long, or is to be disconnected.
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.discard(task)
