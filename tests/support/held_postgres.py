"""A Postgres held by another Python, which can then be killed, and its processes as the machine sees them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tools.sandbox.postgres import Postgres

ROOT = Path(__file__).parents[2]
linux_only = pytest.mark.skipif(not shutil.which("setpriv"), reason="only Linux' setpriv ties a server's life to ours")

HOLDER = """
import pathlib, sys, time
from tools.sandbox.postgres import Postgres
with Postgres(pathlib.Path(sys.argv[1]), durable=False) as server:
    children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    print(server.pid, children, flush=True)
    time.sleep(60)
"""


def hold(folder: Path, *before: str, **variables: str) -> subprocess.Popen[str]:
    """Start a Python that starts a server; `before` are the words of a program that starts that Python."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(folder)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder.parent), **variables},  # A killed owner leaves its socket's folder.
        stdout=subprocess.PIPE,
        text=True,
    )


def pids_from(holder: subprocess.Popen[str]) -> list[int]:
    """Wait until the server is up; these are its processes."""
    assert holder.stdout is not None
    with holder.stdout:
        return [int(word) for word in holder.stdout.readline().split()]


def pids_of(server: Postgres) -> list[int]:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [server.pid, *map(int, children.split())]


def is_running(pid: int) -> bool:
    """Whether the process lives; one that only waits to be reaped does not."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def ask(server: Postgres, question: str, database: str = "app") -> str:
    """Return the first value of the answer."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        return str(cursor.fetchall()[0][0]) if cursor.description else ""
