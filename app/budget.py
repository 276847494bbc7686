"""How many database connections the service can come to, and whether the database has that many."""

import asyncio

from app import logs
from app.database import LOOKUP_CONNECTIONS, Pool, send
from app.errors import DatabaseUnavailable
from app.queries import Queries

CHECK_SECONDS = 5.0
AGAIN_SECONDS = 30.0


def connections_needed(*, processes: int, places: int, dynos: int = 1) -> int:
    """How many connections the service can come to, its restart and our own commands included.

    Twice, because a restart overlaps; 5 for a release, a backfill and psql; 3 that Postgres keeps for its owner.
    """
    return 2 * dynos * processes * (places + LOOKUP_CONNECTIONS) + 5 + 3


async def warn_if_too_small(pool: Pool, queries: Queries, *, processes: int, places: int) -> None:
    """Say once, when the database can be asked, that one machine like this may need more than it allows."""
    while True:
        try:
            async with pool.connection(CHECK_SECONDS) as connection:
                (rows,) = await send(connection, (queries.get_server_facts, {}), seconds=CHECK_SECONDS)
            break
        except DatabaseUnavailable:
            await asyncio.sleep(AGAIN_SECONDS)
    _, _, allowed = rows[0]
    needed = connections_needed(processes=processes, places=places)
    if needed > allowed:
        formula = (
            f"2 x {processes} (WEB_CONCURRENCY) x ({places} (PROVISIONING_CONCURRENCY) + {LOOKUP_CONNECTIONS}) + 5 + 3"
        )
        logs.warn("too_few_connections", needed=needed, allowed=allowed, reason=formula)
