"""`python -m app migrate`: once, twice, several at once, and when it fails."""

import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from app.__main__ import main
from app.postgres import migration_files, migrations
from tests.support import commands
from tests.support.databases import temporary_database
from tests.support.environment import complete_environment
from tools.processes import wait_until

pytestmark = pytest.mark.ways("direct", "pooled")

VERSIONS = [path.name[:4] for path in sorted(migration_files.FOLDER.iterdir())]
SLOW = "-- migrate:up\nSELECT pg_sleep(0.5);\nCREATE TABLE slow (id INTEGER);\n-- migrate:down\nDROP TABLE slow;\n"
OLD_MESSAGES = """
WITH person AS (
    INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', 'a') RETURNING id
), session AS (
    INSERT INTO sessions (user_id, thread_id, created_at) SELECT id, 't', '2026-03-01' FROM person RETURNING id
)
INSERT INTO messages (role, content, session_id, created_at)
SELECT 'user', past.content, session.id, past.created_at
FROM session, (VALUES ('d', '2026-03-04'::TIMESTAMPTZ), ('b', '2026-03-02'), ('a', '2026-03-01'), ('c', '2026-03-03'))
    AS past (content, created_at)
"""
BAD = "-- migrate:up\nCREATE TABLE half (id INTEGER);\nSELECT nonsense;\n-- migrate:down\nDROP TABLE half;\n"


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    """An empty database's address."""
    with temporary_database(database_url) as url:
        yield url


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that a dyno gets, for the test to add migrations."""
    for name in ("app", "sql"):
        shutil.copytree(commands.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def query(url: str, text: str) -> list[str]:
    """The first column of the rows."""
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(text.encode())]


def applied(url: str) -> list[str]:
    return query(url, "SELECT version FROM clerk_backboard_migrations ORDER BY version")


def tables(url: str) -> list[str]:
    return query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")


def sleepers(url: str) -> int:
    """How many slow migrations are running."""
    text = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    return len(query(url, text))


def test_an_empty_database_gets_every_table(empty: str) -> None:
    """A second run changes nothing."""
    first, _, _ = commands.run("migrate", DATABASE_URL=empty)
    made = tables(empty)
    second, _, _ = commands.run("migrate", DATABASE_URL=empty)

    assert (first, second) == (0, 0)
    assert {"users", "deleted_users", "provisioning_attempts", "sessions", "messages"} < set(made)
    assert tables(empty) == made
    assert applied(empty) == VERSIONS


def test_several_migrations_at_once_wait_for_each_other(empty: str, checkout: Path) -> None:
    """All succeed, and every migration runs once, also one that builds an index CONCURRENTLY."""
    concurrently = "-- migrate:{} transaction:false\n{} INDEX CONCURRENTLY slow_id_idx{};\n"
    folder = checkout / "sql" / "migrations"
    (folder / "0901_create_slow.sql").write_text(SLOW)
    (folder / "0902_index_slow.sql").write_text(
        concurrently.format("up", "CREATE", " ON slow (id)") + concurrently.format("down", "DROP", "")
    )

    processes = [commands.start("migrate", checkout=checkout, DATABASE_URL=empty) for _ in range(3)]
    results = [commands.finish(process) for process in processes]

    assert [code for code, _, _ in results] == [0] * 3, results
    assert applied(empty) == [*VERSIONS, "0901", "0902"]


@pytest.mark.ways("pooled")
def test_a_migration_shares_a_pooler_with_a_busy_service(empty: str) -> None:
    """A release migrates while the old version serves: no other client may come between a statement and its values."""
    done = threading.Event()
    others = [threading.Thread(target=ask_until, args=(done, empty)) for _ in range(4)]
    for other in others:
        other.start()
    try:
        codes = [commands.run("migrate", DATABASE_URL=empty)[0] for _ in range(6)]
    finally:
        done.set()
        for other in others:
            other.join()

    assert codes == [0] * 6


def ask_until(done: threading.Event, url: str) -> None:
    """Ask small questions with values, as the service does."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        while not done.wait(0.001):
            connection.execute("SELECT %s::INT", [1])


def test_a_migration_that_fails_is_rolled_back(empty: str, checkout: Path) -> None:
    """Exit 1; those before it stay, and the next run goes on there once the file is corrected."""
    bad = checkout / "sql" / "migrations" / "0901_create_half.sql"
    bad.write_text(BAD)

    code, _, complaints = commands.run("migrate", checkout=checkout, DATABASE_URL=empty)

    assert code == 1
    assert "0901_create_half.sql could not be applied" in complaints
    assert "nonsense" in complaints
    assert "Traceback" not in complaints
    assert applied(empty) == VERSIONS
    assert "half" not in tables(empty)

    bad.write_text(BAD.replace("SELECT nonsense;\n", ""))
    assert commands.run("migrate", checkout=checkout, DATABASE_URL=empty)[0] == 0
    assert "half" in tables(empty)


def test_messages_from_before_there_were_positions_keep_their_order(empty: str, checkout: Path) -> None:
    """By created_at, before all later ones; an old version that inserts without positions goes on working."""
    later = [path for path in (checkout / "sql" / "migrations").iterdir() if path.name >= "0003"]
    texts = {path: path.read_text() for path in later}
    for path in later:
        path.unlink()
    assert commands.run("migrate", checkout=checkout, DATABASE_URL=empty)[0] == 0
    with psycopg.connect(empty) as old:
        old.execute(OLD_MESSAGES)
        old.commit()
        for path, text in texts.items():
            path.write_text(text)
        migrated, _, complaints = commands.run("migrate", checkout=checkout, DATABASE_URL=empty)
        old.execute("INSERT INTO messages (role, content, session_id) SELECT 'user', 'e', id FROM sessions")

    assert (migrated, complaints) == (0, "")
    assert query(empty, "SELECT content FROM messages ORDER BY position") == list("abcde")
    assert query(empty, "SELECT last_active_at::DATE::TEXT FROM sessions") == ["2026-03-04"]


def test_a_migration_numbered_below_an_applied_one_is_refused(empty: str, checkout: Path) -> None:
    """It was never tried in this order."""
    (checkout / "sql" / "migrations" / "0902_create_slow.sql").write_text(SLOW)
    assert commands.run("migrate", checkout=checkout, DATABASE_URL=empty)[0] == 0
    (checkout / "sql" / "migrations" / "0901_create_half.sql").write_text(BAD.replace("SELECT nonsense;\n", ""))

    assert commands.run("migrate", checkout=checkout, DATABASE_URL=empty)[0] == 1
    assert "half" not in tables(empty)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.ways("direct")  # The test itself needs a third connection.
def test_a_statement_ends_with_the_command(how: signal.Signals, empty: str, checkout: Path) -> None:
    """Otherwise the server would go on with it alone."""
    (checkout / "sql" / "migrations" / "0901_create_slow.sql").write_text(SLOW.replace("0.5", "60"))
    process = commands.start("migrate", checkout=checkout, DATABASE_URL=empty)
    wait_until(lambda: sleepers(empty) == 1)

    process.send_signal(how)
    code, _, _ = commands.finish(process, seconds=3)

    assert code != 0
    assert sleepers(empty) == 0
    assert applied(empty) == VERSIONS


def test_a_database_that_is_down_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 after a wait, which is cut short here; it says why, and no part of the address is printed."""
    complete_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://canary:canary@127.0.0.1:1/canary")
    monkeypatch.setattr(migrations, "CONNECT_SECONDS", 0.0)

    result = CliRunner().invoke(main, ["migrate"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing listens at that host and port" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "canary" not in result.stderr


def test_waiting_for_a_database_is_announced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first try, and not at every one."""
    complete_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://canary:canary@127.0.0.1:1/canary")
    monkeypatch.setattr(migrations, "CONNECT_SECONDS", 1.5)

    result = CliRunner().invoke(main, ["migrate"])

    waiting, end = result.stderr.splitlines()
    assert (result.exit_code, waiting[:7]) == (1, "Waiting")
    assert all("nothing listens at that host and port" in line for line in (waiting, end))
    assert "canary" not in result.stderr


def test_a_migration_elsewhere_that_holds_the_lock_is_one_sentence(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, and nothing is applied."""
    complete_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("DATABASE_URL", empty)
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.0)

    with psycopg.connect(empty) as rival:
        rival.execute(migrations._LOCK)
        result = CliRunner().invoke(main, ["migrate"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert "Another migration" in result.stderr
    assert tables(empty) == []


def test_the_newest_version_is_the_last_file() -> None:
    """Readiness compares it with the database's."""
    assert migration_files.newest() == VERSIONS[-1]
