"""Give a user another assistant where Backboard has lost the one of the row: a person deleted it at the dashboard.

    1  record the attempt     committed by itself, before anything is sent
    2  BEGIN                  lock the user's sessions and the user; then the row and the tombstone
    3  look                   Backboard has none of the row's id, and has another user's: the key is the right one
    4  by name                adopt the oldest match that no row has; none: create the assistant
    5  UPDATE                 the row, and the sessions: their threads went with the assistant; clear the attempt
    6  COMMIT

As in app.users.provisioning, anything wrong rolls back and leaves the attempt row, and nothing is ever deleted. It
always looks by name: the attempt row of the user's own sign-up is gone, so `tries` cannot say that no create was sent.
"""

from typing import NamedTuple

from app import log
from app.backboard.client import Backboard
from app.backboard.models import Assistant
from app.backboard.slots import ProvisioningSlots
from app.deadline import Deadline
from app.errors import AssistantMissing, ConstraintViolated, IdTaken, UserDeleted
from app.postgres.queries import Queries
from app.postgres.transaction import Transaction
from app.users.models import User, UserState
from app.users.provisioning import ASSISTANT_ID_KEY
from app.users.repository import UserRepository

# How many other users' assistants are asked for at most, half of them on each side of the user. One that is there
# proves that the key belongs to this database: with another account's, every assistant would seem to be lost.
NEIGHBOURS = 3


class Replaced(NamedTuple):
    """The user's row as it is now; not `is_new` where another process was faster, or nothing was lost."""

    user: User
    is_new: bool


class AssistantReplacement:
    """Replaces lost assistants, each in a provisioning slot, as sign-ups make theirs."""

    def __init__(self, *, queries: Queries, slots: ProvisioningSlots, backboard: Backboard) -> None:
        self._queries = queries
        self._users = UserRepository(queries)
        self._slots = slots
        self._backboard = backboard

    async def replace(self, clerk_id: str, lost_id: str, deadline: Deadline) -> Replaced:
        """Replace the assistant `lost_id` of the user's row, if Backboard has surely lost it.

        Raises UserDeleted; AssistantMissing where the key may be another account's; or Unavailable: the next call
        carries on.
        """
        async with self._slots.provisioning_slot(deadline) as connection:
            transaction = Transaction(connection, self._queries, deadline)
            _, _, states = await transaction.begin(
                (self._queries.lock_sessions, {"clerk_id": clerk_id}),
                self._users.lock(clerk_id),
                self._users.get_state(clerk_id),
                committed_first=self._users.record_attempt(clerk_id),
            )
            state = UserState.from_row(states[0])
            user = state.user
            if state.is_deleted or user is None:
                await transaction.commit(self._users.delete_first_attempt(clerk_id))
                raise UserDeleted
            if user.assistant_id != lost_id or not await self._is_lost(transaction, user, deadline):
                await transaction.commit(*self._users.clear_attempt(clerk_id))
                return Replaced(user, is_new=False)
            assistant = await self._adopt_or_create(transaction, clerk_id, deadline)
            return await self._update_and_commit(transaction, user, assistant)

    async def _is_lost(self, transaction: Transaction, user: User, deadline: Deadline) -> bool:
        """Step 3; AssistantMissing where Backboard has none of the assistants that it is asked for."""
        if await self._backboard.get_assistant(user.assistant_id, deadline) is not None:
            return False
        query = (self._queries.list_neighbours, {"user_id": user.id, "count": NEIGHBOURS})
        (neighbours,) = await transaction.execute(query)
        for (assistant_id,) in neighbours:
            if await self._backboard.get_assistant(assistant_id, deadline) is not None:
                return True
        if neighbours:
            log.error("assistant_missing", clerk_id=user.clerk_id, assistant_id=user.assistant_id)
            await transaction.commit(*self._users.clear_attempt(user.clerk_id))
            raise AssistantMissing
        return True

    async def _adopt_or_create(self, transaction: Transaction, clerk_id: str, deadline: Deadline) -> Assistant:
        """Step 4. A lookup that failed is an error, never "none"."""
        named = await self._backboard.find_assistants(clerk_id, deadline)
        query = (self._queries.find_assistant_owners, {"assistant_ids": [assistant.id for assistant in named]})
        (owners,) = await transaction.execute(query)
        taken = {assistant_id for assistant_id, _ in owners}
        for assistant in named:
            if assistant.id not in taken:
                log.bind(adopted=True)
                return assistant
        return await self._backboard.create_assistant(clerk_id, deadline)

    async def _update_and_commit(self, transaction: Transaction, user: User, assistant: Assistant) -> Replaced:
        """Steps 5 and 6, in one round trip; after a lost COMMIT the next call finds what came of it."""
        ids = {"clerk_id": user.clerk_id, "lost_id": user.assistant_id, "assistant_id": assistant.id}
        try:
            updated, *_ = await transaction.commit(
                (self._queries.update_assistant, ids),
                (self._queries.clear_threads, {"clerk_id": user.clerk_id}),
                *self._users.clear_attempt(user.clerk_id),
            )
        except ConstraintViolated as error:
            if error.constraint != ASSISTANT_ID_KEY:
                raise
            log.error("backboard_id_twice", clerk_id=user.clerk_id, assistant_id=assistant.id)
            raise IdTaken from error
        log.warning("assistant_replaced", clerk_id=user.clerk_id, lost_id=user.assistant_id, assistant_id=assistant.id)
        return Replaced(User(*updated[0]), is_new=True)
