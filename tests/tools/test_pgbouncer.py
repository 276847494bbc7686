"""The pooler of the suite: in transaction mode, as small as it says, never root's, and gone when it is stopped."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tools.processes import is_running
from tools.sandbox.pgbouncer import PgBouncer, PgBouncerUnavailable


def test_more_clients_than_connections_are_served(pgbouncer: PgBouncer) -> None:
    """A connection is handed on after each transaction; otherwise nothing that the suite shows would count."""
    with ExitStack() as open_ones:
        clients = [
            open_ones.enter_context(psycopg.connect(pgbouncer.url(), autocommit=True, connect_timeout=5))
            for _ in range(6)
        ]
        backends = {client.execute("SELECT pg_backend_pid()").fetchall()[0][0] for client in clients}

    assert 1 <= len(backends) <= 2


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user")
def test_root_gets_a_pooler_that_is_not_roots(pgbouncer: PgBouncer) -> None:
    """PgBouncer refuses root."""
    assert pgbouncer._process is not None
    assert Path(f"/proc/{pgbouncer._process.pid}").stat().st_uid != 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stopped_pooler_leaves_nothing(pgbouncer: PgBouncer, direct_url: str) -> None:
    """Neither a process nor its folder."""
    assert pgbouncer is not None
    with PgBouncer(direct_url, pool_size=1) as another:
        assert another._process is not None
        assert another._folder is not None
        pid, folder = another._process.pid, another._folder

    assert not is_running(pid)
    assert not folder.exists()


def test_a_machine_without_pgbouncer_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence."""
    monkeypatch.setenv("PGBOUNCER", "/nowhere")

    with pytest.raises(PgBouncerUnavailable, match="apt install pgbouncer"):
        PgBouncer("postgresql://app@/app", pool_size=1).start()
