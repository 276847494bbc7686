"""Postgres' programs are found where one has them, and run as root as well as an ordinary user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.held_postgres import ROOT, ask, hold, linux_only, pids_from
from tools.processes import is_running, wait_until
from tools.sandbox.binaries import find_binaries
from tools.sandbox.postgres import Postgres, PostgresUnavailable

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_a_postgres_bin_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another major version is one variable away."""
    for program in ("initdb", "postgres"):
        (tmp_path / program).symlink_to("/bin/true")
    monkeypatch.setenv("POSTGRES_BIN", str(tmp_path))

    assert find_binaries() == tmp_path


def test_a_wrong_postgres_bin_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a folder wants that one."""
    monkeypatch.setenv("POSTGRES_BIN", "/nowhere")

    with pytest.raises(PostgresUnavailable, match="POSTGRES_BIN is /nowhere, which holds no initdb"):
        Postgres(tmp_path).start()


@root_only
@linux_only
def test_root_gets_a_server_in_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    """The server is not root's, and the folder stays closed to everybody else."""
    tmp_path.chmod(0o700)
    with Postgres(tmp_path / "data", durable=False) as server:
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        assert ask(server, "SELECT 1") == "1"

    assert owner != 0
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@root_only
def test_root_without_setpriv_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no other safe way down from root."""
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(PostgresUnavailable, match="there is no setpriv"):
        Postgres(tmp_path).start()


@root_only
@linux_only
def test_an_ordinary_user_gets_a_server() -> None:
    """Without root everything is the user's own; killing the owner ends the server here too."""
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    reachable = subprocess.run(
        [*as_nobody, sys.executable, "-c", "import psycopg, tools.sandbox.postgres"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if reachable.returncode != 0:
        pytest.skip("this Python or this checkout lies where only root may enter")
    home = Path(f"/tmp/pg-test-{os.getpid()}")
    home.mkdir(mode=0o700)
    shutil.chown(home, "nobody", "nogroup")
    try:
        with hold(home / "data", *as_nobody, HOME=str(home)) as holder:
            pids = pids_from(holder)
            holder.kill()
        assert len(pids) > 3
        wait_until(lambda: not any(map(is_running, pids)), seconds=3)
    finally:
        shutil.rmtree(home)
