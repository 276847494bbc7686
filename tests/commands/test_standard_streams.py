"""A process without stdin, stdout or stderr, or with one that takes nothing: it works, and prints no traceback."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import COMPLETE
from tools.processes import ROOT

PYTHON = [sys.executable, "-W", "error"]


def run(words: list[str], redirections: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these words, and what the shell makes of its streams."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirections}', "sh", *PYTHON, *words],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("redirections", [">&-", ">/dev/full", ">&- 2>&- <&-"])
def test_serve_needs_no_stdout(redirections: str) -> None:
    """It gets as far as its port, which is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run(["-m", "app", "serve"], redirections, **COMPLETE, PORT=port)

    said = "" if "2>&-" in redirections else f"Error: PORT={port} cannot be used: Address already in use.\n"
    assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize(
    ("redirections", "code", "said"),
    [
        (">&-", 0, ""),
        (">/dev/full", 1, "Error: the output could not be written: No space left on device.\n"),
        (">/dev/full 2>/dev/full", 1, ""),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_command_that_prints_says_when_it_cannot(redirections: str, code: int, said: str) -> None:
    ended = run(["-m", "app", "--help"], redirections)

    assert (ended.returncode, ended.stderr) == (code, said)


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_socket_takes_the_place_of_a_closed_stream(redirections: str) -> None:
    """What a library prints would be sent to the other side."""
    program = (
        "import os, socket, sys; from app.__main__ import open_standard_streams; open_standard_streams();"
        "wire = socket.socket(); print('to stdout'); os.write(2, b'to stderr'); sys.stdin.read();"
        "sys.exit(wire.fileno())"
    )

    assert run(["-c", program], redirections).returncode > 2
