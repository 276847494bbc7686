"""The web process between its first connection and its last: one server, or several on one port, and how they end.

SIGTERM ends it in an order that resets no client. No new connection begins, those that the kernel has taken already are
accepted, and the port is closed. A kept connection may bring one more request within a second (see protocol), and
every request under way is answered.
"""

import asyncio
import errno
import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.server import ServerState

from app import log
from app.http.descriptors import DescriptorWatch, raise_limit
from app.http.last_connections import close_for_good, refuse_new_connections, take_last_connections
from app.http.protocol import LimitedProtocol
from app.http.supervisor import Supervisor

# How long connections that the kernel has taken may take to come in.
QUEUE_SECONDS = 1.0
# How often the limits of all connections are enforced.
ENFORCE_SECONDS = 1.0
# Heroku's router keeps idle connections for 90 s; ours must not be the side that closes first.
KEEP_ALIVE_SECONDS = 95
# The last request may come a second after SIGTERM and takes at most 12; all must be over after 20 s.
SHUTDOWN_SECONDS = 15


class CannotListen(Exception):
    """The port cannot be used; the text says why."""


class Server(uvicorn.Server):
    """uvicorn's server that enforces the limits of its connections and resets no client at its end.

    With a `parent`, it also ends when that process is gone.
    """

    def __init__(
        self, config: uvicorn.Config, *, parent: int | None = None, on_ready: Callable[[], None] | None = None
    ) -> None:
        super().__init__(config)
        self._parent = parent
        self._on_ready = on_ready
        self._descriptors = DescriptorWatch()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays. To walk over it in each full collection would stop all requests for about 40 ms.
        gc.collect()
        gc.freeze()
        if self._on_ready is not None:
            self._on_ready()
        self._enforce_limits()

    def _enforce_limits(self) -> None:
        asyncio.get_running_loop().call_later(ENFORCE_SECONDS, self._enforce_limits)
        enforce_limits(self.server_state)
        self._descriptors.look(len(self.server_state.connections))

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._is_orphaned()

    def _is_orphaned(self) -> bool:
        return self._parent is not None and os.getppid() != self._parent

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state["stopping"].set()
        for listening in sockets or []:
            await self._take_in(listening)
        await super().shutdown(sockets)
        if self.server_state.tasks:
            # Streams that were cancelled because their time is over still have their closing lines to write.
            await asyncio.wait(self.server_state.tasks, timeout=1)

    async def _take_in(self, listening: socket.socket) -> None:
        """Accept all clients that wait in the kernel's queue."""
        if self._parent is None or self._is_orphaned():
            # Otherwise the queue is that of other workers as well, and the supervisor has done it if all of them end.
            refuse_new_connections(listening)
        await take_last_connections(listening, seconds=QUEUE_SECONDS)
        if self._parent is None:
            close_for_good(listening)


def enforce_limits(state: ServerState) -> None:
    """End what takes too long on any connection. A bug in the limits of one resets it, and the others keep theirs."""
    now = asyncio.get_running_loop().time()
    for connection in list(state.connections):
        protocol = cast("LimitedProtocol", connection)
        try:
            protocol.enforce_limits(now)
        except Exception as error:  # noqa: BLE001  # The limits of the other connections hold all the same.
            log.exception(error)
            protocol.abort()


def serve(factory: str, *, port: int, processes: int) -> None:
    """Run the application that `factory` ("module:function") makes, until SIGTERM or Ctrl-C.

    Raises CannotListen if the port cannot be used, and SystemExit if its processes die at every start.
    """
    config = _uvicorn_config(factory, processes)
    raise_limit()
    with _listening(port) as listening:
        if processes > 1:
            parent = os.getpid()
            Supervisor(
                lambda on_ready: _run(Server(config, parent=parent, on_ready=on_ready), listening), listening, processes
            ).run()
        else:
            signal.signal(signal.SIGHUP, _ignore_hangup)
            _run(Server(config), listening)


def _run(server: Server, listening: socket.socket) -> None:
    with suppress(KeyboardInterrupt):
        server.run([listening])


def _ignore_hangup(_: int, __: FrameType | None) -> None:
    """A single process has no other to serve in its place while it restarts."""
    hint = "SIGTERM ends it; with WEB_CONCURRENCY=2 or more, SIGHUP restarts the processes one by one"
    log.warning("hangup_ignored", hint=hint)


def _listening(port: int) -> socket.socket:
    """A socket bound to the port on every address of this machine: a dyno is reached from outside.

    Over IPv6 and IPv4 where the machine has both: some private networks have only IPv6, and a `localhost` may be ::1.
    """
    try:
        if socket.has_dualstack_ipv6():
            try:
                return _bound(socket.AF_INET6, ("::", port))
            except OSError as error:
                # Where IPv6 is switched off there is no such address. A port that is taken is taken for both.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
        return _bound(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104  # As said above.
    except OSError as error:
        raise CannotListen(f"PORT={port} cannot be used: {error.strerror}.") from error


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    listening = socket.socket(family)
    try:
        # Connections of the process before us may still be closing.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Systems differ in whether such a socket takes IPv4 too.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    listening.set_inheritable(True)
    return listening


def _uvicorn_config(factory: str, processes: int) -> uvicorn.Config:
    return uvicorn.Config(
        factory,
        factory=True,
        workers=processes,
        loop="uvloop",
        http=LimitedProtocol,
        ws="none",
        backlog=128,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
