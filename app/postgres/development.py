"""What is done only to a database to develop on: `reset`, and `migrate --down`."""

import psycopg
from psycopg import sql

from app.postgres.applied_migrations import QUERY_SECONDS, MigrationError, find_own_tables, list_applied
from app.postgres.migration_files import Migration, read_migrations, split
from app.postgres.migrations import NO_IDLE_LIMIT, connect, explained, migrate, migration_lock
from app.postgres.pipeline import Connection, execute
from app.postgres.queries import Queries
from app.postgres.schema import FoundTable

_DROP_LIMIT = b"SET LOCAL lock_timeout = '5s'"


async def reset(url: str) -> None:
    """Drop every table of the service, and migrate again; on a MigrationError nothing was dropped."""
    with explained("The database cannot be used"):
        async with await connect(url) as connection, migration_lock(connection):
            if found := await find_own_tables(connection):
                await _drop(connection, found)
    await migrate(url)


async def _drop(connection: Connection, tables: list[FoundTable]) -> None:
    """Drop what our migrations made; another's function of the same name and arguments would have stopped them."""
    applied = await list_applied(connection, tables)
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    schema = sql.Identifier(tables[0].schema)
    made = [migration for migration in read_migrations() if migration.version in applied]
    try:
        await connection.execute(_DROP_LIMIT)
        # RESTRICT: objects of others that depend on our tables stay.
        await connection.execute(sql.SQL("DROP TABLE {} RESTRICT").format(names))
        # After the tables, since triggers depend on some of them.
        for function in (one for migration in made for one in migration.dropped_functions):
            await connection.execute(f"DROP FUNCTION IF EXISTS {schema.as_string()}.{function} RESTRICT".encode())
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError("The tables are in use; stop the server and try again.") from error
    except psycopg.errors.DependentObjectsStillExist as error:
        raise MigrationError("Other objects depend on the tables; drop those first.") from error
    except psycopg.Error as error:
        raise MigrationError(f"Postgres refuses to drop the tables ({error.sqlstate}).") from error


async def roll_back(url: str) -> str | None:
    """Take back the migration that was applied last, and return its file; None if none was applied."""
    with explained("The database cannot be used"):
        async with await connect(url) as connection, migration_lock(connection):
            applied = await list_applied(connection, await find_own_tables(connection))
            if not applied:
                return None
            last = max(applied)
            migration = next((one for one in read_migrations() if one.version == last), None)
            if migration is None:
                raise MigrationError(f"A newer release has applied {last}: take it back with that release's files.")
            kept = "nothing was changed" if migration.in_transaction else "it may be repeated"
            with explained(f"{migration.file} could not be taken back, and {kept}"):
                await _take_back(connection, migration, url)
    return migration.file


async def _take_back(connection: Connection, migration: Migration, url: str) -> None:
    if migration.in_transaction:
        await connection.execute(_DROP_LIMIT)
        await connection.execute(migration.down)
    else:
        # As when it was applied: the snapshot of the last statement would be waited for.
        await connection.execute(NO_IDLE_LIMIT)
        async with await connect(url) as another:
            for statement in split(migration.down):
                await another.execute(statement)
    queries = Queries.load()
    await execute(connection, (queries.delete_migration, {"version": migration.version}), seconds=QUERY_SECONDS)
