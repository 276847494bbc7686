"""`migrate` and `reset` where the address, the search path or other programs' tables make it hard to find our place."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from app.commands.runtime import load_settings
from app.postgres.applied_migrations import MigrationError
from app.postgres.development import reset
from app.postgres.migration_files import read_migrations, split
from app.postgres.migrations import migrate
from app.postgres.schema import TABLES
from app.settings import DatabaseSettings
from tests.support.databases import limited_role, temporary_database
from tests.support.environment import complete_environment

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct")]  # Through a pooler an address has no options.

VERSIONS = [migration.version for migration in read_migrations()]

# What `migrate` left behind when dbmate applied the files.
BY_DBMATE = "CREATE TABLE schema_migrations (version VARCHAR NOT NULL PRIMARY KEY)"
# The bookkeeping of other tools.
OTHERS = {
    "Rails": "CREATE TABLE schema_migrations (version VARCHAR PRIMARY KEY);"
    " INSERT INTO schema_migrations VALUES ('20250101000000')",
    "another dbmate": "CREATE TABLE schema_migrations (version VARCHAR PRIMARY KEY);"
    " INSERT INTO schema_migrations VALUES ('0001'), ('0002'), ('0003'), ('0004')",
    "golang-migrate": "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, dirty BOOLEAN NOT NULL);"
    " INSERT INTO schema_migrations VALUES (3, FALSE)",
    "Ecto": "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, inserted_at TIMESTAMP);"
    " INSERT INTO schema_migrations VALUES (1, now())",
    "a view": "CREATE VIEW schema_migrations AS SELECT 1 AS id",
}
NEIGHBOURS = {
    "users": "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT)",
    "sessions": "CREATE TABLE sessions (id TEXT PRIMARY KEY, user_id BIGINT, data JSONB)",
    "messages": "CREATE TABLE messages (id BIGINT, content TEXT)",
    "preferences": "CREATE VIEW preferences AS SELECT 1 AS user_id",
}


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    with temporary_database(database_url) as url:
        yield url


def query(url: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def tables(url: str, schema: str) -> set[object]:
    text = f"SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = '{schema}'::REGNAMESPACE"
    return {name for (name,) in query(url, text)}


def in_chat(url: str) -> str:
    return f"{url}&options=-csearch_path%3Dchat"


def address_by_options(url: str, _: Path) -> tuple[str, dict[str, str]]:
    return in_chat(url), {}


def address_by_variables(url: str, _: Path) -> tuple[str, dict[str, str]]:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    variables = {"PGHOST": parts["host"], "PGDATABASE": parts["dbname"], "PGUSER": parts["user"]}
    return "postgresql://", {
        **{name: str(value) for name, value in variables.items()},
        "PGOPTIONS": "-csearch_path=chat",
    }


def address_by_service(url: str, folder: Path) -> tuple[str, dict[str, str]]:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    lines = [f"{name}={value}" for name, value in parts.items()]
    (folder / "services").write_text("\n".join(["[here]", *lines, "options=-csearch_path=chat", ""]))
    return "postgresql:///?service=here", {"PGSERVICEFILE": str(folder / "services")}


def address_of_several_hosts(url: str, folder: Path) -> tuple[str, dict[str, str]]:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    address = f"postgresql://{parts['user']}@/{parts['dbname']}?host={folder},{parts['host']}&port=1,5432"
    return f"{address}&options=-csearch_path%3Dchat", {}


def address_by_role(url: str, _: Path) -> tuple[str, dict[str, str]]:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    query(url, f"ALTER ROLE {parts['user']} IN DATABASE {parts['dbname']} SET search_path = chat")
    return url, {}


@pytest.mark.parametrize(
    "address",
    [address_by_options, address_by_variables, address_by_service, address_of_several_hosts, address_by_role],
)
async def test_the_tables_land_where_every_command_looks(
    address: object, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever libpq takes the place from; `reset` drops them there."""
    query(empty, "CREATE SCHEMA chat")
    complete_environment(monkeypatch, tmp_path)
    url, variables = address(empty, tmp_path)  # type: ignore[operator]  # One of the functions above.
    for name, value in {"DATABASE_URL": url, **variables}.items():
        monkeypatch.setenv(name, value)
    url = load_settings(DatabaseSettings).database_url.get_secret_value()

    assert await migrate(url) == [migration.file for migration in read_migrations()]
    assert await migrate(url) == []
    assert (tables(empty, "chat"), tables(empty, "public")) == (set(TABLES), set())
    query(url, "INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', 'a')")
    await reset(url)
    assert query(url, "SELECT count(*) FROM users") == [(0,)]
    assert tables(empty, "public") == set()


PATHS = ["gone", "gone,also_gone", "''", "pg_temp", "pg_catalog", "information_schema", "pg_catalog,public"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_search_path_that_leads_nowhere_is_refused(path: str, empty: str) -> None:
    """Postgres' own schemas too; the sentence says what to do where the path was set."""
    with pytest.raises(MigrationError, match=r"leads to no schema .* out of the address \(options\)"):
        await migrate(f"{empty}&options=-csearch_path%3D{path}")
    assert tables(empty, "public") == set()


@pytest.mark.parametrize("path", ["''", "pg_temp", "pg_catalog", "gone"])
async def test_a_default_search_path_that_leads_nowhere_is_mended_by_the_statement(path: str, empty: str) -> None:
    """Of the database, of the user in it; the statement is run as it is printed."""
    database, role = sql.Identifier(urlsplit(empty).path[1:]).as_string(), str(urlsplit(empty).username)
    for whose in (f"DATABASE {database}", f"ROLE {role} IN DATABASE {database}"):
        query(empty, f"ALTER {whose} SET search_path = {path}")
        with pytest.raises(MigrationError, match=r"ALTER .* RESET search_path;") as caught:
            await migrate(empty)
        query(empty, str(caught.value).partition("own. ")[2].partition(" or let")[0])
        await migrate(empty)


async def test_a_database_without_the_schema_public_is_told_to_make_one(empty: str) -> None:
    query(empty, "DROP SCHEMA public")

    with pytest.raises(MigrationError, match="CREATE SCHEMA public"):
        await migrate(empty)


@pytest.mark.parametrize(
    "other",
    [
        "CREATE TYPE users AS ENUM ('a')",
        "CREATE DOMAIN sessions AS TEXT",
        "CREATE TYPE messages AS RANGE (subtype = INT)",
        "CREATE DOMAIN deleted_users AS INT",
        "CREATE DOMAIN clerk_backboard_migrations AS TEXT",
        "CREATE TYPE users AS (id INT)",
    ],
)
async def test_another_programs_type_of_our_name_is_a_sentence(other: str, empty: str) -> None:
    """A table has a type of its own name; a schema of our own beside it is the way out."""
    query(empty, other)

    with pytest.raises(MigrationError, match=r"(type or domain|table users that).*CREATE SCHEMA chat"):
        await migrate(empty)

    query(empty, "CREATE SCHEMA chat")
    await migrate(in_chat(empty))


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_another_tools_bookkeeping_stays_as_it_is(other: str, empty: str) -> None:
    """Both live side by side, also over a reset."""
    query(empty, other)
    theirs = query(empty, "TABLE schema_migrations")

    await migrate(empty)
    await reset(empty)

    assert query(empty, "SELECT version FROM clerk_backboard_migrations ORDER BY 1") == [(one,) for one in VERSIONS]
    assert query(empty, "TABLE schema_migrations") == theirs


@pytest.mark.parametrize("name", NEIGHBOURS)
async def test_another_programs_table_of_our_name_is_refused_at_once(name: str, empty: str) -> None:
    """Before anything is made or dropped; a schema of our own beside it is the way out."""
    query(empty, NEIGHBOURS[name])

    for command in (migrate, reset):
        with pytest.raises(MigrationError, match=f"table {name} that no migration of ours has made.*search_path"):
            await command(empty)
        assert tables(empty, "public") == {name}

    query(empty, "CREATE SCHEMA chat")
    await migrate(in_chat(empty))
    await reset(in_chat(empty))
    assert (tables(empty, "chat"), tables(empty, "public")) == (set(TABLES), {name})


async def test_another_programs_function_of_our_name_is_a_sentence(empty: str) -> None:
    query(empty, "CREATE FUNCTION find_users(clerk_ids TEXT []) RETURNS TEXT LANGUAGE sql AS 'SELECT $1[1]'")

    with pytest.raises(MigrationError, match="another program"):
        await migrate(empty)


@pytest.mark.parametrize("more", ["", "('20250101000000')", "('9999')"])
async def test_what_dbmate_applied_is_taken_over(more: str, empty: str) -> None:
    """Nothing is applied a second time; the old table stays for the code that still runs, and for the way back."""
    query(empty, BY_DBMATE)
    for migration in read_migrations()[:3]:
        query(empty, migration.up.decode())
        query(empty, f"INSERT INTO schema_migrations VALUES ('{migration.version}')")
    query(empty, "INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', 'a')")
    if more:
        query(empty, f"INSERT INTO schema_migrations VALUES {more}")
    before = query(empty, "SELECT version FROM schema_migrations ORDER BY 1")

    applied = await migrate(empty)

    assert applied == [migration.file for migration in read_migrations()[3:]]
    assert query(empty, "SELECT clerk_id FROM users") == [("user_a",)]
    assert query(empty, "SELECT version FROM clerk_backboard_migrations ORDER BY 1") == [(one,) for one in VERSIONS]
    assert query(empty, "SELECT version FROM schema_migrations ORDER BY 1") == before


async def test_tables_whose_migrations_nobody_noted_are_refused(empty: str) -> None:
    """A copy of some tables; to apply the files again would fail in the middle."""
    query(empty, read_migrations()[0].up.decode())

    with pytest.raises(MigrationError):
        await migrate(empty)
    assert tables(empty, "public") == {"users", "deleted_users", "provisioning_attempts"}


async def test_a_schema_put_before_ours_is_refused(empty: str) -> None:
    """New tables would be made there, and the old ones would still be found in the other."""
    await migrate(empty)
    query(empty, "CREATE SCHEMA chat")

    for command in (migrate, reset):
        with pytest.raises(MigrationError, match="another schema before it"):
            await command(f"{empty}&options=-csearch_path%3Dchat%2Cpublic")
    assert tables(empty, "chat") == set()


async def test_lost_tables_are_named(empty: str) -> None:
    await migrate(empty)
    query(empty, "DROP TABLE deleted_threads, preferences")

    with pytest.raises(MigrationError, match="deleted_threads, preferences"):
        await migrate(empty)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "LATIN2", "EUC_JP"])
async def test_an_encoding_that_cannot_hold_every_name_is_refused(encoding: str, database_url: str) -> None:
    with temporary_database(database_url, encoding) as url:
        with pytest.raises(MigrationError, match=f"{encoding}.*CREATE DATABASE"):
            await migrate(url)
        assert tables(url, "public") == set()


async def test_a_user_who_may_not_create_tables_is_told_the_grant(empty: str) -> None:
    with limited_role(empty) as limited, pytest.raises(MigrationError, match="GRANT USAGE, CREATE ON SCHEMA"):
        await migrate(limited)


async def test_every_user_may_read_the_migrations(empty: str) -> None:
    """An installation whose service runs as another user keeps working after the table is new."""
    await migrate(empty)

    with limited_role(empty) as limited:
        assert query(limited, "SELECT max(version) FROM clerk_backboard_migrations") == [(VERSIONS[-1],)]


async def test_a_read_only_database_is_a_sentence(empty: str) -> None:
    name = sql.Identifier(urlsplit(empty).path[1:]).as_string()
    query(empty, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    with pytest.raises(MigrationError, match="primary"):
        await migrate(empty)


CHAT_PROGRAM = """
CREATE TABLE {name} (
    id INT PRIMARY KEY, title TEXT, user_id TEXT, thread_id TEXT, role TEXT, content TEXT, session_id TEXT,
    document TEXT, clerk_id TEXT, assistant_id TEXT, clerk_updated_at TIMESTAMPTZ
);
INSERT INTO {name} (id) VALUES (1)
"""


@pytest.mark.parametrize("name", ["users", "sessions", "messages", "preferences"])
async def test_a_table_with_all_our_columns_that_no_migration_has_made_is_another_programs(
    name: str, empty: str
) -> None:
    """Another chat program may have each of them; nothing of it is dropped, and nothing of ours is made beside it."""
    query(empty, CHAT_PROGRAM.format(name=name))
    for change in (migrate, reset):
        with pytest.raises(MigrationError, match=f"table {name} that no migration of ours has made"):
            await change(empty)

    assert query(empty, f"SELECT count(*) FROM {name}") == [(1,)]
    assert tables(empty, "public") == {name}


async def test_versions_of_another_tool_that_dbmate_never_applied_are_not_taken_over(empty: str) -> None:
    """They stand in the same schema_migrations, and 0004 of somebody else is not ours."""
    await migrate(empty)
    later = [migration for migration in read_migrations() if migration.version > "0003"]
    for migration in reversed(later):
        for statement in [migration.down] if migration.in_transaction else split(migration.down):
            query(empty, statement.decode())
    query(empty, "DROP TABLE clerk_backboard_migrations; CREATE TABLE schema_migrations (version TEXT PRIMARY KEY)")
    query(empty, "INSERT INTO schema_migrations VALUES ('0001'), ('0002'), ('0003'), ('0004'), ('0005')")

    assert await migrate(empty) == [migration.file for migration in later]
