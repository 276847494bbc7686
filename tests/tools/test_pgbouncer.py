"""The pooler of the suite runs in transaction mode, is as small as configured, and is never root's."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tools.processes import is_running
from tools.sandbox.pgbouncer import PgBouncer, PgBouncerUnavailable


def test_more_clients_than_connections_are_served(pgbouncer: PgBouncer) -> None:
    """A connection is handed on after each transaction."""
    with ExitStack() as open_ones:
        clients = [
            open_ones.enter_context(psycopg.connect(pgbouncer.url(), autocommit=True, connect_timeout=5))
            for _ in range(6)
        ]
        backends = {client.execute("SELECT pg_backend_pid()").fetchall()[0][0] for client in clients}

    assert 1 <= len(backends) <= 2


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user")
def test_for_root_it_runs_as_another_user(pgbouncer: PgBouncer) -> None:
    """PgBouncer refuses to run as root."""
    assert pgbouncer._process is not None
    assert Path(f"/proc/{pgbouncer._process.pid}").stat().st_uid != 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopping_leaves_no_process_and_no_folder(pgbouncer: PgBouncer, direct_url: str) -> None:
    assert pgbouncer is not None
    with PgBouncer(direct_url, pool_size=1) as another:
        assert another._process is not None
        assert another._folder is not None
        pid, folder = another._process.pid, another._folder

    assert not is_running(pid)
    assert not folder.exists()


def test_without_pgbouncer_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBOUNCER", "/nowhere")

    with pytest.raises(PgBouncerUnavailable, match="apt install pgbouncer"):
        PgBouncer("postgresql://app@/app", pool_size=1).start()
