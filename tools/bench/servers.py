"""The servers that are measured, each a process of its own on the server's core."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tools.bench.cores import placed_on
from tools.sandbox.backboard import LOCAL_KEY

ROOT = Path(__file__).parents[2]
SECRET = secrets.token_bytes(24)
TOKEN = secrets.token_hex(16)
OURS = [sys.executable, "-m", "app", "serve"]
_START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers on `port`; `seconds_to_ready` is from exec to its first good answer."""

    pid: int
    port: int
    seconds_to_ready: float

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children; 0 where there is no /proc."""
        return sum(_cpu_seconds(pid) for pid in self._processes())

    def memory(self) -> int:
        """Resident bytes of the process alone; 0 where there is no /proc."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _processes(self) -> list[int]:
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except OSError:
            children = []
        return [self.pid, *map(int, children)]


@contextmanager
def started(
    command: Sequence[str],
    variables: Mapping[str, str],
    cores: frozenset[int],
    *,
    folder: Path = ROOT,
    ready: str = "/readyz",
) -> Iterator[Server]:
    """A server, ready; its log goes nowhere. SystemExit when it does not become ready."""
    port = _free_port()
    environment = {"PATH": os.environ["PATH"], **variables, "PORT": str(port)}
    with placed_on(cores):
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, port, ready)
        yield Server(process.pid, port, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


def variables(database_url: str, backboard_url: str = "http://127.0.0.1:9/api", **changed: str) -> dict[str, str]:
    """What our service needs; without a partner's address it has none that answers."""
    return {
        "DATABASE_URL": database_url,
        "BACKBOARD_API_KEY": LOCAL_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + base64.b64encode(SECRET).decode(),
        "SERVICE_TOKENS": TOKEN,
    } | changed


@contextmanager
def bare(cores: frozenset[int]) -> Iterator[Server]:
    """The least that uvicorn can do for us: read a body, answer a constant."""
    with started([sys.executable, "-m", "tools.bench.bare"], {}, cores, ready="/") as server:
        yield server


def _cpu_seconds(pid: int) -> float:
    try:
        # The name before these may hold blanks and ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    give_up_at = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < give_up_at:
        client = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            client.request("GET", path)
            if client.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            client.close()
        time.sleep(0.01)
    sys.exit(f"bench: {process.args!r} did not become ready")
