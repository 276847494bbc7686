"""Long messages and large batches: a turn of their own, so that short messages and everything else pass them by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import log
from app.deadline import Deadline
from app.errors import PoolSaturated
from app.postgres.pipeline import Rows, Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import run_transaction

# How long one of them may wait for those before it.
TURN_SECONDS = 6.0
# A batch of 1 MiB takes 0.1 to 1 s where messages are indexed by pg_trgm.
STATEMENT_MS = 4000
LOCK_MS = 1500
STATEMENT_SECONDS = STATEMENT_MS / 1000 + 0.5


class BulkConnection:
    """Runs one transaction at a time in this process, on a connection of the provisioning pool.

    A deletion of many messages runs there too: what takes long may wait behind a sign-up, and nothing short is kept.
    """

    def __init__(self, provisioning_pool: Pool, queries: Queries) -> None:
        self._pool = provisioning_pool
        self._queries = queries
        self._turn = asyncio.Semaphore(1)

    async def run(self, *statements: Statement, deadline: Deadline) -> list[Rows]:
        """The rows of each statement; committed when this returns."""
        async with self._turn_of_own(deadline), self._pool.connection(deadline.left(STATEMENT_SECONDS)) as connection:
            seconds = deadline.left(STATEMENT_SECONDS)
            with log.timed("db_ms"):
                return await run_transaction(
                    connection,
                    self._queries,
                    *statements,
                    seconds=seconds,
                    lock_ms=LOCK_MS,
                    statement_ms=STATEMENT_MS,
                )

    @asynccontextmanager
    async def _turn_of_own(self, deadline: Deadline) -> AsyncIterator[None]:
        try:
            with log.timed("db_ms"):
                async with asyncio.timeout(deadline.left(TURN_SECONDS)):
                    await self._turn.acquire()
        except TimeoutError:
            raise PoolSaturated from None
        try:
            yield
        finally:
            self._turn.release()
