"""Starts a server as a process of its own, waits until it is ready, and stops or kills it.

The sandbox, the bench, the chaos campaign and the tests all start their servers here.
"""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
SERVE = (sys.executable, "-m", "app", "serve")
READY_SECONDS = 40.0
# A request under way may take 12 s, and `serve` ends after 20 at the latest.
STOP_SECONDS = 30.0


class NotReady(Exception):
    """The process has ended, or did not become ready in time."""


class ChildProcess(Protocol):
    """A `subprocess.Popen`, or what `tools.fork_server` has forked."""

    pid: int
    args: Any
    returncode: int | Any

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server. `url` is empty where it does not speak HTTP; `log` is empty where its output goes to ours."""

    process: ChildProcess
    url: str = ""
    log: Path = Path(os.devnull)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the number of the signal that killed it."""
        return self.process.poll()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_ready(self, is_ready: Callable[[], bool] | None = None, *, seconds: float = READY_SECONDS) -> None:
        """Return once `is_ready` says so, by default once /readyz is 200."""
        is_ready = is_ready or responds(self.url)
        give_up_at = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < give_up_at:
            # Asked again, because another server may hold the port on which this one has just failed to listen.
            if is_ready() and self.exit_code is None:
                return
            time.sleep(0.01)
        how = "is not ready" if self.exit_code is None else f"has ended with {self.exit_code}"
        raise NotReady(f"{self.process.args!r} {how}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, once it has ended; subprocess.TimeoutExpired after `seconds`, if a limit is given."""
        return self.process.wait(seconds)

    def stop(self, *signals: signal.Signals, seconds: float = STOP_SECONDS) -> int:
        """Send SIGTERM, or the given signals one after the other, and in the end SIGKILL; return the exit code."""
        for number in signals or (signal.SIGTERM,):
            self.send(number)
            try:
                return self.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        return self.kill()

    def kill(self) -> int:
        """End it at once."""
        self.process.kill()
        return self.process.wait()


def start(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    cwd: Path = ROOT,
    url: str = "",
    log: Path | None = None,
    stderr: int | None = subprocess.STDOUT,
    new_session: bool = False,
) -> ServerProcess:
    """Start a server with these variables and no others, and without a terminal's input.

    Its output is appended to `log`; without one it goes where ours goes. Ctrl-C does not reach it in a new session.
    """
    with log.open("ab") if log else contextlib.nullcontext() as stream:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stderr if log else None,
            start_new_session=new_session,
        )
    return ServerProcess(process, url, log or Path(os.devnull))


def start_http(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    cwd: Path = ROOT,
    log: Path | None = None,
    stderr: int | None = subprocess.STDOUT,
) -> ServerProcess:
    """Start a server that listens at the variable PORT, by default at a free one."""
    environment, url = http_environment(environment)
    return start(command, environment, cwd=cwd, url=url, log=log, stderr=stderr)


def http_environment(environment: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The environment with a PORT, and the URL that goes with it."""
    port = environment.get("PORT") or str(free_port())
    return {"PATH": os.environ["PATH"], **environment, "PORT": port}, f"http://127.0.0.1:{port}"


def ended_with_us(last_signal: str = "TERM") -> list[str]:
    """The words before a command whose process gets a signal when the thread that started it ends (Linux only)."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, f"--pdeathsig={last_signal}"] if setpriv else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def responds(url: str, path: str = "/readyz", status: int = 200) -> Callable[[], bool]:
    """A condition: whether a GET has this status."""
    host = urlsplit(url).netloc

    def ask() -> bool:
        connection = http.client.HTTPConnection(host, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def wait_until(condition: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
    """Return once the condition holds; TimeoutError if it does not in time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"the condition did not hold within {seconds:g} s")
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process lives; one that only waits to be reaped does not (Linux only)."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """The processes that a process has started; none where there is no /proc."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
