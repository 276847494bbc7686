"""The batched reader: many callers, one statement on the wire.

While one query is under way, callers queue; when it returns, the next one goes out for all of them. There is
no timer and nothing to tune: alone, a caller's query leaves at once; under load, the database sees one
statement for dozens of callers. It knows no table.
"""

import asyncio
from collections.abc import Callable, Sequence

from app.errors import DatabaseSlow, DatabaseUnavailable
from app.postgres.pipeline import Connection, Rows, Statement
from app.postgres.pool import Pool, is_closed_by_server
from app.postgres.queries import Queries
from app.postgres.reader import Reader
from app.postgres.transaction import run_transaction

# From the moment a statement is wanted to its rows; a restarted server is met once more inside it.
READ_SECONDS = 2.0
LOCK_MS = 1500


# Makes the one statement that asks for all keys.
Batch = Callable[[Sequence[str]], Statement]


class BatchLoader:
    """Asks for rows by key, on a connection that it keeps."""

    def __init__(self, pool: Pool, batch: Batch, *, key_column: int, queries: Queries) -> None:
        self._pool = pool
        self._batch = batch
        self._key_column = key_column
        self._queries = queries
        self._connection: Connection | None = None
        self._reader: Reader | None = None
        self._waiting: list[tuple[str, asyncio.Future[Rows]]] = []
        self._running: asyncio.Task[None] | None = None

    async def find(self, key: str) -> Rows:
        """All rows of one key; DatabaseUnavailable when they could not be read."""
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def close(self, *, broken: bool = False) -> None:
        """Give the connection back."""
        connection, reader, self._connection, self._reader = self._connection, self._reader, None, None
        if reader is not None:
            reader.close()
        if connection is not None:
            await self._pool.release(connection, broken=broken)

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                await self._answer(asked)
        finally:
            self._running = None

    async def _answer(self, asked: list[tuple[str, asyncio.Future[Rows]]]) -> None:
        found: dict[str, Rows] = {key: [] for key, _ in asked}
        try:
            rows = await self._read(list(found))
        except Exception as error:  # noqa: BLE001  # Whatever it is, it is the callers' to handle, each of them.
            # Whoever queued meanwhile would only wait as long again for the same.
            queued, self._waiting = self._waiting, []
            for _, answer in (*asked, *queued):
                if not answer.done():  # Its caller may have left.
                    answer.set_exception(error)
            return
        for row in rows:
            found[row[self._key_column]].append(row)
        for key, answer in asked:
            if not answer.done():
                answer.set_result(found[key])

    async def _read(self, keys: list[str]) -> Rows:
        """Read on the kept connection, and once more on a fresh one: a read may be repeated.

        Every read of an outage is the first on its connection, so only that one bears the cost of limits that end a
        wait at the server too. It does not notice that we hung up, and would soon have no connection left.
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
