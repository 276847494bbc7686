"""The servers that are measured, each a process of its own on the server's core."""

import base64
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tools.bench.cores import placed_on
from tools.processes import ROOT, SERVE, NotReady, children_of, responds, start_http
from tools.sandbox.backboard import LOCAL_KEY

SECRET = secrets.token_bytes(24)
TOKEN = secrets.token_hex(16)
OURS = SERVE
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
        return [self.pid, *children_of(self.pid)]


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
    with placed_on(cores):
        began = time.perf_counter()
        process = start_http(command, variables, cwd=folder, log=Path(os.devnull), stderr=None)
    with process:
        try:
            process.wait_until_ready(responds(process.url, ready), seconds=_START_SECONDS)
        except NotReady as error:
            sys.exit(f"bench: {error}")
        yield Server(process.pid, urlsplit(process.url).port or 0, time.perf_counter() - began)


def variables(database_url: str, backboard_url: str = "http://127.0.0.1:9/api", **changed: str) -> dict[str, str]:
    """The environment of our service; without `backboard_url` its calls of Backboard fail."""
    return {
        "DATABASE_URL": database_url,
        "BACKBOARD_API_KEY": LOCAL_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + base64.b64encode(SECRET).decode(),
        "SERVICE_TOKENS": TOKEN,
    } | changed


@contextmanager
def bare(cores: frozenset[int]) -> Iterator[Server]:
    """The least that uvicorn can do: read a body, answer with a constant."""
    with started([sys.executable, "-m", "tools.bench.bare"], {}, cores, ready="/") as server:
        yield server


def _cpu_seconds(pid: int) -> float:
    try:
        # The name before these may hold blanks and ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
