"""The Backboard sandbox: a server that follows Backboard's API, and misbehaves on request.

`./dev run` starts one, the tests start theirs, and `python -m local.backboard --port 8090` runs it alone. From
Python it is steered through the methods of `Ledger` and the faults of `backboard_faults`. From a terminal:

    curl -s $SANDBOX/_ledger
    curl -s $SANDBOX/_control -d '{"create": "500_after_commit", "times": 3}'
    curl -s $SANDBOX/_control -d '{"lookup": "hangs", "always": true}'
    curl -s $SANDBOX/_control -d '{"create": "late", "seconds": 5}'
    curl -s $SANDBOX/_control -d '{"latency": 2, "name_filter": false}'
    curl -s $SANDBOX/_control -d '{"refuse_connections": 10}'
    curl -s $SANDBOX/_control -d '{"make": "clerk:user_2abc", "times": 2}'
    curl -s $SANDBOX/_control -d '{"clear": true}'
    curl -s $SANDBOX/_control -d '{"reset": true}'

SANDBOX is the URL without /api. A control request that is not understood is answered with what there is.
"""

import argparse
import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, Self

from local import backboard_wire as wire
from local.backboard_control import control
from local.backboard_faults import Commit, Fault, Wire, behaves, says
from local.backboard_ledger import Ledger
from local.backboard_messages import Reply, Request

HOST = "127.0.0.1"
LOCAL_KEY = "espr_local"

# Stands where a fault lets nothing be answered.
NO_REPLY = Reply(500, b"")
SILENT = {Wire.NOT_AT_ALL, Wire.CLOSED, Wire.RESET}


class Sandbox(Ledger):
    """Backboard on loopback, in a thread and an event loop of its own. Port 0 takes any free one."""

    def __init__(self, keys: Iterable[str] = (LOCAL_KEY,), port: int = 0) -> None:
        super().__init__(keys)
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}/api"

    def start(self) -> Self:
        self._door = self._bind()
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(started)), name="backboard-sandbox", daemon=True
        )
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
        self._loop.call_soon_threadsafe(self._in_background, self._be_down(seconds))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
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
                while await self._exchange(reader, writer):
                    pass
        except (ConnectionError, TimeoutError, wire.NotHttp):
            pass  # The client left, was idle for too long, or does not speak HTTP.
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            await wire.close(writer)
            self._connections.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        async with asyncio.timeout(self.switches.idle_seconds):
            request = await wire.read_request(reader)
        if request is None:
            return False
        if request.path.startswith("/api/"):
            reply, fault = await self._answer(request)
        else:
            reply, fault = control(self, request), behaves()
        goes_on = await wire.send(writer, reader, reply, fault, head_only=request.method == "HEAD")
        return goes_on and request.keeps_alive

    async def _answer(self, request: Request) -> tuple[Reply, Fault]:
        """Do the work when the fault says so, even if the client has left by then."""
        call, fault, world = self.arrive(request)
        await asyncio.sleep(self.switches.latency)
        work = partial(self.work, world, request)
        reply = NO_REPLY
        if fault.commit is Commit.IN_BACKGROUND:
            self._in_background(_later(fault, work))
            return reply, fault
        if fault.commit is Commit.BEFORE_PAUSE:
            reply = work()
        await _pause(fault)
        if fault.commit is Commit.AFTER_PAUSE:
            reply = work()
        if fault.earlier_id:
            fault = says(assistant_id=next(iter(world.made), "") if world else "")
        if fault.alter:
            reply = fault.alter(reply)
        if fault.wire not in SILENT:
            self.answered(call, reply.status)
        return reply, fault


async def _pause(fault: Fault) -> None:
    await asyncio.sleep(fault.seconds)
    # The gate is a thread's event, since whoever sets it is in another loop, or in none.
    while fault.gate is not None and not fault.gate.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def _later(fault: Fault, work: partial[Reply]) -> None:
    await _pause(fault)
    work()


def main() -> None:
    parser = argparse.ArgumentParser(description="The Backboard sandbox, alone.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes any free port")
    parser.add_argument("--key", action="append", help=f"an accepted API key; default {LOCAL_KEY}")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt), Sandbox(arguments.key or [LOCAL_KEY], arguments.port) as sandbox:
        print(sandbox.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
