"""Several processes on one port: restarted one by one, replaced when they die, given up when they cannot start."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.system.test_stopping import HEALTHZ, ask_once, connect, workers_of
from tools import processes
from tools.processes import ServerProcess, free_port, responds, wait_until

pytestmark = pytest.mark.anyio

StartServer = Callable[..., ServerProcess]
LAST = HEALTHZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    """Where this file is missing, no worker of `supervised` can start."""
    file = tmp_path / "switch"
    file.touch()
    return file


@pytest.fixture
def start(switch: Path, log_folder: Path) -> Iterator[Callable[[], ServerProcess]]:
    """Start a supervisor with two workers of a small application."""
    with ExitStack() as running:

        def start() -> ServerProcess:
            port = str(free_port())
            command = [sys.executable, "-m", "tests.support.supervised", port, str(switch)]
            log, url = log_folder / f"supervised-{port}.log", f"http://127.0.0.1:{port}"
            server = processes.start(command, {"PATH": os.environ["PATH"]}, url=url, log=log)
            running.callback(_kill_all, server)
            return server

        yield start


def _kill_all(server: ServerProcess) -> None:
    """Its workers first: one that a test has stopped would not notice that its supervisor is gone."""
    for worker in set(workers_of(server)) - {server.pid}:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    server.kill()


class Load:
    """Clients that ask again and again, half of them on kept connections, until they are told to stop."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._stopping = asyncio.Event()
        self.seen: list[str] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for number in range(8):
                clients.create_task(self._keep_asking() if number % 2 else self._keep_connecting())

    def stop(self) -> None:
        self._stopping.set()

    async def _keep_connecting(self) -> None:
        while not self._stopping.is_set():
            self.seen.append(await ask_once(self._server, LAST))

    async def _keep_asking(self) -> None:
        while not self._stopping.is_set():
            reader, writer = await connect(self._server)
            try:
                while not self._stopping.is_set():
                    writer.write(HEALTHZ)
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    self.seen.append(head[9:12].decode())
                    if b"connection: close" in head:
                        break
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            except (ConnectionError, asyncio.IncompleteReadError):
                self.seen.append("lost")
            finally:
                writer.close()


async def test_sighup_restarts_the_workers_one_by_one_and_loses_no_request(start: Callable[[], ServerProcess]) -> None:
    server = start()
    await asyncio.to_thread(wait_until, responds(server.url, "/healthz"))
    before = workers_of(server)
    load = Load(server)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(0.3)
    server.send(signal.SIGHUP)
    numbers = set()
    while set(before) & set(workers_of(server)):
        numbers.add(len(workers_of(server)))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    load.stop()
    await running

    assert set(load.seen) == {"200"}
    assert len(workers_of(server)) == 2
    assert numbers <= {2, 3}
    assert server.stop() == 0


def test_sighup_keeps_the_workers_where_a_new_one_cannot_start(
    start: Callable[[], ServerProcess], switch: Path
) -> None:
    server = start()
    wait_until(responds(server.url, "/healthz"))
    before = workers_of(server)
    switch.unlink()
    server.send(signal.SIGHUP)
    wait_until(lambda: "event=restart_failed" in server.log_text())

    assert workers_of(server) == before
    assert responds(server.url, "/healthz")()

    switch.touch()
    server.send(signal.SIGHUP)
    wait_until(lambda: not set(before) & set(workers_of(server)))


def test_workers_that_cannot_start_end_the_whole_with_1(start: Callable[[], ServerProcess], switch: Path) -> None:
    """And a line that says what to do."""
    switch.unlink()
    server = start()

    wait_until(lambda: server.exit_code is not None)

    said = server.log_text()
    assert server.exit_code == 1
    assert 5 <= said.count("event=worker_died code=1") <= 6
    assert "level=error event=workers_cannot_start" in said
    assert "`python -m app doctor`" in said


def test_workers_that_keep_dying_end_the_whole_with_1(start: Callable[[], ServerProcess]) -> None:
    """They serve for a moment, and a crash loop is not kept up for ever."""
    server = start()
    wait_until(responds(server.url, "/healthz"))
    while server.exit_code is None:
        for worker in workers_of(server):
            if worker != server.pid:
                os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.exit_code is not None or responds(server.url, "/healthz")())

    assert server.exit_code == 1
    assert server.log_text().count("event=worker_died code=-9") >= 5


def test_clients_can_still_queue_after_a_restart(start: Callable[[], ServerProcess]) -> None:
    """The kernel's queue is that of all workers, so one that ends must not close it to new clients."""
    server = start()
    wait_until(responds(server.url, "/healthz"))
    before = workers_of(server)
    server.send(signal.SIGHUP)
    wait_until(lambda: not set(before) & set(workers_of(server)))
    for worker in workers_of(server):
        os.kill(worker, signal.SIGSTOP)

    with ExitStack() as clients:
        for _ in range(12):
            clients.enter_context(socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=0.8))


def test_sighup_does_not_end_a_worker(start: Callable[[], ServerProcess]) -> None:
    """A terminal that closes sends it to the whole group; only the supervisor acts on it."""
    server = start()
    wait_until(responds(server.url, "/healthz"))
    workers = workers_of(server)
    for worker in workers:
        os.kill(worker, signal.SIGHUP)
    time.sleep(0.3)

    assert workers_of(server) == workers
    assert "worker_died" not in server.log_text()


async def test_sigterm_while_the_workers_restart_ends_them_all(start: Callable[[], ServerProcess]) -> None:
    server = start()
    await asyncio.to_thread(wait_until, responds(server.url, "/healthz"))
    server.send(signal.SIGHUP)
    await asyncio.sleep(0.2)

    assert await asyncio.to_thread(server.stop) == 0
    assert await ask_once(server) == "refused"


def test_sighup_does_not_end_a_single_process(start_server: StartServer) -> None:
    """There is no other to serve meanwhile, so it serves on, and says how it is done."""
    server = start_server()
    server.send(signal.SIGHUP)
    wait_until(lambda: "event=hangup_ignored" in server.log_text())

    assert responds(server.url, "/healthz")()
    assert "WEB_CONCURRENCY=2" in server.log_text()
