"""`seed`, `reset` and `psql`: for a database to develop on, and for no other."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from click.testing import CliRunner, Result

from app.__main__ import main
from app.commands import database as database_command
from app.postgres import migrations
from app.postgres.migrations import is_on_this_machine
from tests.support import commands
from tests.support.databases import temporary_database
from tests.support.environment import complete_environment
from tests.support.factories import Person
from tools.sandbox.binaries import find_binaries
from tools.sandbox.postgres import PostgresUnavailable

ELSEWHERE = "postgresql://canary:canary@db.canary.example/canary"


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    """An empty database's address."""
    with temporary_database(database_url) as url:
        yield url


@pytest.fixture
def migrated(empty: str) -> str:
    """The address of a database with the tables and nobody in them."""
    assert commands.run("migrate", DATABASE_URL=empty)[0] == 0
    return empty


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete environment, and a folder without a .env."""
    complete_environment(monkeypatch, tmp_path)
    return tmp_path


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def counts(url: str) -> tuple[Any, ...]:
    return query(
        url,
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions), (SELECT count(*) FROM messages)",
    )[0]


def run(url: str, monkeypatch: pytest.MonkeyPatch, *words: str, typed: str | None = None) -> Result:
    """Run a command in this process, with what somebody types."""
    monkeypatch.setenv("DATABASE_URL", url)
    return CliRunner().invoke(main, words, input=typed)


def test_seed_fills_an_empty_database_once(migrated: str) -> None:
    """Users with sessions and messages; a second run finds everything there."""
    first = commands.run("seed", DATABASE_URL=migrated)
    rows = query(migrated, "TABLE users")
    second = commands.run("seed", DATABASE_URL=migrated)

    assert (first[0], second[0]) == (0, 0), first
    assert "10 sample users" in first[1]
    assert counts(migrated) == (10, 20, 30)
    assert query(migrated, "TABLE users") == rows


def test_seed_completes_what_is_half_there(migrated: str) -> None:
    """Somebody deleted a conversation, and renamed a user: the first comes back, the second stays."""
    commands.run("seed", DATABASE_URL=migrated)
    query(migrated, "DELETE FROM messages")
    query(migrated, "UPDATE users SET name = 'Mine' WHERE clerk_id = 'user_sampleAda'")
    commands.run("seed", DATABASE_URL=migrated)

    assert counts(migrated) == (10, 20, 30)
    assert query(migrated, "SELECT name FROM users WHERE clerk_id = 'user_sampleAda'") == [("Mine",)]


def test_seed_brings_nobody_back(migrated: str) -> None:
    """A sample user who was deleted stays deleted, like anybody else."""
    query(migrated, "INSERT INTO deleted_users (clerk_id) VALUES ('user_sampleAda')")

    assert commands.run("seed", DATABASE_URL=migrated)[0] == 0
    assert counts(migrated) == (9, 18, 27)


def test_seed_without_tables_is_one_sentence(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1, and no traceback."""
    result = run(empty, monkeypatch, "seed")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "schema_missing" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_reset_empties_everything_and_migrates_again(migrated: str) -> None:
    """With --yes it does not ask; what others made in there stays."""
    commands.run("seed", DATABASE_URL=migrated)
    query(migrated, "CREATE TABLE somebody_elses (id INTEGER)")
    code, output, _ = commands.run("reset", "--yes", DATABASE_URL=migrated)

    assert code == 0, output
    assert counts(migrated) == (0, 0, 0)
    assert query(migrated, "SELECT max(version) FROM schema_migrations") == [(migrations.newest(),)]
    assert query(migrated, "TABLE somebody_elses") == []


def test_reset_drops_everything_that_the_migrations_make(migrated: str) -> None:
    """A new migration's tables, views and types belong into its list."""
    query(migrated, migrations._DROP.decode())

    left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::REGNAMESPACE"
    assert query(migrated, left) == []
    # pg_trgm is the database's, and stays where it was switched on.
    of_extensions = "SELECT objid FROM pg_depend WHERE deptype = 'e'"
    for name, catalog in (("typ", "pg_type"), ("pro", "pg_proc")):
        ours = f"{name}namespace = 'public'::REGNAMESPACE AND oid NOT IN ({of_extensions})"
        assert query(migrated, f"SELECT {name}name FROM {catalog} WHERE {ours}") == []


def test_reset_mends_a_schema_that_is_half_there(migrated: str) -> None:
    """Whatever state somebody's experiments have left."""
    query(migrated, "DROP TABLE messages; DELETE FROM schema_migrations WHERE version = '0001'")

    assert commands.run("reset", "--yes", DATABASE_URL=migrated)[0] == 0
    assert counts(migrated) == (0, 0, 0)


def test_reset_works_on_an_empty_database(empty: str) -> None:
    """Nothing to drop is no error."""
    assert commands.run("reset", "--yes", DATABASE_URL=empty)[0] == 0
    assert counts(empty) == (0, 0, 0)


@pytest.mark.parametrize("typed", ["\n", "yes\n", "RESET\n", "y\n", ""])
def test_reset_asks_for_its_own_name(migrated: str, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """Whatever else is typed changes nothing, and so does a closed input."""
    query(migrated, f"INSERT INTO users (clerk_id, assistant_id) VALUES ('{Person().clerk_id}', 'a')")
    result = run(migrated, monkeypatch, "reset", typed=typed)

    assert result.exit_code == 1
    assert counts(migrated)[0] == 1


def test_reset_goes_on_when_its_name_is_typed(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once is enough."""
    query(migrated, f"INSERT INTO users (clerk_id, assistant_id) VALUES ('{Person().clerk_id}', 'a')")
    result = run(migrated, monkeypatch, "reset", typed="reset\n")

    assert result.exit_code == 0, result.output
    assert counts(migrated)[0] == 0


def test_reset_stops_at_what_others_have_built_on_it(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view of the chat backend: exit 1, and everything is as it was."""
    query(migrated, "CREATE VIEW theirs AS SELECT clerk_id FROM users")
    query(migrated, f"INSERT INTO users (clerk_id, assistant_id) VALUES ('{Person().clerk_id}', 'a')")
    result = run(migrated, monkeypatch, "reset", "--yes")

    assert result.exit_code == 1
    assert "depend on the tables" in result.stderr
    assert counts(migrated)[0] == 1


def test_reset_does_not_wait_for_ever_for_a_server_that_runs(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds a lock: exit 1, and everything is as it was."""
    monkeypatch.setattr(migrations, "_DROP_LIMIT", b"SET LOCAL lock_timeout = '100ms'")
    with psycopg.connect(migrated) as rival:
        rival.execute("LOCK TABLE users IN SHARE MODE")
        result = run(migrated, monkeypatch, "reset", "--yes")

    assert result.exit_code == 1
    assert "stop the server" in result.stderr


@pytest.mark.parametrize("words", [["seed"], ["reset"], ["reset", "--yes"]])
def test_a_database_on_another_machine_is_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 before anything is asked or connected to; --yes is no --force."""
    result = run(ELSEWHERE, monkeypatch, *words, typed="reset\n")

    assert (result.exit_code, result.stdout) == (3, "")
    assert "--force" in result.stderr
    assert "canary" not in result.stderr


@pytest.mark.parametrize("words", [["seed", "--force"], ["reset", "--yes", "--force"]])
def test_force_is_taken_at_its_word(words: list[str], migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same address, called another machine's."""
    monkeypatch.setattr(database_command, "is_on_this_machine", lambda _: False)
    refused = run(migrated, monkeypatch, *(word for word in words if word != "--force"))
    forced = run(migrated, monkeypatch, *words)

    assert (refused.exit_code, forced.exit_code) == (3, 0), forced.output


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://app@localhost/app", True),
        ("postgresql://app@127.0.0.1:5433/app", True),
        ("postgresql://app@[::1]/app", True),
        ("postgresql:///app?host=/run/postgresql", True),
        ("postgresql:///app", True),
        ("postgresql://app@db.example/app", False),
        ("postgresql://app@10.0.0.1/app", False),
        ("postgresql://app@localhost.example/app", False),
        ("postgresql://app@localhost,db.example/app", False),
        ("postgresql://app@localhost/app?hostaddr=10.0.0.1", False),
        ("postgresql://app@db.example/app?hostaddr=127.0.0.1", True),
        ("postgresql://app@localhost/app?host=db.example", False),
        ("postgresql:///app?service=canary", False),
        ("user=app host=db.example dbname=app", False),
    ],
)
def test_where_an_address_leads(url: str, expected: bool) -> None:  # noqa: FBT001  # A parametrised case.
    """As libpq reads it, in every form that it takes."""
    assert is_on_this_machine(url) == expected


def test_libpqs_own_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides where an address without a host leads, and only there."""
    monkeypatch.setenv("PGHOST", "db.example")

    assert not is_on_this_machine("postgresql:///app")
    assert is_on_this_machine("postgresql://localhost/app")
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    assert not is_on_this_machine("postgresql://localhost/app")


def fake_psql(folder: Path) -> Path:
    """A program that says how it was called."""
    program = folder / "psql"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv | grep ^PG | sort\nexit 7\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_psql_gets_the_database_and_no_argument_a_part_of_its_address(folder: Path) -> None:
    """Everybody on the machine may read arguments, but not the environment. The exit code is psql's."""
    code, output, _ = commands.run(
        "psql",
        "-c",
        "SELECT 1",
        DATABASE_URL="postgresql://app:p%40ss@localhost:5433/app?keepalives=1&sslpassword=canary",
        POSTGRES_BIN=str(fake_psql(folder)),
        PGSERVICE="somewhere-else",
    )

    assert code == 7
    assert output.splitlines() == [
        "--dbname",
        "keepalives=1",
        "-c",
        "SELECT 1",
        "PGDATABASE=app",
        "PGHOST=localhost",
        "PGPASSWORD=p@ss",
        "PGPORT=5433",
        "PGUSER=app",
    ]


def test_psql_is_found_on_the_path(folder: Path) -> None:
    """And a database on another machine is none of its business."""
    path = f"{fake_psql(folder)}:{os.environ['PATH']}"
    code, output, _ = commands.run("psql", DATABASE_URL=ELSEWHERE, PATH=path)

    assert code == 7
    assert "PGSSLMODE=require" in output


def test_a_missing_psql_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1, and what to do."""
    monkeypatch.setenv("POSTGRES_BIN", str(folder))
    result = CliRunner().invoke(main, ["psql"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert "POSTGRES_BIN" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_real_psql_reaches_the_database(migrated: str) -> None:
    """With what the address says."""
    try:
        binaries = find_binaries()
    except PostgresUnavailable:
        pytest.skip("there is no psql here")
    code, output, complaints = commands.run(
        "psql", "-Atc", "SELECT current_database()", DATABASE_URL=migrated, POSTGRES_BIN=str(binaries)
    )

    assert (code, output.strip()) == (0, urlsplit(migrated).path[1:]), complaints
