"""`seed`, `reset` and `psql`: the commands for a database to develop on."""

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
from app.postgres import development, migration_files
from app.postgres.schema import TABLES
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
def empty_tables(empty: str) -> str:
    """The address of a database with empty tables."""
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
    """Run a command in this process; `typed` is its input."""
    monkeypatch.setenv("DATABASE_URL", url)
    return CliRunner().invoke(main, words, input=typed)


def test_each_migration_is_applied_or_pending(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 while one is pending. Taken back, the last one is pending again, and a further one too."""
    files = [one.file for one in migration_files.read_migrations()]
    before = run(empty, monkeypatch, "migrate", "--status")
    run(empty, monkeypatch, "migrate")
    after = run(empty, monkeypatch, "migrate", "--status")
    downs = [run(empty, monkeypatch, "migrate", "--down", "--yes") for _ in files]
    at_last = run(empty, monkeypatch, "migrate", "--down", "--yes")
    again = run(empty, monkeypatch, "migrate")

    assert (before.exit_code, [line.split() for line in before.stdout.splitlines()]) == (
        1, [[file, "pending"] for file in files],
    )  # fmt: skip
    assert (after.exit_code, [line.split()[:2] for line in after.stdout.splitlines()]) == (
        0, [[file, "applied"] for file in files],
    )  # fmt: skip
    assert [down.stdout for down in downs] == [f"Took back {file}\n" for file in reversed(files)]
    assert "nothing was taken back" in at_last.stdout
    assert again.stdout.splitlines() == [f"Applied {file}" for file in files]


def test_what_a_newer_release_has_applied_is_named_and_not_taken_back(
    empty_tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query(empty_tables, "INSERT INTO clerk_backboard_migrations (version) VALUES ('9999')")

    status = run(empty_tables, monkeypatch, "migrate", "--status")
    down = run(empty_tables, monkeypatch, "migrate", "--down", "--yes")

    assert (status.exit_code, "9999, of a newer release" in status.stdout) == (0, True)
    assert (down.exit_code, "newer release has applied 9999" in down.stderr) == (1, True)


def test_down_asks_and_refuses_another_machines_database(empty_tables: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 without --force; anything but `down` changes nothing."""
    asked = run(empty_tables, monkeypatch, "migrate", "--down", typed="yes\n")
    refused = run(ELSEWHERE, monkeypatch, "migrate", "--down", "--yes")
    mixed = run(empty_tables, monkeypatch, "migrate", "--force")

    assert (asked.exit_code, refused.exit_code, mixed.exit_code) == (1, 3, 2)
    assert run(empty_tables, monkeypatch, "migrate", "--status").exit_code == 0


def test_seed_fills_an_empty_database_once(empty_tables: str) -> None:
    """Users with sessions and messages, two scenarios, some pictures; a second run inserts nothing."""
    first = commands.run("seed", DATABASE_URL=empty_tables)
    rows = query(empty_tables, "TABLE users")
    second = commands.run("seed", DATABASE_URL=empty_tables)

    assert (first[0], second[0]) == (0, 0), first
    assert "10 sample users" in first[1]
    assert counts(empty_tables) == (10, 20, 30)
    assert query(empty_tables, "TABLE users") == rows
    assert query(empty_tables, "SELECT scenario_slug, count(*) FROM sessions GROUP BY 1 ORDER BY 1") == [
        ("city-trip", 10),
        (None, 10),
    ]
    assert query(empty_tables, "SELECT count(*), count(image_url) FROM users") == [(10, 6)]
    assert query(empty_tables, "SELECT slug FROM scenarios ORDER BY 1") == [("city-trip",), ("packing-list",)]


def test_seed_inserts_only_what_is_missing(empty_tables: str) -> None:
    """Deleted messages come back, and a changed name stays."""
    commands.run("seed", DATABASE_URL=empty_tables)
    query(empty_tables, "DELETE FROM messages")
    query(empty_tables, "UPDATE users SET name = 'Mine' WHERE clerk_id = 'user_sampleAda'")
    commands.run("seed", DATABASE_URL=empty_tables)

    assert counts(empty_tables) == (10, 20, 30)
    assert query(empty_tables, "SELECT name FROM users WHERE clerk_id = 'user_sampleAda'") == [("Mine",)]


def test_seed_does_not_bring_a_deleted_user_back(empty_tables: str) -> None:
    query(empty_tables, "INSERT INTO deleted_users (clerk_id) VALUES ('user_sampleAda')")

    assert commands.run("seed", DATABASE_URL=empty_tables)[0] == 0
    assert counts(empty_tables) == (9, 18, 27)


def test_seed_without_tables_is_one_sentence(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1, and no traceback."""
    result = run(empty, monkeypatch, "seed")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "schema_missing" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_reset_empties_everything_and_migrates_again(empty_tables: str) -> None:
    """With --yes it does not ask; a table of another program stays."""
    commands.run("seed", DATABASE_URL=empty_tables)
    query(empty_tables, "CREATE TABLE other_program (id INTEGER)")
    code, stdout, _ = commands.run("reset", "--yes", DATABASE_URL=empty_tables)

    assert code == 0, stdout
    assert counts(empty_tables) == (0, 0, 0)
    assert query(empty_tables, "SELECT max(version) FROM clerk_backboard_migrations") == [(migration_files.newest(),)]
    assert query(empty_tables, "TABLE other_program") == []


def test_reset_drops_everything_that_the_migrations_make(empty_tables: str) -> None:
    """A new migration's tables have to be added to TABLES, and so have its views and types somewhere."""
    tables = ", ".join(TABLES)
    query(empty_tables, f"DROP TABLE {tables}")
    for migration in migration_files.read_migrations():
        for function in migration.dropped_functions:
            query(empty_tables, f"DROP FUNCTION {function}")

    left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::REGNAMESPACE"
    assert query(empty_tables, left) == []
    # pg_trgm belongs to the database, and stays.
    of_extensions = "SELECT objid FROM pg_depend WHERE deptype = 'e'"
    for name, catalog in (("typ", "pg_type"), ("pro", "pg_proc")):
        ours = f"{name}namespace = 'public'::REGNAMESPACE AND oid NOT IN ({of_extensions})"
        assert query(empty_tables, f"SELECT {name}name FROM {catalog} WHERE {ours}") == []


def test_reset_repairs_an_incomplete_schema(empty_tables: str) -> None:
    query(empty_tables, "DROP TABLE messages; DELETE FROM clerk_backboard_migrations WHERE version = '0001'")

    assert commands.run("reset", "--yes", DATABASE_URL=empty_tables)[0] == 0
    assert counts(empty_tables) == (0, 0, 0)


def test_reset_works_on_an_empty_database(empty: str) -> None:
    assert commands.run("reset", "--yes", DATABASE_URL=empty)[0] == 0
    assert counts(empty) == (0, 0, 0)


@pytest.mark.parametrize("typed", ["\n", "yes\n", "RESET\n", "y\n", ""])
def test_reset_asks_for_its_name_to_be_typed(empty_tables: str, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """Any other input changes nothing, and neither does a closed input."""
    query(empty_tables, f"INSERT INTO users (clerk_id, assistant_id) VALUES ('{Person().clerk_id}', 'a')")
    result = run(empty_tables, monkeypatch, "reset", typed=typed)

    assert result.exit_code == 1
    assert counts(empty_tables)[0] == 1


def test_reset_runs_when_its_name_is_typed(empty_tables: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query(empty_tables, f"INSERT INTO users (clerk_id, assistant_id) VALUES ('{Person().clerk_id}', 'a')")
    result = run(empty_tables, monkeypatch, "reset", typed="reset\n")

    assert result.exit_code == 0, result.output
    assert counts(empty_tables)[0] == 0


def test_reset_fails_when_a_view_of_another_program_needs_a_table(
    empty_tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, and everything is as before."""
    query(empty_tables, "CREATE VIEW theirs AS SELECT clerk_id FROM users")
    query(empty_tables, f"INSERT INTO users (clerk_id, assistant_id) VALUES ('{Person().clerk_id}', 'a')")
    result = run(empty_tables, monkeypatch, "reset", "--yes")

    assert result.exit_code == 1
    assert "depend on the tables" in result.stderr
    assert counts(empty_tables)[0] == 1


def test_reset_fails_when_a_running_server_holds_a_lock(empty_tables: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 after a while, and everything is as before."""
    monkeypatch.setattr(development, "_DROP_LIMIT", b"SET LOCAL lock_timeout = '100ms'")
    with psycopg.connect(empty_tables) as rival:
        rival.execute("LOCK TABLE users IN SHARE MODE")
        result = run(empty_tables, monkeypatch, "reset", "--yes")

    assert result.exit_code == 1
    assert "stop the server" in result.stderr


@pytest.mark.parametrize("words", [["seed"], ["reset"], ["reset", "--yes"]])
def test_a_database_on_another_machine_is_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 before it asks or connects; --yes does not replace --force."""
    result = run(ELSEWHERE, monkeypatch, *words, typed="reset\n")

    assert (result.exit_code, result.stdout) == (3, "")
    assert "--force" in result.stderr
    assert "canary" not in result.stderr


@pytest.mark.parametrize("words", [["seed", "--force"], ["reset", "--yes", "--force"]])
def test_force_allows_another_machine(words: list[str], empty_tables: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is local, and only counts as another machine's."""
    monkeypatch.setattr(database_command, "is_on_this_machine", lambda _: False)
    refused = run(empty_tables, monkeypatch, *(word for word in words if word != "--force"))
    forced = run(empty_tables, monkeypatch, *words)

    assert (refused.exit_code, forced.exit_code) == (3, 0), forced.output


def fake_psql(folder: Path) -> Path:
    """A psql that prints its arguments and its environment."""
    program = folder / "psql"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv | grep ^PG | sort\nexit 7\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_psql_gets_the_address_in_its_environment(folder: Path) -> None:
    """Other users of the machine can read arguments, but not the environment. The exit code is psql's."""
    code, stdout, _ = commands.run(
        "psql",
        "-c",
        "SELECT 1",
        DATABASE_URL="postgresql://app:p%40ss@localhost:5433/app?keepalives=1&sslpassword=canary",
        POSTGRES_BIN=str(fake_psql(folder)),
    )

    assert code == 7
    assert stdout.splitlines() == [
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


def test_psql_gets_what_a_service_says_too(folder: Path) -> None:
    """As for every other command, the address comes first; PGSERVICE itself would come before it."""
    (folder / "services").write_text("[here]\nhost=/run/elsewhere\nport=5999\nuser=theirs\n")
    _, stdout, _ = commands.run(
        "psql",
        DATABASE_URL="postgresql://localhost/app",
        POSTGRES_BIN=str(fake_psql(folder)),
        PGSERVICE="here",
        PGSERVICEFILE=str(folder / "services"),
    )

    lines = stdout.splitlines()
    assert {"PGHOST=localhost", "PGPORT=5999", "PGUSER=theirs", "PGDATABASE=app"} <= set(lines)
    assert not any(line.startswith("PGSERVICE=") for line in lines)


def test_psql_is_found_on_the_path(folder: Path) -> None:
    """It needs no --force for a database on another machine."""
    path = f"{fake_psql(folder)}:{os.environ['PATH']}"
    code, stdout, _ = commands.run("psql", DATABASE_URL=ELSEWHERE, PATH=path)

    assert code == 7
    assert "PGSSLMODE=require" in stdout


def test_a_missing_psql_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1; the sentence says what to do."""
    monkeypatch.setenv("POSTGRES_BIN", str(folder))
    result = CliRunner().invoke(main, ["psql"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert "POSTGRES_BIN" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_real_psql_reaches_the_database(empty_tables: str) -> None:
    try:
        binaries = find_binaries()
    except PostgresUnavailable:
        pytest.skip("there is no psql here")
    code, stdout, stderr = commands.run(
        "psql", "-Atc", "SELECT current_database()", DATABASE_URL=empty_tables, POSTGRES_BIN=str(binaries)
    )

    assert (code, stdout.strip()) == (0, urlsplit(empty_tables).path[1:]), stderr
