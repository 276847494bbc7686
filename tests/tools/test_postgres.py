"""The Postgres that development and tests stand on keeps its data, ends when it should, and says what is wrong."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.postgres.migrations import migrate
from tests.support.held_postgres import ask, hold, linux_only, pids_from, pids_of
from tools.processes import is_running, wait_until
from tools.sandbox.postgres import Postgres, PostgresUnavailable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data in it, which each test starts a server on anew."""
    return tmp_path_factory.mktemp("postgres") / "kept"


@pytest.fixture
def server(folder: Path) -> Iterator[Postgres]:
    with Postgres(folder) as server:
        yield server


def test_a_new_server_has_a_database_in_utf8_that_sorts_alike_everywhere(server: Postgres) -> None:
    """The machine's own locale does not show."""
    assert ask(server, "SHOW server_encoding") == "UTF8"
    assert ask(server, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"


@pytest.mark.anyio
async def test_the_migrations_take_its_address(server: Postgres) -> None:
    """The address suits libpq, and dbmate too."""
    server.create_database("migrated")

    await migrate(server.url("migrated"))

    assert ask(server, "SELECT count(*) FROM users", "migrated") == "0"


def test_making_a_database_again_leaves_it_as_it_is(server: Postgres) -> None:
    """Whoever starts need not know whether it is the first time; any name will do."""
    server.create_database('it\'s "new"')
    ask(server, "CREATE TABLE kept ()", 'it\'s "new"')

    server.create_database('it\'s "new"')

    assert ask(server, "SELECT count(*) FROM kept", 'it\'s "new"') == "0"


def test_nothing_listens_on_the_network(server: Postgres) -> None:
    """There is a socket, in a folder that only its owner enters."""
    sockets = Path(ask(server, "SHOW unix_socket_directories"))

    assert ask(server, "SHOW listen_addresses") == ""
    assert sockets.stat().st_mode & 0o777 == 0o700


def test_a_restart_keeps_data_and_address(server: Postgres) -> None:
    """What was committed is there afterwards, under the same address."""
    before = server.url()
    ask(server, "CREATE TABLE over_restart ()")

    server.restart()

    assert server.url() == before
    assert ask(server, "SELECT count(*) FROM over_restart") == "0"


@pytest.mark.parametrize("durable", [True, False])
def test_a_crash_breaks_connections_and_keeps_what_was_committed(folder: Path, *, durable: bool) -> None:
    """The next start recovers all of it, also without fsync, as long as the machine stays up."""
    with Postgres(folder, durable=durable) as server:
        ask(server, "DROP TABLE IF EXISTS over_crash")
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE over_crash ()")
            server.crash()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT")

        server.start()

        assert ask(server, "SELECT count(*) FROM over_crash") == "0"


def test_settings_reach_the_server(folder: Path) -> None:
    """The number of connections has a name of its own; anything else is given as Postgres spells it."""
    with Postgres(folder, durable=False, max_connections=7, settings={"work_mem": "5MB"}) as server:
        found = [ask(server, f"SHOW {name}") for name in ("max_connections", "work_mem", "fsync")]

    assert found == ["7", "5MB", "off"]


@linux_only
def test_stopping_leaves_no_process_and_no_socket(folder: Path) -> None:
    """Neither the server nor one of its children outlives stop()."""
    with Postgres(folder) as server:
        pids = pids_of(server)
        sockets = Path(ask(server, "SHOW unix_socket_directories"))

    assert len(pids) > 3
    assert not [pid for pid in pids if is_running(pid)]
    assert not sockets.exists()


@linux_only
def test_killing_its_owner_leaves_no_process(folder: Path) -> None:
    """Even kill -9, which nobody can handle, ends the server within 3 s."""
    with hold(folder) as holder:
        pids = pids_from(holder)
        holder.kill()

    assert len(pids) > 3
    wait_until(lambda: not any(map(is_running, pids)), seconds=3)


def test_the_server_of_an_owner_that_is_gone_is_stopped_first(folder: Path) -> None:
    """Where nothing tied the two together, the next owner finds the server running and takes over."""
    orphan = Postgres(folder)
    orphan.start()
    assert orphan._claim is not None
    orphan._claim.close()

    with Postgres(folder) as server:
        assert ask(server, "SELECT 1") == "1"
        assert orphan._server is not None
        assert orphan._server.wait(5) == 0
    orphan.stop()


def test_a_folder_in_use_is_refused(server: Postgres, folder: Path) -> None:
    """A second owner is sent away, and the first one's server goes on."""
    with pytest.raises(PostgresUnavailable, match=f"Another program runs Postgres on {folder}: stop that one first"):
        Postgres(folder).start()

    assert ask(server, "SELECT 1") == "1"


@linux_only
def test_a_process_id_that_was_given_out_again_is_no_obstacle(folder: Path) -> None:
    """After a power cut the file with the server's number stays, and may name any program."""
    account = (folder / "cluster").stat().st_uid  # Postgres itself passes over what another user runs.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=account) as somebody:
        wait_until(lambda: Path(f"/proc/{somebody.pid}/cmdline").read_bytes() == b"cat\0")
        (folder / "cluster" / "postmaster.pid").write_text(f"{somebody.pid}\n{folder}\n")
        with Postgres(folder) as server:
            assert ask(server, "SELECT 1") == "1"
        assert somebody.poll() is None


def test_half_made_data_are_made_anew(tmp_path: Path) -> None:
    """What a killed initdb left is not taken for data."""
    (tmp_path / "cluster.unfinished" / "base").mkdir(parents=True)
    (tmp_path / "cluster.unfinished" / "PG_VERSION").write_text("18\n")
    (tmp_path / "cluster" / "base").mkdir(parents=True)

    with Postgres(tmp_path, durable=False) as server:
        assert ask(server, "SELECT 1") == "1"
    assert not (tmp_path / "cluster.unfinished").exists()


def test_the_data_of_another_major_version_are_refused(tmp_path: Path) -> None:
    """The sentence names both versions and the folder to delete, and nothing is deleted."""
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").write_text("12\n")

    with pytest.raises(
        PostgresUnavailable, match=f"The data in {tmp_path} was made by Postgres 12, .* delete that fold"
    ):
        Postgres(tmp_path).start()
    assert (tmp_path / "cluster" / "PG_VERSION").exists()


def test_a_server_that_does_not_start_shows_the_end_of_its_log(folder: Path) -> None:
    """Postgres' own words are the best there are."""
    with pytest.raises(PostgresUnavailable, match='unrecognized configuration parameter "nonsense"'):
        Postgres(folder, settings={"nonsense": "1"}).start()


def test_variables_of_postgres_own_do_not_disturb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many a machine has PGPORT or PGDATA set for another server."""
    for name, value in {"PGPORT": "7", "PGDATA": "/nowhere", "PGHOST": "db.invalid", "LC_ALL": "no"}.items():
        monkeypatch.setenv(name, value)

    with Postgres(folder) as server:
        assert ask(server, "SELECT 1") == "1"


def test_a_temporary_folder_with_a_long_name_is_not_used_for_the_socket(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path has room for about a hundred bytes."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with Postgres(folder) as server:
        assert ask(server, "SELECT 1") == "1"
