"""A statement's rows in pages, for more of them than memory holds."""

from collections.abc import AsyncIterator

from app.postgres.pipeline import Connection, Rows, Statement, execute
from app.postgres.pool import Pool

# The first rows of a sorted pass come when all are sorted.
SECONDS = 600.0
PAGE_SIZE = 200
_BEGIN: Statement = (b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", {})
_NO_LIMITS: tuple[Statement, ...] = (
    (b"SET LOCAL statement_timeout = 0", {}),
    (b"SET LOCAL idle_in_transaction_session_timeout = 0", {}),
)
_FETCH: Statement = (b"FETCH %d FROM streamed_rows" % PAGE_SIZE, {})


async def read_pages(pool: Pool, select: Statement) -> AsyncIterator[Rows]:
    """The rows of a SELECT in pages of PAGE_SIZE, all of one moment, on one connection; a pooler may stand between."""
    async with pool.connection() as connection:
        await _declare(connection, select)
        while rows := (await execute(connection, _FETCH, seconds=SECONDS))[0]:
            yield rows


async def _declare(connection: Connection, select: Statement) -> None:
    text, values = select
    declare = b"DECLARE streamed_rows NO SCROLL CURSOR FOR " + text
    await execute(connection, _BEGIN, *_NO_LIMITS, (declare, values), seconds=SECONDS)
