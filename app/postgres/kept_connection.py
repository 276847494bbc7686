"""A connection that is kept, for the short statements of many callers; statements take turns on it."""

import asyncio

from app.errors import ConstraintViolated, DatabaseSlow, DatabaseUnavailable, InvalidRequest
from app.postgres.pipeline import Connection, Rows, Statement
from app.postgres.pool import Pool, is_closed_by_server
from app.postgres.queries import Queries
from app.postgres.reader import Reader
from app.postgres.transaction import run_transaction

# For a statement, a second try on a fresh connection included.
STATEMENT_SECONDS = 2.0
LOCK_MS = 1500


class KeptConnection:
    """Runs single statements, each a transaction of its own, on one connection of a pool."""

    def __init__(self, pool: Pool, queries: Queries) -> None:
        self._pool = pool
        self._queries = queries
        self._connection: Connection | None = None
        self._reader: Reader | None = None
        self._turn = asyncio.Lock()

    async def read(self, statement: Statement) -> Rows:
        """The rows of a statement that only reads; it is repeated once, on a fresh connection."""
        async with self._turn:
            return await self._run(statement, is_repeatable=True)

    async def write(self, statement: Statement) -> Rows:
        """The rows of a statement; it is committed when this returns, and may be if this raises."""
        async with self._turn:
            return await self._run(statement, is_repeatable=False)

    async def close(self) -> None:
        """Wait for the statement under way, and release the connection."""
        async with self._turn:
            await self._release(broken=False)

    async def _run(self, statement: Statement, *, is_repeatable: bool) -> Rows:
        """The first statement on a connection runs in a transaction with waits that the server bounds.

        In an outage every statement is a first one. Without the bounds the server would go on waiting for a lock after
        we closed the connection, and would soon have no connection left.
        """
        give_up_at = asyncio.get_running_loop().time() + STATEMENT_SECONDS
        if self._connection and self._reader and not is_closed_by_server(self._connection):
            try:
                return await self._reader.read(statement, seconds=STATEMENT_SECONDS)
            except (ConstraintViolated, InvalidRequest):
                # The statement's own fault: the connection is good, and a repetition would meet the same.
                raise
            except asyncio.CancelledError:
                # The statement is still under way.
                await self._release(broken=True)
                raise
            except DatabaseUnavailable:
                if not is_repeatable:
                    await self._release(broken=True)
                    raise
        await self._release(broken=True)
        left = give_up_at - asyncio.get_running_loop().time()
        if left <= 0:
            raise DatabaseSlow
        return await self._run_first(statement, give_up_at, left)

    async def _run_first(self, statement: Statement, give_up_at: float, left: float) -> Rows:
        self._connection = await self._pool.acquire(left)
        seconds = max(0.1, give_up_at - asyncio.get_running_loop().time())
        try:
            (rows,) = await run_transaction(
                self._connection, self._queries, statement, seconds=seconds, lock_ms=LOCK_MS
            )
        except BaseException:
            await self._release(broken=True)
            raise
        self._reader = Reader(self._connection)
        return rows

    async def _release(self, *, broken: bool) -> None:
        connection, reader, self._connection, self._reader = self._connection, self._reader, None, None
        if reader is not None:
            reader.close()
        if connection is not None:
            await self._pool.release(connection, broken=broken)
