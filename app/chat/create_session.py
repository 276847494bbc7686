"""Create a session: one Backboard thread and one row, as provisioning makes one assistant and one row.

    0  the Idempotency-Key    is there a session of that key?                 -> that session
    1  record the attempt     committed by itself, before anything is sent
    2  BEGIN                  lock the user's sessions; then tombstone, key and other attempts; with 1 in one round trip
    3  another attempt        adopt a thread of its time that belongs to no session and, asked for alone, is empty
       else, or none          create the thread
    4  INSERT                 and clear the attempt
    5  COMMIT

An assistant that Backboard has lost is replaced (app.users.replacement), and the session is tried once more.

A thread that a lost answer left behind goes to the next session of its user (app.chat.threads). So each try has an
attempt row of its own, and a try that finds another's under the lock looks before it creates. Anything wrong rolls
back and leaves the row.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, NoReturn
from uuid import UUID, uuid4

from app import log
from app.backboard.client import Backboard
from app.backboard.models import Thread
from app.backboard.slots import ProvisioningSlots
from app.chat.models import Session, SessionRequest
from app.chat.repository import SessionRepository, read_session
from app.chat.scenarios import SCENARIO_KEY, not_active
from app.chat.threads import ThreadChoice, Threads
from app.deadline import Deadline
from app.errors import (
    AssistantMissing,
    ConstraintViolated,
    DatabaseUnavailable,
    Fault,
    IdTaken,
    InvalidRequest,
    UserDeleted,
)
from app.postgres.pipeline import Rows, Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import Transaction
from app.users.models import UserState
from app.users.replacement import AssistantReplacement
from app.users.repository import UserRepository

# After this long, a request that a try has sent to Backboard has arrived or never will.
IN_FLIGHT_SECONDS = 600


class UnderLock(NamedTuple):
    """What was read under the lock; `attempted_since` is when the oldest attempt of another try was recorded."""

    user: UserState
    existing: Rows
    attempted_since: datetime | None


class CreateSession:
    """Creates sessions, each in a provisioning slot, since Backboard answers while its transaction is open."""

    def __init__(
        self,
        *,
        queries: Queries,
        query_pool: Pool,
        slots: ProvisioningSlots,
        backboard: Backboard,
        replacement: AssistantReplacement,
    ) -> None:
        self._queries = queries
        self._users = UserRepository(queries)
        self._sessions = SessionRepository(queries)
        self._query_pool = query_pool
        self._slots = slots
        self._threads = Threads(queries, backboard)
        self._replacement = replacement

    async def create(self, request: SessionRequest, deadline: Deadline) -> Session:
        """The session of a request, created now or before.

        Raises UserDeleted, InvalidRequest for a key that came with another request before and for a scenario that is
        retired or gone, or Unavailable; then nothing is lost, and the next call carries on.
        """
        if request.idempotency_key is not None:
            (existing,) = await self._query_pool.execute(self._find_by_key(request), deadline=deadline)
            if existing:
                return _read_existing(request, existing)
        if request.scenario is not None and not request.scenario.is_active:
            raise not_active()
        try:
            return await self._try(request, deadline)
        except AssistantMissing:
            # The slot is free again, so that no request needs two.
            user = request.user
            replaced = await self._replacement.replace(user.clerk_id, user.assistant_id, deadline)
            if replaced.user.assistant_id == user.assistant_id:
                # The look has found it.
                raise
            return await self._try(replace(request, user=replaced.user), deadline)

    async def _try(self, request: SessionRequest, deadline: Deadline) -> Session:
        async with self._slots.provisioning_slot(deadline) as connection:
            # Anything wrong on the way is rolled back when the slot is left; the attempt row stays.
            transaction = Transaction(connection, self._queries, deadline)
            return await self._attempt(transaction, request, deadline)

    async def _attempt(self, transaction: Transaction, request: SessionRequest, deadline: Deadline) -> Session:
        session_id = uuid4()
        locked = await self._record_attempt_and_lock(transaction, request, session_id)
        if locked.user.is_deleted or locked.existing:
            # Nothing was sent, so nothing can be left at Backboard.
            await transaction.commit(self._delete_attempt(session_id, sent=False))
            if not locked.existing:
                raise UserDeleted
            return _read_existing(request, locked.existing)
        try:
            # As read under the lock: the assistant may have been replaced since the user was looked up.
            assistant_id = (locked.user.user or request.user).assistant_id
            choice = await self._threads.adopt_or_create(transaction, assistant_id, locked.attempted_since, deadline)
        except AssistantMissing:
            # Nothing can be left below an assistant that is not there.
            await transaction.commit(self._delete_attempt(session_id, sent=False))
            raise
        return await self._insert_and_commit(transaction, request, session_id, choice, deadline)

    async def _record_attempt_and_lock(
        self, transaction: Transaction, request: SessionRequest, session_id: UUID
    ) -> UnderLock:
        """Steps 1 and 2, in one round trip."""
        clerk_id = request.user.clerk_id
        own = {"session_id": session_id, "clerk_id": clerk_id}
        _, states, existing, attempts = await transaction.begin(
            (self._queries.lock_sessions, {"clerk_id": clerk_id}),
            self._users.get_state(clerk_id),
            self._find_by_key(request),
            (self._queries.get_oldest_session_attempt, own),
            committed_first=(self._queries.insert_session_attempt, own),
        )
        return UnderLock(UserState.from_row(states[0]), existing, attempts[0][0])

    async def _insert_and_commit(
        self,
        transaction: Transaction,
        request: SessionRequest,
        session_id: UUID,
        choice: ThreadChoice,
        deadline: Deadline,
    ) -> Session:
        """Steps 4 and 5, in one round trip."""
        try:
            _, _, inserted, *_ = await transaction.commit(*self._insert(request, session_id, choice))
        except DatabaseUnavailable as error:
            await transaction.rollback()
            if isinstance(error, ConstraintViolated) and error.constraint == SCENARIO_KEY:
                # Deleted meanwhile. The thread is left to the user's next session.
                raise not_active() from error
            return await self._after_lost_commit(request, session_id, error, deadline)
        if not inserted:
            await self._raise_not_inserted(transaction, request, session_id, choice.thread)
        return read_session(inserted)

    def _insert(self, request: SessionRequest, session_id: UUID, choice: ThreadChoice) -> Iterable[Statement]:
        """The statements of step 4; the third reads the session back."""
        values = {
            "session_id": session_id,
            "user_id": request.user.id,
            "thread_id": choice.thread.id,
            "title": request.title,
            "idempotency_key": request.idempotency_key,
            "scenario_slug": request.scenario_slug,
        }
        yield self._queries.insert_session, values
        yield self._delete_attempt(session_id, sent=True)
        yield self._sessions.find(session_id, None)
        if choice.is_only_unused:
            old = {"clerk_id": request.user.clerk_id, "min_age": IN_FLIGHT_SECONDS}
            yield self._queries.delete_old_session_attempts, old

    async def _raise_not_inserted(
        self, transaction: Transaction, request: SessionRequest, session_id: UUID, thread: Thread
    ) -> NoReturn:
        """No row was made: the user was deleted meanwhile, and the thread with them; or the thread is taken."""
        clerk_id = request.user.clerk_id
        (states,) = await transaction.execute(self._users.get_state(clerk_id))
        if UserState.from_row(states[0]).is_deleted:
            await transaction.execute(self._delete_attempt(session_id, sent=False))
            raise UserDeleted
        log.error("backboard_id_twice", clerk_id=clerk_id, thread_id=thread.id)
        raise IdTaken

    async def _after_lost_commit(
        self, request: SessionRequest, session_id: UUID, error: DatabaseUnavailable, deadline: Deadline
    ) -> Session:
        """COMMIT holds the lock until it is decided, so the next holder of the lock sees the decision."""
        lock = (self._queries.lock_sessions, {"clerk_id": request.user.clerk_id})
        find = self._sessions.find(session_id, None)
        _, rows = await self._query_pool.run_transaction(self._queries, lock, find, deadline=deadline)
        if not rows:
            raise error
        return read_session(rows)

    def _find_by_key(self, request: SessionRequest) -> Statement:
        return self._sessions.find_by_key(request.user.id, request.idempotency_key)

    def _delete_attempt(self, session_id: UUID, *, sent: bool) -> Statement:
        """Delete our attempt row, with `sent` only if the session was inserted."""
        return self._queries.delete_session_attempt, {"session_id": session_id, "sent": sent}


def _read_existing(request: SessionRequest, rows: Rows) -> Session:
    """The session of the key, if it was asked for with the same title and scenario."""
    session = read_session(rows)
    if (session.title, session.scenario_slug) != (request.title, request.scenario_slug):
        raise InvalidRequest("idempotency_key_reused", Fault(parameter="Idempotency-Key"))
    return session
