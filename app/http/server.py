"""The web process between its first connection and its last: one server, or several on one port, and how they end.

SIGTERM ends it in an order that leaves nobody with a reset. New connections wait outside, those that the kernel had
taken already are taken in, and the port is closed. Whoever is connected may bring one more request within a second
(see protocol), and every request under way is answered.
"""

import asyncio
import multiprocessing
import os
import select
import signal
import socket
import time
from contextlib import suppress
from multiprocessing.context import ForkProcess

import uvicorn

from app import log
from app.http.protocol import Protocol

# How long connections that the kernel has taken may take to come in.
QUEUE_SECONDS = 1.0
# A worker that dies at once does not keep a core busy with dying.
REPLACE_SECONDS = 1.0

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


class Server(uvicorn.Server):
    """uvicorn's server with an end of ours; with a `parent`, it also ends when that process is gone."""

    def __init__(self, config: uvicorn.Config, *, parent: int | None = None) -> None:
        super().__init__(config)
        self._parent = parent

    async def on_tick(self, counter: int) -> bool:
        orphaned = self._parent is not None and os.getppid() != self._parent
        return await super().on_tick(counter) or orphaned

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state["stopping"].set()
        with suppress(TimeoutError):
            async with asyncio.timeout(QUEUE_SECONDS):
                for listening in sockets or []:
                    await _take_in(listening)
                    if self._parent is None:
                        _refuse_more(listening)
        await super().shutdown(sockets)


def run(config: uvicorn.Config, listening: socket.socket) -> None:
    """Run as many processes as the configuration says until SIGTERM or Ctrl-C."""
    if config.workers > 1:
        _supervise(config, listening)
        return
    with suppress(KeyboardInterrupt):
        Server(config).run([listening])


async def _take_in(listening: socket.socket) -> None:
    """Let the loop accept all who wait; with no room in the queue, the next one's SYN is not answered meanwhile."""
    listening.listen(0)
    waiting = select.poll()
    waiting.register(listening, select.POLLIN)
    while waiting.poll(0):  # noqa: ASYNC110  # The kernel's queue has no event of ours.
        await asyncio.sleep(0)


def _refuse_more(listening: socket.socket) -> None:
    """Refuse the next client at once: whoever came in before the port is closed, a moment later, would be reset."""
    with suppress(OSError):  # Not every system does this to a socket that nobody is connected to.
        listening.shutdown(socket.SHUT_RD)


def _supervise(config: uvicorn.Config, listening: socket.socket) -> None:
    """Keep workers on one socket, replacing whoever dies, and end when they have ended.

    The signals are waited for and never interrupt, so none can come between a fork and the note of it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    # Without a handler some systems throw this signal away, blocked or not.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers = [_start_worker(config, listening) for _ in range(config.workers)]
    while signal.sigwait(_SIGNALS) == signal.SIGCHLD:
        time.sleep(REPLACE_SECONDS)
        for dead in [worker for worker in workers if not worker.is_alive()]:
            log.info("worker_died", code=dead.exitcode)
            workers.remove(dead)
            workers.append(_start_worker(config, listening))
    # Ours is closed first: a socket that nobody accepts on would collect clients until the last worker has ended.
    listening.close()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()


def _start_worker(config: uvicorn.Config, listening: socket.socket) -> ForkProcess:
    # A daemon is told to end also when the supervisor fails, and is waited for.
    arguments = (config, listening, os.getpid())
    worker = multiprocessing.get_context("fork").Process(target=_work, args=arguments, daemon=True)
    worker.start()
    return worker


def _work(config: uvicorn.Config, listening: socket.socket, parent: int) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    with suppress(KeyboardInterrupt):
        Server(config, parent=parent).run([listening])


# Heroku's router keeps idle connections for 90 s; ours must not be the side that hangs up first.
KEEP_ALIVE_SECONDS = 95
# The last request may come a second after SIGTERM and takes at most 12; all must be over after 20 s.
SHUTDOWN_SECONDS = 15


class CannotListen(Exception):
    """The port is not to be had; the text says why."""


def serve(factory: str, *, port: int, processes: int) -> None:
    """Run the application that `factory` ("module:function") makes, until SIGTERM or Ctrl-C.

    Raises CannotListen if the port cannot be used.
    """
    with _listening(port) as listening:
        run(_uvicorn_config(factory, processes), listening)


def _listening(port: int) -> socket.socket:
    """A socket bound to the port, on every address: a dyno is reached from outside."""
    listening = socket.socket()
    # Connections of the process before us may still be closing.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("0.0.0.0", port))  # noqa: S104  # As said above.
    except OSError as error:
        listening.close()
        raise CannotListen(f"PORT={port} cannot be used: {error.strerror}.") from error
    listening.set_inheritable(True)
    return listening


def _uvicorn_config(factory: str, processes: int) -> uvicorn.Config:
    return uvicorn.Config(
        factory,
        factory=True,
        workers=processes,
        loop="uvloop",
        http=Protocol,
        ws="none",
        backlog=128,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
