"""The server processes of the campaign, as the nemesis sees them: started, killed, told to stop."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx

STOP_SECONDS = 20.0
READY_SECONDS = 30.0


@dataclass(slots=True)
class Server:
    """One place: a port, and the process that has it at the moment; 0 while there is none."""

    number: int
    port: int
    pid: int = 0
    # How many of the campaign's requests it has not answered yet.
    in_flight: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Servers:
    """Several places and the nursery that fills them."""

    def __init__(self, count: int, environment: Mapping[str, str], logs: Path, broken: str | None) -> None:
        self.all = [Server(number, _free_port()) for number in range(count)]
        self._environment = environment
        self._logs = logs
        self._broken = broken
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._started: dict[str, asyncio.Future[int]] = {}
        self.killed: set[int] = set()
        # Processes that ended although nobody had told them to.
        self.died: list[str] = []

    async def open(self) -> None:
        words = [self._broken] if self._broken else []
        self._nursery = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tools.chaos.nursery",
            *words,
            cwd=self._logs,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches only us.
        )
        assert self._nursery.stdout is not None
        if await self._nursery.stdout.readline() != b"ready\n":
            raise RuntimeError("the service cannot be imported; its error stands above")
        self._listening = asyncio.create_task(self._listen(self._nursery.stdout))
        await asyncio.gather(*(self.start(server) for server in self.all))

    async def close(self) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        await self._nursery.wait()
        await self._listening

    async def start(self, server: Server) -> None:
        """Start a process in a place that has none; it listens a moment later."""
        assert self._nursery.stdin is not None
        started = self._started[str(server.port)] = asyncio.get_running_loop().create_future()
        self._nursery.stdin.write(f"{server.port} {self._logs / f'server-{server.number}.log'}\n".encode())
        server.pid = await started

    async def kill(self, server: Server) -> None:
        """Kill -9, and wait until it is gone."""
        pid, server.pid = server.pid, 0
        await self._kill(pid)

    async def stop(self, server: Server) -> int | None:
        """SIGTERM; the exit code, or None when it had to be killed after all."""
        pid, server.pid = server.pid, 0
        os.kill(pid, signal.SIGTERM)
        try:
            return await asyncio.wait_for(asyncio.shield(self._end_of(pid)), STOP_SECONDS)
        except TimeoutError:
            await self._kill(pid)
            return None

    async def _kill(self, pid: int) -> None:
        self.killed.add(pid)
        os.kill(pid, signal.SIGKILL)
        await self._end_of(pid)

    async def wait_until_ready(self) -> float:
        """Return after how many seconds all of them were ready; TimeoutError when that takes too long."""
        began = monotonic()
        async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(trust_env=False, timeout=3) as client:
            for server in self.all:
                while not await _is_ready(client, server):  # noqa: ASYNC110  # Another process cannot set an event.
                    await asyncio.sleep(0.05)
        return monotonic() - began

    def _end_of(self, pid: int) -> asyncio.Future[int]:
        return self._ended.setdefault(pid, asyncio.get_running_loop().create_future())

    async def _listen(self, said: asyncio.StreamReader) -> None:
        while line := (await said.readline()).decode().split():
            match line:
                case ["started", port, pid]:
                    self._started.pop(port).set_result(int(pid))
                case ["ended", pid, code]:
                    self._end_of(int(pid)).set_result(int(code))
                    self._mourn(int(pid), code)

    def _mourn(self, pid: int, code: str) -> None:
        """Whoever is killed or stopped on purpose has given its place back before."""
        for server in self.all:
            if server.pid == pid:
                server.pid = 0
                self.died.append(f"server {server.number} ended with {code}, by itself")


async def _is_ready(client: httpx.AsyncClient, server: Server) -> bool:
    try:
        return (await client.get(f"{server.url}/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
