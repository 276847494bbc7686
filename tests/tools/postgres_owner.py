"""A Postgres that belongs to another Python, which a test can kill."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tools.processes import ROOT, children_of
from tools.sandbox.postgres import Postgres

linux_only = pytest.mark.skipif(not shutil.which("setpriv"), reason="only Linux' setpriv ties a server's life to ours")

OWNER = """
import pathlib, sys, time
from tools.processes import ROOT, children_of
from tools.sandbox.postgres import Postgres
with Postgres(pathlib.Path(sys.argv[1]), durable=False) as server:
    children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    print(server.pid, children, flush=True)
    time.sleep(60)
"""


def start_owner(folder: Path, *before: str, **variables: str) -> subprocess.Popen[str]:
    """Start a Python that starts a server; `before` is a command that starts that Python."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", OWNER, str(folder)],
        cwd=ROOT,
        # A killed owner leaves the folder of its socket there.
        env={**os.environ, "TMPDIR": str(folder.parent), **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def pids_from(owner: subprocess.Popen[str]) -> list[int]:
    """Wait until the server is up; return its processes."""
    assert owner.stdout is not None
    with owner.stdout:
        return [int(word) for word in owner.stdout.readline().split()]


def pids_of(server: Postgres) -> list[int]:
    return [server.pid, *children_of(server.pid)]


def query(server: Postgres, statement: str, database: str = "app") -> str:
    """Return the first value of the result."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return str(cursor.fetchall()[0][0]) if cursor.description else ""
