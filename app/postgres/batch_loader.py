"""Rows by key for many concurrent callers, in one statement at a time (a dataloader).

While a statement is under way, callers queue; when it returns, the next one asks for all their keys. There is no timer
and nothing to tune: alone, a caller's statement leaves at once; under load, one statement serves dozens of callers.
"""

import asyncio
from collections.abc import Callable, Sequence

from app.errors import DatabaseSlow, DatabaseUnavailable
from app.postgres.pipeline import Connection, Rows, Statement
from app.postgres.pool import Pool, is_closed_by_server
from app.postgres.queries import Queries
from app.postgres.reader import Reader
from app.postgres.transaction import run_transaction

# For a batch as a whole, a second try on a fresh connection included.
READ_SECONDS = 2.0
LOCK_MS = 1500

# Makes the one statement that asks for all keys.
Batch = Callable[[Sequence[str]], Statement]
Waiter = asyncio.Future[Rows]


class BatchLoader:
    """Reads on a connection that it keeps."""

    def __init__(self, pool: Pool, batch: Batch, *, key_column: int, queries: Queries) -> None:
        self._pool = pool
        self._batch = batch
        self._key_column = key_column
        self._queries = queries
        self._connection: Connection | None = None
        self._reader: Reader | None = None
        self._queue: list[tuple[str, Waiter]] = []
        self._running: asyncio.Task[None] | None = None

    async def find(self, key: str) -> Rows:
        """All rows of one key; DatabaseUnavailable when they could not be read."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._queue.append((key, waiter))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiter

    async def close(self, *, broken: bool = False) -> None:
        """Release the connection."""
        connection, reader, self._connection, self._reader = self._connection, self._reader, None, None
        if reader is not None:
            reader.close()
        if connection is not None:
            await self._pool.release(connection, broken=broken)

    async def _run(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                await self._serve(batch)
        finally:
            self._running = None

    async def _serve(self, batch: list[tuple[str, Waiter]]) -> None:
        found: dict[str, Rows] = {key: [] for key, _ in batch}
        try:
            rows = await self._read(list(found))
        except Exception as error:  # noqa: BLE001  # Every caller gets it, and handles it.
            # Fail the callers queued behind this batch too: they would wait as long for the same error.
            queued, self._queue = self._queue, []
            for _, waiter in (*batch, *queued):
                if not waiter.done():  # Its caller may have left.
                    waiter.set_exception(error)
            return
        for row in rows:
            found[row[self._key_column]].append(row)
        for key, waiter in batch:
            if not waiter.done():
                waiter.set_result(found[key])

    async def _read(self, keys: list[str]) -> Rows:
        """Read on the kept connection, and once more on a fresh one: a read may be repeated.

        The first read on a connection runs in a transaction whose waits the server bounds; the others save that cost.
        In an outage every read is a first one. Without the bounds the server would go on waiting for a lock after we
        closed the connection, and would soon have no connection left.
        """
        give_up_at = asyncio.get_running_loop().time() + READ_SECONDS
        if self._connection and self._reader and not is_closed_by_server(self._connection):
            try:
                return await self._reader.read(self._batch(keys), seconds=READ_SECONDS)
            except DatabaseUnavailable:
                pass
        await self.close(broken=True)
        left = give_up_at - asyncio.get_running_loop().time()
        if left <= 0:
            raise DatabaseSlow
        self._connection = await self._pool.acquire(left)
        left = max(0.1, give_up_at - asyncio.get_running_loop().time())
        try:
            (rows,) = await run_transaction(
                self._connection, self._queries, self._batch(keys), seconds=left, lock_ms=LOCK_MS
            )
        except DatabaseUnavailable:
            await self.close(broken=True)
            raise
        self._reader = Reader(self._connection)
        return rows
