"""What keeps the history small and true: old rows are deleted, and failures that healed in another way are marked.

Every process tries, and the one that gets a lock does it, so no process is special.
"""

import asyncio

from app.errors import DatabaseUnavailable
from app.postgres.pipeline import Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import run_transaction

RESOLVE_SECONDS = 30.0
# Old rows are deleted at every so manieth time.
DELETE_EVERY = 20
CHUNK = 1000
# Between two chunks, so that other callers of the pool come in between.
PAUSE_SECONDS = 0.1
OUTCOME_DAYS = ACTION_DAYS = 90
PROCESS_DAYS = 1
CONNECTION_SECONDS = 1.0
STATEMENT_MS, LOCK_MS = 2000, 500
SECONDS = 2.5


class Upkeep:
    """Deletes deliveries after `retention_days`; 0 means that there are none."""

    def __init__(self, *, queries: Queries, pool: Pool, retention_days: int) -> None:
        self._queries = queries
        self._pool = pool
        self._retention_days = retention_days
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in a task of its own."""
        if self._retention_days > 0:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop at once; another process goes on, or this one's successor."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(RESOLVE_SECONDS)
            try:
                await self.resolve()
                if turn % DELETE_EVERY == 0:
                    await self.delete_old()
            except DatabaseUnavailable:
                # The next turn comes, and the answers tell that the database is down.
                continue
            turn += 1

    async def resolve(self) -> int:
        """Mark failures of users who have a row or a tombstone by now; returns how many there were."""
        return await self._run_alone((self._queries.resolve_deliveries, {}))

    async def delete_old(self) -> None:
        """Delete what is older than it may become, deliveries in chunks."""
        queries = self._queries
        chunk = {"days": self._retention_days, "chunk": CHUNK}
        while await self._run_alone((queries.delete_old_deliveries, chunk)) == CHUNK:  # noqa: ASYNC110  # A pause.
            await asyncio.sleep(PAUSE_SECONDS)
        await self._run_alone((queries.delete_old_outcomes, {"days": OUTCOME_DAYS}))
        await self._run_alone((queries.delete_old_actions, {"days": ACTION_DAYS}))
        await self._run_alone((queries.delete_old_processes, {"days": PROCESS_DAYS}))

    async def _run_alone(self, statement: Statement) -> int:
        """Run a statement that changes nothing while another process holds the lock; returns its number of rows."""
        async with self._pool.connection(CONNECTION_SECONDS) as connection:
            (rows,) = await run_transaction(
                connection, self._queries, statement, seconds=SECONDS, lock_ms=LOCK_MS, statement_ms=STATEMENT_MS
            )
        return len(rows)
