"""The server processes of the campaign: started, killed, told to stop."""

import asyncio
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tools.fork_server import ForkServer
from tools.processes import NotReady, ServerProcess, free_port

STOP_SECONDS = 20.0
READY_SECONDS = 30.0


@dataclass(slots=True)
class Server:
    """One port, and the process that has it at the moment."""

    number: int
    port: int
    process: ServerProcess | None = None
    # How many of the campaign's requests it has not answered yet.
    in_flight: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """0 while there is no process."""
        return self.process.pid if self.process and self.process.exit_code is None else 0


class Servers:
    """Several servers, forked from one process; with `broken`, without that rule."""

    def __init__(self, count: int, environment: Mapping[str, str], logs: Path, broken: str | None) -> None:
        self.all = [Server(number, free_port()) for number in range(count)]
        self._environment = environment
        self._logs = logs
        self._fork_server = ForkServer("tools.chaos.fork_server", *([broken] if broken else []))
        self.killed: set[int] = set()
        self._stopped: set[int] = set()
        # With the number of the server.
        self._started: list[tuple[int, ServerProcess]] = []

    async def open(self) -> None:
        await asyncio.to_thread(self._fork_server.__enter__)
        await asyncio.gather(*(self.start(server) for server in self.all))

    async def close(self) -> None:
        await asyncio.to_thread(self._fork_server.__exit__)

    async def start(self, server: Server) -> None:
        """Start a process for a server that has none; it listens a moment later."""
        environment = {**self._environment, "PORT": str(server.port)}
        log = self._logs / f"server-{server.number}.log"
        # In an empty folder, so that the checkout's .env does not steer it.
        server.process = await asyncio.to_thread(self._fork_server.start_http, environment, log=log, cwd=self._logs)
        self._started.append((server.number, server.process))

    async def kill(self, server: Server) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        process, server.process = server.process, None
        assert process is not None
        self.killed.add(process.pid)
        await asyncio.to_thread(process.kill)

    async def stop(self, server: Server) -> int | None:
        """Send SIGTERM; return the exit code, or None if the process had to be killed after all."""
        process, server.process = server.process, None
        assert process is not None
        self._stopped.add(process.pid)
        process.send(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.killed.add(process.pid)
            await asyncio.to_thread(process.kill)
            return None

    async def wait_until_ready(self) -> float:
        """Return after how many seconds all of them were ready; NotReady if that takes too long."""
        began = monotonic()
        for server in self.all:
            if server.process is None:
                raise NotReady(f"server {server.number} has no process")
            await asyncio.to_thread(server.process.wait_until_ready, seconds=READY_SECONDS)
        return monotonic() - began

    def died(self) -> list[str]:
        """The processes that ended without a signal from us."""
        told = self.killed | self._stopped
        return [
            f"server {number} ended with {process.exit_code}, by itself"
            for number, process in self._started
            if process.exit_code is not None and process.pid not in told
        ]
