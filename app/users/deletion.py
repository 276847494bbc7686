"""A user's end: the tombstone is committed first, and only then is the assistant deleted at Backboard.

In between, a note in provisioning_attempts remembers that the assistant is still to be deleted, so a death there is
found by the redelivery, or by reconcile. Everything here may be repeated.
"""

import asyncio
from typing import Literal

from app import log
from app.backboard.client import Backboard
from app.deadline import Deadline
from app.errors import ProvisioningSaturated
from app.postgres.pipeline import BEGIN, COMMIT, Connection, execute, set_local_timeouts
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.users.models import UserState
from app.users.repository import Users, facts

# The lock's own limit is the server's (3 s); the socket is given a little longer to bring its refusal.
LOCK_SECONDS = 3.6
STATEMENT_SECONDS = 3.0
TURN_SECONDS = 2.0


class UserDeletion:
    """Deletes users. Like a try, a deletion may wait for the user's lock, so it does that on a provisioning place.

    At most as many at a time ask Backboard as there are places.
    """

    def __init__(self, *, queries: Queries, provisioning_pool: Pool, backboard: Backboard) -> None:
        self._queries = queries
        self._users = Users(queries)
        self._provisioning_pool = provisioning_pool
        self._backboard = backboard
        self._turns = asyncio.Semaphore(provisioning_pool.size)

    async def delete(self, clerk_id: str, deadline: Deadline) -> Literal["deleted", "gone"]:
        """Delete a user here and at Backboard; `gone` when nothing was left to do.

        Raises Unavailable or a class below it when it could not be finished; the tombstone may stand by then, and
        the next call goes on.
        """
        with log.timed("db_ms"):
            async with self._provisioning_pool.connection(deadline.left(2.0)) as connection:
                before = await self._lock(connection, clerk_id, deadline)
                if before.gone and (before.tries is None or before.resolved):
                    return "gone"
                await execute(
                    connection, *self._users.mark_deleted(clerk_id), COMMIT, seconds=deadline.left(STATEMENT_SECONDS)
                )
        await self._take_turn(deadline)
        try:
            await self._delete_assistants(clerk_id, before, deadline)
        finally:
            self._turns.release()
        await self._finish(clerk_id, before, deadline)
        return "deleted"

    async def _lock(self, connection: Connection, clerk_id: str, deadline: Deadline) -> UserState:
        """The same lock as a try's: whoever comes second sees what the first has committed."""
        statements = (
            BEGIN,
            set_local_timeouts(self._queries.set_local_timeouts),
            (self._queries.lock_user, {"clerk_id": clerk_id}),
            self._users.get_user_state(clerk_id),
        )
        *_, rows = await execute(connection, *statements, seconds=deadline.left(LOCK_SECONDS))
        return facts(rows[0])

    async def _take_turn(self, deadline: Deadline) -> None:
        try:
            await asyncio.wait_for(self._turns.acquire(), deadline.left(TURN_SECONDS))
        except TimeoutError:
            raise ProvisioningSaturated from None

    async def _delete_assistants(self, clerk_id: str, before: UserState, deadline: Deadline) -> None:
        """The row's own, and, where somebody had noted a try, whatever else bears the user's name.

        The tombstone stands, so nobody adopts one of them any more.
        """
        if before.user is None and before.tries is None:
            return
        self._backboard.breaker.acquire()
        if before.user is not None:
            await self._backboard.delete_assistant(before.user.assistant_id, deadline)
        if before.tries is not None:
            for assistant_id in await self._of_nobody_else(clerk_id, deadline):
                await self._backboard.delete_assistant(assistant_id, deadline)

    async def _of_nobody_else(self, clerk_id: str, deadline: Deadline) -> list[str]:
        """What bears the user's name, without what another user's row holds: somebody may have renamed that."""
        named = [assistant.id for assistant in await self._backboard.find_assistants(clerk_id, deadline)]
        if not named:
            return []
        query = (self._queries.find_assistant_owners, {"assistant_ids": named})
        with log.timed("db_ms"):
            async with self._provisioning_pool.connection(deadline.left(2.0)) as connection:
                (holders,) = await execute(connection, query, seconds=deadline.left(STATEMENT_SECONDS))
        others = {held_id for held_id, holder in holders if holder != clerk_id}
        return [assistant_id for assistant_id in named if assistant_id not in others]

    async def _finish(self, clerk_id: str, before: UserState, deadline: Deadline) -> None:
        """Forget the note that this delivery made, if it is the only one; any other waits for reconcile.

        A create that another try has sent may still arrive at Backboard.
        """
        if before.user is None and before.tries is None:
            return
        values = {"clerk_id": clerk_id}
        forget, resolve = (self._queries.delete_first_attempt, values), (self._queries.resolve_attempt, values)
        settle = (forget, resolve) if before.tries is None else (resolve,)
        with log.timed("db_ms"):
            async with self._provisioning_pool.connection(deadline.left(2.0)) as connection:
                limits = set_local_timeouts(self._queries.set_local_timeouts)
                whole = (BEGIN, limits, *settle, COMMIT)
                await execute(connection, *whole, seconds=deadline.left(STATEMENT_SECONDS))
