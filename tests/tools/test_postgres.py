"""The Postgres of `./dev run` and the tests keeps its data, ends with its owner, and explains its errors."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.postgres.migrations import migrate
from tests.tools.postgres_owner import linux_only, pids_from, pids_of, query, start_owner
from tools.processes import is_running, wait_until
from tools.sandbox.postgres import Postgres, PostgresUnavailable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that keeps its data; each test starts a server on it."""
    return tmp_path_factory.mktemp("postgres") / "kept"


@pytest.fixture
def server(folder: Path) -> Iterator[Postgres]:
    with Postgres(folder) as server:
        yield server


def test_a_new_server_has_a_utf8_database_that_ignores_the_machines_locale(server: Postgres) -> None:
    assert query(server, "SHOW server_encoding") == "UTF8"
    assert query(server, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"


@pytest.mark.anyio
async def test_the_migrations_accept_its_address(server: Postgres) -> None:
    server.create_database("migrated")

    await migrate(server.url("migrated"))

    assert query(server, "SELECT count(*) FROM users", "migrated") == "0"


def test_an_existing_database_is_kept(server: Postgres) -> None:
    """Under any name."""
    server.create_database('it\'s "new"')
    query(server, "CREATE TABLE kept ()", 'it\'s "new"')

    server.create_database('it\'s "new"')

    assert query(server, "SELECT count(*) FROM kept", 'it\'s "new"') == "0"


def test_it_listens_on_a_private_socket_only(server: Postgres) -> None:
    sockets = Path(query(server, "SHOW unix_socket_directories"))

    assert query(server, "SHOW listen_addresses") == ""
    assert sockets.stat().st_mode & 0o777 == 0o700


def test_a_restart_keeps_data_and_address(server: Postgres) -> None:
    before = server.url()
    query(server, "CREATE TABLE over_restart ()")

    server.restart()

    assert server.url() == before
    assert query(server, "SELECT count(*) FROM over_restart") == "0"


@pytest.mark.parametrize("durable", [True, False])
def test_a_crash_breaks_connections_and_keeps_committed_data(folder: Path, *, durable: bool) -> None:
    """The next start recovers it, even without fsync, as long as the machine stays up."""
    with Postgres(folder, durable=durable) as server:
        query(server, "DROP TABLE IF EXISTS over_crash")
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE over_crash ()")
            server.crash()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT")

        server.start()

        assert query(server, "SELECT count(*) FROM over_crash") == "0"


def test_settings_reach_the_server(folder: Path) -> None:
    with Postgres(folder, durable=False, max_connections=7, settings={"work_mem": "5MB"}) as server:
        found = [query(server, f"SHOW {name}") for name in ("max_connections", "work_mem", "fsync")]

    assert found == ["7", "5MB", "off"]


@linux_only
def test_stopping_leaves_no_process_and_no_socket(folder: Path) -> None:
    """The server's children end too."""
    with Postgres(folder) as server:
        pids = pids_of(server)
        sockets = Path(query(server, "SHOW unix_socket_directories"))

    assert len(pids) > 3
    assert not [pid for pid in pids if is_running(pid)]
    assert not sockets.exists()


@linux_only
def test_the_server_of_a_killed_owner_ends(folder: Path) -> None:
    """Even after kill -9, which the owner cannot handle."""
    with start_owner(folder) as owner:
        pids = pids_from(owner)
        owner.kill()

    assert len(pids) > 3
    wait_until(lambda: not any(map(is_running, pids)))


def test_the_next_owner_stops_a_leftover_server_first(folder: Path) -> None:
    """As on systems where a server survives its killed owner."""
    orphan = Postgres(folder)
    orphan.start()
    assert orphan._claim is not None
    orphan._claim.close()

    with Postgres(folder) as server:
        assert query(server, "SELECT 1") == "1"
        assert orphan._server is not None
        assert orphan._server.wait(5) == 0
    orphan.stop()


def test_a_folder_in_use_is_refused(server: Postgres, folder: Path) -> None:
    """The first owner's server goes on."""
    with pytest.raises(PostgresUnavailable, match=f"Another program runs Postgres on {folder}: stop that one first"):
        Postgres(folder).start()

    assert query(server, "SELECT 1") == "1"


@linux_only
def test_a_pid_file_that_names_another_program_is_ignored(folder: Path) -> None:
    """After a power cut the file stays, and its number may belong to any program."""
    account = (folder / "cluster").stat().st_uid  # Postgres ignores processes of other users.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=account) as other:
        wait_until(lambda: Path(f"/proc/{other.pid}/cmdline").read_bytes() == b"cat\0")
        (folder / "cluster" / "postmaster.pid").write_text(f"{other.pid}\n{folder}\n")
        with Postgres(folder) as server:
            assert query(server, "SELECT 1") == "1"
        assert other.poll() is None


def test_the_data_of_a_killed_initdb_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "cluster.unfinished" / "base").mkdir(parents=True)
    (tmp_path / "cluster.unfinished" / "PG_VERSION").write_text("18\n")
    (tmp_path / "cluster" / "base").mkdir(parents=True)

    with Postgres(tmp_path, durable=False) as server:
        assert query(server, "SELECT 1") == "1"
    assert not (tmp_path / "cluster.unfinished").exists()


def test_the_data_of_another_major_version_are_refused(tmp_path: Path) -> None:
    """The error names both versions and the folder to delete; nothing is deleted."""
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").write_text("12\n")

    with pytest.raises(
        PostgresUnavailable, match=f"The data in {tmp_path} was made by Postgres 12, .* delete that fold"
    ):
        Postgres(tmp_path).start()
    assert (tmp_path / "cluster" / "PG_VERSION").exists()


def test_the_error_of_a_failed_start_holds_the_end_of_the_log(folder: Path) -> None:
    with pytest.raises(PostgresUnavailable, match='unrecognized configuration parameter "nonsense"'):
        Postgres(folder, settings={"nonsense": "1"}).start()


def test_variables_for_another_server_are_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGPORT or PGDATA, for instance."""
    for name, value in {"PGPORT": "7", "PGDATA": "/nowhere", "PGHOST": "db.invalid", "LC_ALL": "no"}.items():
        monkeypatch.setenv(name, value)

    with Postgres(folder) as server:
        assert query(server, "SELECT 1") == "1"


def test_a_temporary_folder_with_a_long_name_is_not_used_for_the_socket(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket has at most about a hundred bytes."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with Postgres(folder) as server:
        assert query(server, "SELECT 1") == "1"
