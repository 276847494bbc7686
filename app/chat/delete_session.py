"""Delete a session: its messages and its row in one transaction, and only then its thread at Backboard.

In between, a row in deleted_threads remembers the thread, so a deletion that died there is finished by the next one.
"""

import asyncio
from uuid import UUID

from app import log
from app.backboard.client import Backboard
from app.deadline import Deadline
from app.errors import NotFound, ProvisioningSaturated, UserDeleted
from app.postgres.pipeline import BEGIN, COMMIT, Connection, Rows, execute, set_local_timeouts
from app.postgres.pool import Pool
from app.postgres.queries import Queries

# The lock's own limit is the server's (3 s); the socket is given a little longer to bring its refusal.
LOCK_SECONDS = 3.6
# A session of 100,000 messages takes about a second.
STATEMENT_SECONDS = 4.0
TURN_SECONDS = 2.0


class DeleteSession:
    """Like a user's deletion, a session's may wait for a lock, so it does that on a provisioning place.

    At most as many at a time ask Backboard as there are places.
    """

    def __init__(self, *, queries: Queries, provisioning_pool: Pool, backboard: Backboard) -> None:
        self._queries = queries
        self._provisioning_pool = provisioning_pool
        self._backboard = backboard
        self._turns = asyncio.Semaphore(provisioning_pool.size)

    async def delete(self, session_id: UUID, owner_id: str | None, deadline: Deadline) -> None:
        """Delete a session at both ends, or finish a deletion that was begun.

        Raises NotFound, UserDeleted, or Unavailable when it could not be finished; the session is gone by then.
        """
        with log.timed("db_ms"):
            async with self._provisioning_pool.connection(deadline.left(2.0)) as connection:
                thread_id = await self._delete_rows(connection, session_id, owner_id, deadline)
        try:
            await asyncio.wait_for(self._turns.acquire(), deadline.left(TURN_SECONDS))
        except TimeoutError:
            raise ProvisioningSaturated from None
        try:
            self._backboard.breaker.acquire()
            await self._backboard.delete_thread(thread_id, deadline)
        finally:
            self._turns.release()
        forget = (self._queries.delete_deleted_thread, {"session_id": session_id})
        with log.timed("db_ms"):
            async with self._provisioning_pool.connection(deadline.left(2.0)) as connection:
                await execute(connection, forget, seconds=deadline.left(STATEMENT_SECONDS))

    async def _delete_rows(
        self, connection: Connection, session_id: UUID, owner_id: str | None, deadline: Deadline
    ) -> str:
        """The thread that is to be deleted; from here on, a row remembers it."""
        which, whose = {"session_id": session_id}, {"session_id": session_id, "owner_id": owner_id}
        lock = (
            BEGIN,
            set_local_timeouts(self._queries.set_local_timeouts),
            (self._queries.lock_session, whose),
            (self._queries.find_deleted_thread, whose),
        )
        *_, locked, begun = await execute(connection, *lock, seconds=deadline.left(LOCK_SECONDS))
        thread_id = _reachable(locked or begun)
        if locked:
            delete = ((self._queries.delete_messages, which), (self._queries.delete_session, which), COMMIT)
            await execute(connection, *delete, seconds=deadline.left(STATEMENT_SECONDS))
        return thread_id


def _reachable(rows: Rows) -> str:
    if not rows:
        raise NotFound
    thread_id, gone = rows[0]
    if gone:
        raise UserDeleted
    return str(thread_id)
