"""An index that is built beside writers, outside a transaction; a build that was broken off is begun again.

CREATE INDEX CONCURRENTLY that fails leaves an index marked invalid, which every write maintains and no query uses.
"""

import asyncio
from time import monotonic

from psycopg import sql

from app.postgres.applied_migrations import QUERY_SECONDS, MigrationError
from app.postgres.migration_files import ConcurrentIndex
from app.postgres.pipeline import Connection, execute
from app.postgres.queries import Queries

WAIT_SECONDS = 300.0
POLL_SECONDS = 0.25


async def build(connection: Connection, index: ConcurrentIndex, statement: bytes) -> None:
    """Build it on a connection outside a transaction, unless it stands already; MigrationError if it does not then.

    The caller sees to it that no other migration does the same.
    """
    if await _is_valid(connection, index) is False:
        await connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index.name)))
    await connection.execute(statement)
    if not await _is_valid(connection, index):
        raise MigrationError(
            f"{index.name} is not a valid index of the table {index.table}: see what else has that name, and drop it."
        )


async def _is_valid(connection: Connection, index: ConcurrentIndex) -> bool | None:
    """Whether it can be used, once no process builds an index of the table; None if there is none of its name.

    The server goes on with a build whose client was killed. That is polled for: a statement that waits for it holds a
    snapshot, for which the build waits in turn.
    """
    give_up_at = monotonic() + WAIT_SECONDS
    queries = Queries.load()
    find = (queries.get_index_state, {"name": index.name, "table_name": index.table})
    while True:
        (rows,) = await execute(connection, find, seconds=QUERY_SECONDS)
        is_valid, is_built_now = rows[0]
        if not is_built_now:
            return None if is_valid is None else bool(is_valid)
        if monotonic() > give_up_at:
            raise MigrationError(
                f"An index of {index.table} has been built for minutes: run it again when pg_stat_progress_create_index"
                " is empty, or end that process."
            )
        await asyncio.sleep(POLL_SECONDS)
