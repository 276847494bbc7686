"""Migrations: each file of sql/migrations is applied in a transaction of its own, which holds a lock.

A file with `transaction:false` is applied on a second connection, while the first holds the lock, and may be applied
once more after a run that was broken off.

Any number of machines may migrate at once: each looks under the lock for what is missing. The lock is polled instead of
waited for, since a waiting statement would hold a snapshot that CREATE INDEX CONCURRENTLY waits for in turn. It ends
with its transaction, so it works through a transaction pooler too.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

import psycopg
from psycopg.conninfo import make_conninfo

from app.errors import DatabaseUnavailable
from app.postgres import concurrent_index
from app.postgres.applied_migrations import (
    OWN_SCHEMA,
    QUERY_SECONDS,
    MigrationError,
    MigrationState,
    find_own_tables,
    list_applied,
    list_states,
)
from app.postgres.blockers import run_watched
from app.postgres.functions import list_wrong_functions, mend_functions
from app.postgres.migration_files import Migration, read_migrations, split
from app.postgres.pipeline import Connection, execute
from app.postgres.pool import connection_string
from app.postgres.queries import Queries
from app.postgres.refusals import why_refused
from app.postgres.schema import MIGRATIONS_TABLE, TABLES, quote
from app.postgres.search_path import is_unusable, mend_search_path
from app.postgres.triggers import list_wrong_triggers, mend_triggers
from app.reasons import meaning_of

CONNECT_SECONDS = 10.0
LOCK_SECONDS = 300.0
POLL_SECONDS = 0.25

# Any number, as long as it stays the same: 'migrate' in ASCII, shortened.
_LOCK = b"SELECT pg_try_advisory_xact_lock(7235437)"
NO_IDLE_LIMIT = b"SET LOCAL idle_in_transaction_session_timeout = 0"

# Every user may read it: the service may run as another user than `migrate`, and was granted its rights before.
_CREATE_MIGRATIONS_TABLE = (
    b"CREATE TABLE clerk_backboard_migrations ("
    b"version TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now(),"
    b" CONSTRAINT clerk_backboard_migrations_pkey PRIMARY KEY (version))"
)
_GRANT_MIGRATIONS_TABLE = b"GRANT SELECT ON clerk_backboard_migrations TO PUBLIC"


async def migrate(url: str) -> list[str]:
    """Apply what is missing, and return the names of the files, or raise MigrationError."""
    migrations = read_migrations()
    applied: list[str] = []
    with explained("The database cannot be used"):
        async with await connect(url) as connection:
            await _check_database(connection)
            while migration := await _apply_next(connection, migrations, url):
                applied.append(migration.file)
            await _check_result(connection, migrations)
    return applied


async def status(url: str) -> list[MigrationState]:
    """What was applied and what was not, or raise MigrationError."""
    with explained("The database cannot be used"):
        async with await connect(url) as connection:
            await _check_database(connection)
            return await list_states(connection)


async def connect(url: str, **parameters: str) -> Connection:
    """Connect, and retry for a while: in a release phase the database may just be starting."""
    give_up_at = monotonic() + CONNECT_SECONDS
    reported = ""
    while True:
        try:
            conninfo = make_conninfo(connection_string(url), **parameters)
            return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.OperationalError as error:
            why = await why_refused(url)
            if monotonic() > give_up_at:
                raise MigrationError(f"The database cannot be used: {why}. Check DATABASE_URL.") from error
            if why != reported:
                sys.stderr.write(f"Waiting {CONNECT_SECONDS:.0f} s for the database: {why} ...\n")
                reported = why
            await asyncio.sleep(1.0)


@asynccontextmanager
async def migration_lock(connection: Connection) -> AsyncIterator[None]:
    """A transaction that no other migration runs beside. After an error, closing the connection rolls it back."""
    give_up_at = monotonic() + LOCK_SECONDS
    while True:
        await connection.execute(b"BEGIN ISOLATION LEVEL READ COMMITTED")
        await connection.execute(NO_IDLE_LIMIT)
        cursor = await connection.execute(_LOCK)
        if await cursor.fetchone() == (True,):
            break
        await connection.execute(b"ROLLBACK")
        if monotonic() > give_up_at:
            raise MigrationError("Another migration has been running for minutes; see what it waits for.")
        await asyncio.sleep(POLL_SECONDS)
    yield
    await connection.execute(b"COMMIT")


async def _check_database(connection: Connection) -> None:
    """Refuse a database that cannot hold every name, and an address that leads to no schema."""
    queries = Queries.load()
    facts, defaults = await execute(
        connection,
        (queries.get_database_facts, {}),
        (queries.list_defaults, {"names": ["search_path"]}),
        seconds=QUERY_SECONDS,
    )
    database, role, schema, search_path, encoding = facts[0]
    if encoding != "UTF8":
        raise MigrationError(
            f"The database's encoding is {encoding}, which cannot hold every name; make one that can, and copy what"
            f" this one holds: CREATE DATABASE {quote(f'{database}_utf8')} ENCODING 'UTF8' TEMPLATE template0;"
        )
    if is_unusable(schema):
        ((_, _, source),) = defaults
        raise MigrationError(
            f"The search path ({search_path or 'empty'}) leads to no schema that exists, that this user may look into"
            f" and that is not Postgres' own. {mend_search_path(source, role=role, database=database)}"
        )


async def _apply_next(connection: Connection, migrations: list[Migration], url: str) -> Migration | None:
    """Apply the first file that is missing, and return it."""
    queries = Queries.load()
    async with migration_lock(connection):
        versions = {migration.version for migration in migrations}
        with explained("The table of the migrations cannot be read or made"):
            applied = await _read_applied(connection)
        migration = next((one for one in migrations if one.version not in applied), None)
        if migration is None:
            return None
        if applied and migration.version < max(applied & versions, default=""):
            raise MigrationError(f"{migration.file} is numbered below one that was applied; give it a higher number.")
        kept = "nothing of it was kept" if migration.in_transaction else "the next run begins it again"
        with explained(f"{migration.file} could not be applied, and {kept}"):
            await _apply(connection, migration, url)
            await execute(connection, (queries.insert_migration, {"version": migration.version}), seconds=QUERY_SECONDS)
    return migration


async def _apply(connection: Connection, migration: Migration, url: str) -> None:
    if migration.in_transaction:
        await connection.execute(migration.up)
        return
    # A statement with values keeps its snapshot until the next one, and CREATE INDEX CONCURRENTLY waits for that.
    await connection.execute(NO_IDLE_LIMIT)
    try:
        await run_watched(url, lambda name: _apply_outside(migration, url, name))
    except asyncio.CancelledError:
        raise MigrationError(f"Stopped before the end of {migration.file}; the next run begins it again.") from None


async def _apply_outside(migration: Migration, url: str, name: str) -> None:
    async with await connect(url, application_name=name) as another:
        if index := migration.concurrent_index:
            await concurrent_index.build(another, index, migration.up)
        else:
            for statement in split(migration.up):
                await another.execute(statement)


async def _read_applied(connection: Connection) -> set[str]:
    """The versions that were applied, under the lock; the first time, the table that holds them is made."""
    tables = await find_own_tables(connection)
    applied = await list_applied(connection, tables)
    if MIGRATIONS_TABLE not in {table.name for table in tables}:
        await connection.execute(_CREATE_MIGRATIONS_TABLE)
        await connection.execute(_GRANT_MIGRATIONS_TABLE)
        for version in sorted(applied):
            insert = (Queries.load().insert_migration, {"version": version})
            await execute(connection, insert, seconds=QUERY_SECONDS)
    return applied


async def _check_result(connection: Connection, migrations: list[Migration]) -> None:
    """Look at what stands now: the table of the migrations may say what is no longer so."""
    made = {table for migration in migrations for table in migration.tables} & TABLES.keys()
    lost = made - {table.name for table in await find_own_tables(connection)}
    if lost:
        raise MigrationError(
            f"Every migration was applied, but these tables are gone: {', '.join(sorted(lost))}. Restore them from a"
            " backup; `reset` makes them anew and drops the rest."
        )
    queries = Queries.load()
    statements = list_wrong_functions(queries), list_wrong_triggers(queries)
    functions, triggers = (
        [row[0] for row in rows] for rows in await execute(connection, *statements, seconds=QUERY_SECONDS)
    )
    found = []
    if functions:
        found.append(
            f"these functions are gone, or others stand in their place: {', '.join(functions)}."
            f" {mend_functions(functions)}"
        )
    if triggers:
        found.append(
            f"these triggers are gone, switched off or others: {', '.join(triggers)}. {mend_triggers(triggers)}"
        )
    if found:
        raise MigrationError(f"Every migration was applied, but {' And '.join(found)}")


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Say what failed, why, and what to do."""
    try:
        yield
    except psycopg.Error as error:
        raise MigrationError(f"{what}: {_reason(error)}") from error
    except DatabaseUnavailable as error:
        raise MigrationError(f"{what}: {meaning_of(error)}.") from error


def _reason(error: psycopg.Error) -> str:
    message = f"{error.diag.message_primary or 'the connection was lost'} ({error.sqlstate or 'no SQLSTATE'})."
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"{message} Run it as the tables' owner, or: GRANT USAGE, CREATE ON SCHEMA ... TO this user;"
    if isinstance(error, psycopg.errors.DuplicateTable | psycopg.errors.DuplicateFunction):
        return f"{message} It is another program's: {OWN_SCHEMA}"
    if isinstance(error, psycopg.errors.DuplicateObject):
        # A table has a type of its name, and so has a type or a domain.
        return f"{message} It is another program's type or domain, and stands in the way of a table: {OWN_SCHEMA}"
    if isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled):
        return f"{message} The tables are in use; run it again."
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return f"{message} Point DATABASE_URL at the primary, or free disk space."
    return message
