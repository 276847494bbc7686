"""Starts `python -m app` in a tenth of the time: forks it from a process that has imported the service already.

Most of a start is imports, almost a second of a core; the tests start hundreds of processes, the chaos campaign
thousands. A forked process goes on as `python -m app` does, with an environment, a working directory and an output of
its own, and can be stopped and killed like any other. `ForkServer` here belongs to the program that wants processes;
`tools.fork_server.__main__` is the process that forks them. All of them end with the program.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tools.processes import ROOT, ServerProcess, http_environment


class ForkedProcess:
    """As much of `subprocess.Popen` as is used here, of a process that is not a child of ours."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.args = "python -m app"
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def set_exit_code(self, code: int) -> None:
        self.returncode = code
        self._ended.set()


class ForkServer:
    """Forks `python -m app`; `module` is the program that does so."""

    def __init__(self, module: str = "tools.fork_server", *words: str) -> None:
        self._command = [sys.executable, "-W", "error", "-m", module, *words]
        self._requesting = threading.Lock()
        self._running: dict[int, ForkedProcess] = {}
        self._started = threading.Semaphore(0)
        self._last_started: ForkedProcess | None = None

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches only us.
        )
        assert self._server.stdout is not None
        if self._server.stdout.readline() != "ready\n":
            raise RuntimeError("the service cannot be imported; its error stands above")
        self._listener = threading.Thread(target=self._listen, name="fork-server", daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._listener.join()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, stdout: Path, stderr: Path, cwd: Path = ROOT
    ) -> ForkedProcess:
        """Start `python -m app ARGUMENTS` with these variables and no others; its output is appended to the files."""
        request = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "cwd": str(cwd),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        with self._requesting:
            assert self._server.stdin is not None
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            self._started.acquire()
            assert self._last_started is not None
            return self._last_started

    def start_http(self, environment: Mapping[str, str], *, log: Path, cwd: Path = ROOT) -> ServerProcess:
        """Start `python -m app serve`, as `processes.start_http` does."""
        environment, url = http_environment(environment)
        return ServerProcess(self.start(["serve"], environment, stdout=log, stderr=log, cwd=cwd), url, log)

    def _listen(self) -> None:
        """Take in which processes have started and ended."""
        assert self._server.stdout is not None
        for line in self._server.stdout:
            event, pid, *code = line.split()
            if event == "started":
                self._last_started = self._running[int(pid)] = ForkedProcess(int(pid))
                self._started.release()
            else:
                self._running.pop(int(pid)).set_exit_code(int(code[0]))
