"""`python -m tools.fork_server`: forks `python -m app` for each line of JSON on stdin; when stdin ends, so do they.

It reports on stdout: `ready`, `started PID`, `ended PID CODE`.
"""

import contextlib
import encodings.idna
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module

import httpcore
import uvicorn.lifespan.on
import uvicorn.loops.uvloop

from app import application
from app.__main__ import COMMANDS
from app.__main__ import main as app
from app.http.client import tls_context

# Imported for the children, which would otherwise each do it when they run.
_WARM = (encodings.idna, httpcore, application, uvicorn.lifespan.on, uvicorn.loops.uvloop)

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_children: set[int] = set()


def serve(*changes: Callable[[], None]) -> None:
    """Fork until stdin ends; `changes` are made to the service before that."""
    for module in COMMANDS.values():
        import_module(module)
    tls_context()
    for change in changes:
        change()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    _report("ready")
    for line in iter(sys.stdin.readline, ""):
        # The end of a child must not be reported before its start.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        child = os.fork()
        if child == 0:
            _become_app(**json.loads(line))
        _children.add(child)
        _report(f"started {child}")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for child in list(_children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _children.discard(ended[0])
            _report(f"ended {ended[0]} {os.waitstatus_to_exitcode(ended[1])}")


def _report(words: str) -> None:
    # In one write, because the end of a child may interrupt another report.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{words}\n".encode())


def _become_app(arguments: list[str], environment: dict[str, str], cwd: str, stdout: str, stderr: str) -> None:
    """Run the command; it ends the process with SystemExit, so that the interpreter ends as it does after `-m app`."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, stdout, _APPEND), (2, stderr, _APPEND)):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    app(arguments, prog_name="python -m app")


if __name__ == "__main__":
    serve()
