"""`python -m app COMMAND`, run as a process of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.fork_server import ForkServer
from tools.processes import ROOT, ChildProcess

__all__ = ["ROOT", "Command", "finish", "fork_server", "run", "run_unforked", "start"]


@dataclass(frozen=True)
class Command:
    """A running command; its folder holds what it prints."""

    process: ChildProcess
    folder: Path

    def poll(self) -> int | None:
        return self.process.poll()

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)


@cache
def fork_server() -> ForkServer:
    """The one of this test run; it ends with us."""
    return ForkServer().__enter__()


def start(*words: str, checkout: Path = ROOT, **variables: str) -> Command:
    """Start a command with these variables and no others; the code is that of `checkout`."""
    if checkout != ROOT:
        return _start_python(words, checkout, variables)
    folder = Path(tempfile.mkdtemp(prefix="command-"))
    environment = {"PATH": os.environ["PATH"], **variables}
    process = fork_server().start(words, environment, stdout=folder / "stdout", stderr=folder / "stderr")
    return Command(process, folder)


def finish(command: Command, seconds: float = 30.0) -> tuple[int, str, str]:
    """The exit code, stdout and stderr."""
    try:
        code = command.process.wait(seconds)
    except subprocess.TimeoutExpired:
        command.process.kill()
        raise
    output, errors = ((command.folder / name).read_text() for name in ("stdout", "stderr"))
    shutil.rmtree(command.folder)
    return code, output, errors


def run(*words: str, checkout: Path = ROOT, **variables: str) -> tuple[int, str, str]:
    """Run a command to its end."""
    return finish(start(*words, checkout=checkout, **variables))


def run_unforked(*words: str, **variables: str) -> tuple[int, str, str]:
    """Run a command to its end in a Python that imports everything itself."""
    return finish(_start_python(words, ROOT, variables))


def _start_python(words: tuple[str, ...], checkout: Path, variables: dict[str, str]) -> Command:
    folder = Path(tempfile.mkdtemp(prefix="command-"))
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "app", *words],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], **variables},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    return Command(process, folder)
