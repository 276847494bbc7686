"""Make sure that a user has one assistant and one row: the path of webhooks, ensure-user, backfill and reconcile.

    0  a row, a tombstone?    one batched lookup                              -> exists | gone
    1  record the attempt     committed by itself, before anything is sent
    2  BEGIN                  lock the user; then row, tombstone and tries again; with 1 in one round trip
    3  tries > 1              ask Backboard by name, adopt the oldest match
       else, or none          create the assistant
    4  INSERT                 and clear the attempt
    5  COMMIT

The transaction stays open while Backboard answers, on purpose: its lock dies with the process, at once and
without leases. Anything wrong from 2 to 5 rolls back and answers 503; the attempt row stays, and the next try adopts
what this one may have left. Nothing is ever deleted to make up for a failure. tests/users/model holds the exhaustive
search that shows why each of these rules is there.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from app import log
from app.backboard.client import Backboard
from app.backboard.models import Assistant
from app.backboard.slots import ProvisioningSlots
from app.clerk.users import Profile
from app.deadline import Deadline
from app.errors import AttemptMissing, ConstraintViolated, DatabaseUnavailable, IdTaken
from app.postgres.batcher import Batcher
from app.postgres.kept_connection import KeptConnection
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import SHORT_LOCK_MS, Transaction
from app.users.models import User, UserState
from app.users.repository import UserRepository
from app.users.single_flight import SingleFlight

Outcome = Literal["created", "updated", "exists", "stale", "gone"]

ASSISTANT_ID_KEY = "users_assistant_id_key"


class Ensured(NamedTuple):
    """What became of a user; `user` is None only when they are deleted."""

    outcome: Outcome
    user: User | None


class ProfileUpdate(NamedTuple):
    profile: Profile
    deadline: Deadline


class Provisioning:
    """In one process, concurrent callers for one user share one try.

    `query_pool` serves everything short, `slots` bounds how many users are provisioned at a time; neither waits for
    the other.
    """

    def __init__(
        self,
        *,
        queries: Queries,
        query_pool: Pool,
        reads: KeptConnection,
        writes: KeptConnection,
        slots: ProvisioningSlots,
        backboard: Backboard,
    ) -> None:
        self._queries = queries
        self._users = UserRepository(queries)
        self._query_pool = query_pool
        self._slots = slots
        self._backboard = backboard
        self._reads = reads
        self._writes = writes
        self._states = Batcher(self._load_states, self._load_state)
        self._updates = Batcher(self._update_batch, self._update_alone, key=lambda update: update.profile.clerk_id)
        self._single_flight: SingleFlight[Ensured] = SingleFlight()

    async def get_state(self, clerk_id: str) -> UserState:
        """Step 0: the row and the tombstone of a user, as the batched lookup sees them."""
        return await self._states.submit(clerk_id)

    async def ensure(self, profile: Profile, deadline: Deadline, *, state: UserState | None = None) -> Ensured:
        """Make sure that the user of `profile` has a row and an assistant, or is known to be deleted.

        `state` is what `get_state` just said, where the caller has asked already. Raises Unavailable or a class below
        it; then nothing is lost, and the next call carries on.
        """
        clerk_id = profile.clerk_id
        state = state or await self.get_state(clerk_id)
        if state.is_deleted or state.user is not None:
            return await self._apply(profile, state, deadline)
        is_joining = self._single_flight.is_running(clerk_id)
        ensured = await self._single_flight.run(clerk_id, lambda: self._provision(profile, deadline))
        if ensured.outcome == "created" and not is_joining:
            return ensured
        # The row stands, but with another caller's profile: our own is compared with it.
        return await self._apply(profile, UserState(ensured.user, is_deleted=ensured.user is None), deadline)

    async def close(self, seconds: float) -> None:
        """Wait for the tries under way, at most `seconds`."""
        await self._single_flight.close(seconds)

    async def _apply(self, profile: Profile, state: UserState, deadline: Deadline) -> Ensured:
        """Answer for a user with a row or a tombstone, storing the profile where it is newer."""
        user = state.user
        if state.is_deleted or user is None:
            return Ensured("gone", None)
        if profile.updated_at is None:
            return Ensured("exists", user)
        if profile.updated_at < user.clerk_updated_at:
            return Ensured("stale", user)
        if profile.updated_at == user.clerk_updated_at and not user.differs_from(profile):
            return Ensured("exists", user)
        return await self._updates.submit(ProfileUpdate(profile, deadline))

    async def _load_states(self, clerk_ids: Sequence[str]) -> list[UserState]:
        rows: dict[str, list[tuple[Any, ...]]] = {clerk_id: [] for clerk_id in clerk_ids}
        for row in await self._reads.read(self._users.find(list(rows))):
            rows[row[1]].append(row)
        return [UserState.from_rows(rows[clerk_id]) for clerk_id in clerk_ids]

    async def _load_state(self, clerk_id: str) -> UserState:
        return (await self._load_states([clerk_id]))[0]

    async def _update_batch(self, updates: Sequence[ProfileUpdate]) -> list[Ensured | None]:
        rows = await self._writes.write(self._users.update([update.profile for update in updates]))
        updated = {user.clerk_id: Ensured("updated", user) for user in (User(*row) for row in rows)}
        return [updated.get(update.profile.clerk_id) for update in updates]

    async def _update_alone(self, update: ProfileUpdate) -> Ensured:
        """Update a row that is held by another transaction, or say why it was not updated."""
        clerk_id = update.profile.clerk_id
        _, updated, states = await self._query_pool.run_transaction(
            self._queries,
            self._users.lock_row(clerk_id),
            self._users.update([update.profile]),
            self._users.get_state(clerk_id),
            deadline=update.deadline,
            # The one connection for everything short is taken while this waits.
            lock_ms=SHORT_LOCK_MS,
        )
        if updated:
            return Ensured("updated", User(*updated[0]))
        # Another process was faster, with the same profile, a newer one, or the deletion.
        state = UserState.from_row(states[0])
        if state.is_deleted or state.user is None:
            return Ensured("gone", None)
        return Ensured("exists" if state.user.holds(update.profile) else "stale", state.user)

    async def _provision(self, profile: Profile, deadline: Deadline) -> Ensured:
        """Steps 1 to 5, on one connection of the provisioning pool."""
        async with self._slots.provisioning_slot(deadline) as connection:
            # Anything wrong on the way is rolled back when the slot is left; the attempt row stays.
            transaction = Transaction(connection, self._queries, deadline)
            return await self._attempt(transaction, profile, deadline)

    async def _attempt(self, transaction: Transaction, profile: Profile, deadline: Deadline) -> Ensured:
        state = await self._record_attempt_and_lock(transaction, profile.clerk_id)
        if state.is_deleted or state.user is not None:
            await self._finish_without_insert(transaction, profile.clerk_id, state)
            return Ensured("gone", None) if state.is_deleted else Ensured("exists", state.user)
        assistant = await self._adopt_or_create(profile.clerk_id, state.tries, deadline)
        return await self._insert_and_commit(transaction, profile, assistant, deadline)

    async def _record_attempt_and_lock(self, transaction: Transaction, clerk_id: str) -> UserState:
        """Steps 1 and 2, in one round trip: what a kill or a lost answer would erase is recorded before it happens."""
        _, states = await transaction.begin(
            self._users.lock(clerk_id),
            self._users.get_state(clerk_id),
            committed_first=self._users.record_attempt(clerk_id),
        )
        return UserState.from_row(states[0])

    async def _adopt_or_create(self, clerk_id: str, tries: int | None, deadline: Deadline) -> Assistant:
        """Step 3. Only `tries` as read under the lock can say that no create was sent before."""
        if tries is None:
            # Reconcile deleted the attempt row; without it, a create could be forgotten.
            raise AttemptMissing
        log.bind(attempt=tries)
        if tries > 1:
            assistants = await self._backboard.find_assistants(clerk_id, deadline)
            if assistants:
                log.bind(adopted=True)
                return assistants[0]
        return await self._backboard.create_assistant(clerk_id, deadline)

    async def _insert_and_commit(
        self, transaction: Transaction, profile: Profile, assistant: Assistant, deadline: Deadline
    ) -> Ensured:
        """Steps 4 and 5, in one round trip."""
        try:
            inserted, *_ = await transaction.commit(
                self._users.insert(profile, assistant.id), *self._users.clear_attempt(profile.clerk_id)
            )
        except DatabaseUnavailable as error:
            await transaction.rollback()
            return await self._after_lost_commit(profile, assistant, error, deadline)
        return Ensured("created", User(*inserted[0]))

    async def _after_lost_commit(
        self, profile: Profile, assistant: Assistant, error: DatabaseUnavailable, deadline: Deadline
    ) -> Ensured:
        """Find out under the same lock what a failed step 4 or 5 left.

        COMMIT holds the lock until it is decided, so the next holder of the lock sees the decision. A row there is
        the truth, also another try's; otherwise nothing is deleted, and the next try adopts. It is ours only if it
        holds our profile as well: another try may have adopted the same assistant meanwhile, for an older event.
        """
        clerk_id = profile.clerk_id
        if isinstance(error, ConstraintViolated) and error.constraint == ASSISTANT_ID_KEY:
            log.error("backboard_id_twice", clerk_id=clerk_id, assistant_id=assistant.id)
            raise IdTaken from error
        statements = self._users.lock(clerk_id), self._users.get_state(clerk_id)
        _, states = await self._query_pool.run_transaction(self._queries, *statements, deadline=deadline)
        state = UserState.from_row(states[0])
        if state.user is None or state.is_deleted:
            raise error
        is_ours = state.user.assistant_id == assistant.id and state.user.holds(profile)
        return Ensured("created" if is_ours else "exists", state.user)

    async def _finish_without_insert(self, transaction: Transaction, clerk_id: str, state: UserState) -> None:
        """Another process was faster: clear our attempt and release the lock.

        Beside a tombstone an attempt row may be that of a deletion which is not finished, so it is not marked.
        """
        if state.is_deleted:
            await transaction.commit(self._users.delete_first_attempt(clerk_id))
        else:
            await transaction.commit(*self._users.clear_attempt(clerk_id))
