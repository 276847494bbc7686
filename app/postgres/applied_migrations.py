"""What was applied to a database, and which tables are ours by that."""

from datetime import datetime
from typing import NamedTuple

from app.postgres.migration_files import read_migrations
from app.postgres.pipeline import Connection, execute
from app.postgres.queries import Queries
from app.postgres.schema import MIGRATIONS_TABLE, FoundTable, find_tables, read_tables

QUERY_SECONDS = 10.0

# Until 2026-11-27 dbmate applied the files, and wrote their versions there, perhaps beside those of other programs.
# They count where the tables stand that their files make.
_DBMATE_VERSIONS = ("0001", "0002", "0003")
_HAS_DBMATE_TABLE = b"SELECT to_regclass('schema_migrations') IS NOT NULL"
_LIST_DBMATE_VERSIONS = b"SELECT version::TEXT FROM schema_migrations WHERE version::TEXT = ANY(%(versions)s)"

OWN_SCHEMA = (
    "Give this service a database or a schema of its own: CREATE SCHEMA chat; and in the address"
    " options=-csearch_path%3Dchat, or through a pooler ALTER ROLE ... SET search_path = chat;"
)


class MigrationState(NamedTuple):
    """A file of sql/migrations; the time is None where dbmate has applied it, or nothing has."""

    file: str
    is_applied: bool
    applied_at: datetime | None


class MigrationError(Exception):
    """The schema could not be brought up to date; the text says what to do."""


async def list_applied(connection: Connection, tables: list[FoundTable]) -> set[str]:
    """The versions in our own table or, before there was one, in dbmate's."""
    names = {table.name for table in tables if table.is_here and table.is_ours}
    if MIGRATIONS_TABLE in names:
        queries = Queries.load()
        (rows,) = await execute(connection, (queries.list_migrations, {}), seconds=QUERY_SECONDS)
        return {version for (version,) in rows}
    cursor = await connection.execute(_HAS_DBMATE_TABLE)
    if "provisioning_attempts" not in names or await cursor.fetchone() != (True,):
        return set()
    cursor = await connection.execute(_LIST_DBMATE_VERSIONS, {"versions": list(_DBMATE_VERSIONS)})
    listed = {version for (version,) in await cursor.fetchall()}
    return {one.version for one in read_migrations() if one.version in listed and one.tables <= names}


async def list_states(connection: Connection) -> list[MigrationState]:
    """Every file in its order, and behind them what a newer release has applied."""
    tables = await find_own_tables(connection)
    times: dict[str, datetime | None] = dict.fromkeys(await list_applied(connection, tables))
    if MIGRATIONS_TABLE in {table.name for table in tables}:
        queries = Queries.load()
        (rows,) = await execute(connection, (queries.list_migration_times, {}), seconds=QUERY_SECONDS)
        times |= dict(rows)
    files = {one.version: one.file for one in read_migrations()}
    return [
        MigrationState(files.get(version, f"{version}, of a newer release"), version in times, times.get(version))
        for version in sorted(files.keys() | times.keys())
    ]


async def find_own_tables(connection: Connection) -> list[FoundTable]:
    """Our tables, all in the schema in which new ones are made; MigrationError if another's table is in the way.

    A table is ours if a migration that was applied has made it: its columns alone may be any chat program's.
    """
    (rows,) = await execute(connection, find_tables(Queries.load()), seconds=QUERY_SECONDS)
    tables = read_tables(rows)
    last = max(await list_applied(connection, tables), default="")
    made = {MIGRATIONS_TABLE}.union(*(one.tables for one in read_migrations() if one.version <= last))
    for table in tables:
        if table.is_ours and not table.is_here:
            raise MigrationError(
                f"{table.name} stands in the schema {table.schema}, and the search path puts another schema before it,"
                " in which new tables would be made. Let search_path name the one that you mean first."
            )
        if table.is_here and not (table.is_ours and table.name in made):
            raise MigrationError(
                f"The schema {table.schema} has a table {table.name} that no migration of ours has made. If another"
                f" program made it: {OWN_SCHEMA} If it was copied or restored, restore {MIGRATIONS_TABLE} as well."
            )
    return [table for table in tables if table.is_here]
