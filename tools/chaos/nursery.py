"""Forks server processes: `python -m tools.chaos.nursery [BREAK]`. Each line `PORT LOG` on stdin starts one more.

A server's start costs half a second of imports, and the campaign starts thousands. This parent has imported the service
already, and with BREAK has switched off one of its rules; its children go on as `python -m app serve` does. They are
real processes, each with a port, pools and a log of its own. When stdin ends, so do they.
"""

import contextlib
import encodings.idna
import functools
import gc
import os
import signal
import ssl
import sys
from typing import NoReturn

import httpcore
import httpx
import uvicorn.lifespan.on
import uvicorn.loops.uvloop

from app import application
from app.__main__ import main as commands
from app.commands import serve
from tools.chaos import broken

# Imported for the children, which would otherwise each do it when they serve.
_WARM = (encodings.idna, httpcore, application, serve, uvicorn.lifespan.on, uvicorn.loops.uvloop)

_children: set[int] = set()


def main(words: list[str]) -> None:
    for name in words:
        broken.BREAKS[name].switch_off()
    # Reading the certificates takes as long as everything else of a start, and nobody here speaks TLS.
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]  # Same call.
    httpx.create_ssl_context()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    _say("ready")
    for line in iter(sys.stdin.readline, ""):
        port, log = line.rstrip("\n").split(" ", 1)
        # Its end must not be told before its start.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        child = os.fork()
        if child == 0:
            _serve(port, log)
        _children.add(child)
        _say(f"started {port} {child}")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for child in list(_children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _children.discard(ended[0])
            _say(f"ended {ended[0]} {os.waitstatus_to_exitcode(ended[1])}")


def _say(words: str) -> None:
    # Whole lines, also when a child's end interrupts another; nobody hears them once the campaign was stopped.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{words}\n".encode())


def _serve(port: str, log: str) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        os.environ["PORT"] = port
        commands(["serve"], standalone_mode=False)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
