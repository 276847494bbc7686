"""Delete a session: its messages and its row in one transaction, and only then its thread at Backboard.

In between, a row in deleted_threads remembers the thread, so a deletion that died there is finished by the next one.
"""

from uuid import UUID

from app.backboard.client import Backboard
from app.backboard.slots import DeletionSlots
from app.deadline import Deadline
from app.errors import NotFound, UserDeleted
from app.postgres.pipeline import Rows
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import Transaction

# A session of 100,000 messages takes about a second.
DELETE_SECONDS = 4.0


class DeleteSession:
    """Like a user's deletion, a session's may wait for a lock, so it does that on the provisioning pool."""

    def __init__(
        self, *, queries: Queries, provisioning_pool: Pool, slots: DeletionSlots, backboard: Backboard
    ) -> None:
        self._queries = queries
        self._provisioning_pool = provisioning_pool
        self._slots = slots
        self._backboard = backboard

    async def delete(self, session_id: UUID, owner_id: str | None, deadline: Deadline) -> None:
        """Delete a session at both ends, or finish a deletion that was begun.

        Raises NotFound, UserDeleted, or Unavailable when it could not be finished; the session is deleted by then.
        """
        thread_id = await self._delete_rows(session_id, owner_id, deadline)
        if thread_id is None:
            return
        async with self._slots.deletion_slot(deadline):
            await self._backboard.delete_thread(thread_id, deadline)
        forget = (self._queries.delete_deleted_thread, {"session_id": session_id})
        await self._provisioning_pool.execute(forget, deadline=deadline)

    async def _delete_rows(self, session_id: UUID, owner_id: str | None, deadline: Deadline) -> str | None:
        """Delete the rows; returns the thread that is to be deleted, which a row remembers from here on.

        None where Backboard has lost it already, with the user's assistant.
        """
        session, reachable = {"session_id": session_id}, {"session_id": session_id, "owner_id": owner_id}
        async with self._provisioning_pool.connection(deadline.left(2.0)) as connection:
            transaction = Transaction(connection, self._queries, deadline)
            locked, begun = await transaction.begin(
                (self._queries.lock_session, reachable), (self._queries.find_deleted_thread, reachable)
            )
            thread_id = _read_thread_id(locked or begun)
            if locked:
                await transaction.commit(
                    (self._queries.delete_messages, session),
                    (self._queries.delete_session, session),
                    seconds=DELETE_SECONDS,
                )
            return thread_id


def _read_thread_id(rows: Rows) -> str | None:
    if not rows:
        raise NotFound
    thread_id: str | None
    thread_id, is_deleted = rows[0]
    if is_deleted:
        raise UserDeleted
    return thread_id
