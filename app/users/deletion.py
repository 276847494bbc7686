"""`user.deleted`: the tombstone is committed first, and only then is the assistant deleted at Backboard.

In between, a row in provisioning_attempts remembers that the assistant is still to be deleted, so a death there is
found by the redelivery, or by reconcile. Everything here may be repeated.
"""

from typing import Literal

from app.backboard.client import Backboard
from app.backboard.slots import DeletionSlots
from app.deadline import Deadline
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import Transaction
from app.users.models import UserState
from app.users.repository import UserRepository


class UserDeletion:
    """Deletes users. Like a try, a deletion may wait for the user's lock, so it does that on the provisioning pool."""

    def __init__(
        self, *, queries: Queries, provisioning_pool: Pool, slots: DeletionSlots, backboard: Backboard
    ) -> None:
        self._queries = queries
        self._users = UserRepository(queries)
        self._provisioning_pool = provisioning_pool
        self._slots = slots
        self._backboard = backboard

    async def delete(self, clerk_id: str, deadline: Deadline) -> Literal["deleted", "gone"]:
        """Delete a user here and at Backboard; `gone` when nothing was left to do.

        Raises Unavailable or a class below it when it could not be finished; the tombstone may stand by then, and
        the next call goes on.
        """
        before = await self._mark_deleted(clerk_id, deadline)
        if before.is_deleted and (before.tries is None or before.is_resolved):
            return "gone"
        if before.user is not None or before.tries is not None:
            async with self._slots.deletion_slot(deadline):
                await self._delete_assistants(clerk_id, before, deadline)
            await self._finish(clerk_id, before, deadline)
        return "deleted"

    async def _mark_deleted(self, clerk_id: str, deadline: Deadline) -> UserState:
        """Write the tombstone, unless a finished one stands; returns what stood before, as read under the lock."""
        async with self._provisioning_pool.connection(deadline.left(2.0)) as connection:
            transaction = Transaction(connection, self._queries, deadline)
            _, states = await transaction.begin(self._users.lock(clerk_id), self._users.get_state(clerk_id))
            before = UserState.from_row(states[0])
            if not before.is_deleted or (before.tries is not None and not before.is_resolved):
                await transaction.commit(*self._users.mark_deleted(clerk_id))
            return before

    async def _delete_assistants(self, clerk_id: str, before: UserState, deadline: Deadline) -> None:
        """Delete the row's assistant and, where a try was recorded, every other one of the user's name.

        The tombstone stands, so none of them can be adopted any more.
        """
        if before.user is not None:
            await self._backboard.delete_assistant(before.user.assistant_id, deadline)
        if before.tries is not None:
            for assistant_id in await self._find_unowned(clerk_id, deadline):
                await self._backboard.delete_assistant(assistant_id, deadline)

    async def _find_unowned(self, clerk_id: str, deadline: Deadline) -> list[str]:
        """The assistants of the user's name, without those in another user's row, which may have been renamed."""
        named = [assistant.id for assistant in await self._backboard.find_assistants(clerk_id, deadline)]
        if not named:
            return []
        query = (self._queries.find_assistant_owners, {"assistant_ids": named})
        (rows,) = await self._provisioning_pool.execute(query, deadline=deadline)
        others = {assistant_id for assistant_id, owner_id in rows if owner_id != clerk_id}
        return [assistant_id for assistant_id in named if assistant_id not in others]

    async def _finish(self, clerk_id: str, before: UserState, deadline: Deadline) -> None:
        """Clear the attempt row that this deletion wrote; an older one waits for reconcile.

        A create that an earlier try has sent may still arrive at Backboard.
        """
        resolve = self._users.resolve_attempt(clerk_id)
        statements = self._users.clear_attempt(clerk_id) if before.tries is None else (resolve,)
        await self._provisioning_pool.run_transaction(self._queries, *statements, deadline=deadline)
