"""The chat's statements outside the batches, on a free connection of the query pool, each bounded."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

from app import log
from app.deadline import Deadline
from app.errors import ConstraintViolated, DatabaseConflict, DatabaseUnavailable, Fault, InvalidRequest, PoolSaturated
from app.postgres.pipeline import Rows, Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import run_transaction

STATEMENT_SECONDS = 2.0
# What the server allows a search or a count; statements that wait for the connection wait as long.
LONG_MS = 1000
LOCK_MS = 800
TURN_SECONDS = 3.0

# Checks of the schema that a document fails when members are added to what is stored, and the place of the members.
_FULL = {"messages_metadata_check": "#/metadata", "preferences_document_check": "#"}


class Statements:
    """Runs them; raises DatabaseUnavailable or a class below it, or InvalidRequest for a document that is full."""

    def __init__(self, query_pool: Pool, queries: Queries) -> None:
        self._query_pool = query_pool
        self._queries = queries
        self._long_statement = asyncio.Semaphore(1)
        self._turns: weakref.WeakValueDictionary[UUID, asyncio.Semaphore] = weakref.WeakValueDictionary()
        self._is_failing = False

    async def send(self, *statements: Statement, deadline: Deadline) -> list[Rows]:
        """Run statements without a transaction or, after a failure, in one with waits that the server bounds.

        The server does not notice that we gave up waiting for a lock. The bounds cost short statements a quarter of
        their time, so they pay for them only after a failure: an outage leaves one such wait behind and not many.
        """
        if self._is_failing:
            return await self.send_bounded(*statements, deadline=deadline)
        with self.outcome():
            try:
                return await self._query_pool.execute(*statements, deadline=deadline, seconds=STATEMENT_SECONDS)
            except DatabaseConflict:
                # The database's own isolation level is stricter than the one that the transaction sets.
                pass
        return await self.send_bounded(*statements, deadline=deadline)

    async def send_bounded(self, *statements: Statement, deadline: Deadline) -> list[Rows]:
        with self.outcome():
            async with self._query_pool.connection(deadline.left(STATEMENT_SECONDS)) as connection:
                seconds = deadline.left(STATEMENT_SECONDS)
                limits: dict[str, Any] = {"seconds": seconds, "lock_ms": LOCK_MS, "statement_ms": LONG_MS}
                with log.timed("db_ms"):
                    return await run_transaction(connection, self._queries, *statements, **limits)

    async def send_long(self, statement: Statement, deadline: Deadline, *, user_id: UUID) -> list[Rows]:
        """Run a search or a count about a user: one at a time in this process, and one of each user in the queue.

        So a user with many slow searches delays the others by one of them. It reads no other user's messages, however
        the planner weighs that.
        """
        turn = self._turns.setdefault(user_id, asyncio.Semaphore(1))
        async with _acquired(turn, deadline), _acquired(self._long_statement, deadline):
            _, *rows = await self.send_bounded((self._queries.set_local_plans, {}), statement, deadline=deadline)
            return rows

    @contextmanager
    def outcome(self) -> Iterator[None]:
        """Remember whether the database fails, and translate what a caller's members can violate."""
        try:
            yield
        except ConstraintViolated as error:
            if error.constraint in _FULL:
                raise InvalidRequest("document_full", Fault(pointer=_FULL[error.constraint])) from error
            raise
        except DatabaseUnavailable:
            self._is_failing = True
            raise
        self._is_failing = False


@asynccontextmanager
async def _acquired(turn: asyncio.Semaphore, deadline: Deadline) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(turn.acquire(), deadline.left(TURN_SECONDS))
    except TimeoutError:
        raise PoolSaturated from None
    try:
        yield
    finally:
        turn.release()
