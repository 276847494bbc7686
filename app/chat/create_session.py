"""Open a session: one Backboard thread and one row, as provisioning makes one assistant and one row.

    0  the Idempotency-Key    does its session stand?                         -> that session
    1  note the try           committed by itself, before anything is sent
    2  BEGIN                  lock the user's sessions; then tombstone, key and the notes of other tries again
    3  another try is noted   adopt a thread of its time that is empty and belongs to no session
       else, or none          create the thread
    4  INSERT                 and take back the note
    5  COMMIT

Threads have no name, and Backboard knows no idempotency key. But an empty thread is as good as any other: a thread
that a lost answer left behind goes to the next session of its user. So each try has a note of its own, and whoever
finds another's note under the lock looks before it creates. Anything wrong rolls back and leaves the note.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn
from uuid import UUID, uuid4

from app import log
from app.backboard.client import Backboard
from app.backboard.models import Thread
from app.chat.models import Session
from app.chat.repository import Sessions, session_in
from app.deadline import Deadline
from app.errors import (
    DatabaseUnavailable,
    IdTaken,
    InvalidRequest,
    PoolSaturated,
    ProvisioningSaturated,
    UserDeleted,
)
from app.postgres.pipeline import (
    BEGIN,
    COMMIT,
    Connection,
    Rows,
    Statement,
    execute,
    rollback,
    set_local_timeouts,
    transaction,
)
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.users.models import User
from app.users.repository import Users, facts

STATEMENT_SECONDS = 3.0
# The lock's own limit is the server's (3 s); the socket is given a little longer to bring its refusal.
LOCK_SECONDS = 3.6
# How far Backboard's clock and the database's may be apart.
SKEW = timedelta(minutes=1)
# After this long, whatever a try has sent to Backboard has arrived or never will.
ON_ITS_WAY_SECONDS = 600


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What the chat backend asks for; under one key of a user, always the same session."""

    user: User
    title: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class ThreadChoice:
    """The thread of a new session, and whether a listing has just shown that no other is left over."""

    thread: Thread
    is_last: bool = False


class CreateSession:
    """Opens sessions, each on a provisioning place, since Backboard answers while its transaction is open."""

    def __init__(self, *, queries: Queries, query_pool: Pool, provisioning_pool: Pool, backboard: Backboard) -> None:
        self._queries = queries
        self._users = Users(queries)
        self._sessions = Sessions(queries)
        self._query_pool = query_pool
        self._provisioning_pool = provisioning_pool
        self._backboard = backboard

    async def open(self, wish: SessionRequest, deadline: Deadline) -> Session:
        """The session of a wish, opened now or before.

        Raises UserDeleted, InvalidRequest for a key that named another wish, or Unavailable; then nothing is lost, and
        the next call carries on.
        """
        if wish.idempotency_key is not None:
            (rows,) = await self._look((self._find_by_key(wish),), deadline)
            if rows:
                return _same(wish, rows)
        self._backboard.breaker.raise_if_open()
        try:
            connection = await self._provisioning_pool.acquire(deadline.left(2.0))
        except PoolSaturated as error:
            raise ProvisioningSaturated from error
        try:
            # Asked again, since much can have happened to those ahead of us.
            self._backboard.breaker.acquire()
            return await self._try(connection, wish, deadline)
        finally:
            # Anything wrong on the way ends in a rollback here; the note of step 1 stays.
            await self._provisioning_pool.release(connection)

    async def _try(self, connection: Connection, wish: SessionRequest, deadline: Deadline) -> Session:
        session_id = uuid4()
        note = (self._queries.insert_session_attempt, {"session_id": session_id, "clerk_id": wish.user.clerk_id})
        with log.timed("db_ms"):
            await execute(connection, note, seconds=deadline.left(STATEMENT_SECONDS))
            known, standing, doubt = await self._begin_and_lock(connection, wish, session_id, deadline)
        if facts(known[0]).gone or standing:
            await self._leave(connection, session_id, deadline)
            if not standing:
                raise UserDeleted
            return _same(wish, standing)
        found = await self._adopt_or_create(connection, wish.user.assistant_id, doubt[0][0], deadline)
        return await self._insert_and_commit(connection, wish, session_id, found, deadline)

    async def _begin_and_lock(
        self, connection: Connection, wish: SessionRequest, session_id: UUID, deadline: Deadline
    ) -> tuple[Rows, Rows, Rows]:
        """Step 2, in one round trip; the lock and what is read under it are different statements."""
        clerk_id = wish.user.clerk_id
        statements = (
            BEGIN,
            set_local_timeouts(self._queries.set_local_timeouts),
            (self._queries.lock_sessions, {"clerk_id": clerk_id}),
            self._users.get_user_state(clerk_id),
            self._find_by_key(wish),
            (self._queries.get_session_doubt, {"clerk_id": clerk_id, "session_id": session_id}),
        )
        *_, known, standing, doubt = await execute(connection, *statements, seconds=deadline.left(LOCK_SECONDS))
        return known, standing, doubt

    async def _adopt_or_create(
        self, connection: Connection, assistant_id: str, doubt_since: datetime | None, deadline: Deadline
    ) -> ThreadChoice:
        """Step 3. A listing that failed is an error, never "none"."""
        if doubt_since is None:
            return ThreadChoice(await self._backboard.create_thread(assistant_id, deadline))
        left_over = await self._find_left_over(connection, assistant_id, doubt_since - SKEW, deadline)
        if left_over:
            log.bind(adopted=True)
            return ThreadChoice(left_over[0], is_last=len(left_over) == 1)
        return ThreadChoice(await self._backboard.create_thread(assistant_id, deadline), is_last=True)

    async def _find_left_over(
        self, connection: Connection, assistant_id: str, since: datetime, deadline: Deadline
    ) -> list[Thread]:
        """What lost tries may have left and nobody has or is about to delete, the oldest first."""
        threads = await self._backboard.list_threads(assistant_id, deadline)
        empty = [thread for thread in threads if thread.is_empty and thread.created_at >= since]
        query = (self._queries.find_taken_threads, {"thread_ids": [thread.id for thread in empty]})
        (rows,) = await execute(connection, query, seconds=deadline.left(STATEMENT_SECONDS))
        taken = {thread_id for (thread_id,) in rows}
        return [thread for thread in empty if thread.id not in taken]

    async def _insert_and_commit(
        self, connection: Connection, wish: SessionRequest, session_id: UUID, found: ThreadChoice, deadline: Deadline
    ) -> Session:
        """Steps 4 and 5, in one round trip."""
        values = {
            "session_id": session_id,
            "user_id": wish.user.id,
            "thread_id": found.thread.id,
            "title": wish.title,
            "idempotency_key": wish.idempotency_key,
        }
        old = {"clerk_id": wish.user.clerk_id, "min_age": ON_ITS_WAY_SECONDS}
        statements = (
            (self._queries.insert_session, values),
            self._take_back(session_id, sent=True),
            *([(self._queries.delete_old_session_attempts, old)] if found.is_last else []),
            self._sessions.find(session_id, None),
            COMMIT,
        )
        try:
            with log.timed("db_ms"):
                *_, rows, _ = await execute(connection, *statements, seconds=deadline.left(STATEMENT_SECONDS))
        except DatabaseUnavailable as error:
            await rollback(connection)
            return await self._after_lost_commit(wish, session_id, error, deadline)
        if not rows:
            await self._refuse(connection, wish, session_id, found, deadline)
        return session_in(rows)

    async def _refuse(
        self, connection: Connection, wish: SessionRequest, session_id: UUID, found: ThreadChoice, deadline: Deadline
    ) -> NoReturn:
        """No row was made: the user was deleted meanwhile, and the thread goes with the assistant; or it is taken."""
        clerk_id = wish.user.clerk_id
        (known,) = await execute(
            connection, self._users.get_user_state(clerk_id), seconds=deadline.left(STATEMENT_SECONDS)
        )
        if facts(known[0]).gone:
            forget = self._take_back(session_id, sent=False)
            await execute(connection, forget, seconds=deadline.left(STATEMENT_SECONDS))
            raise UserDeleted
        log.error("backboard_id_twice", clerk_id=clerk_id, thread_id=found.thread.id)
        raise IdTaken

    async def _after_lost_commit(
        self, wish: SessionRequest, session_id: UUID, error: DatabaseUnavailable, deadline: Deadline
    ) -> Session:
        """COMMIT holds the lock until it is decided, so whoever has the lock sees the decision."""
        lock = (self._queries.lock_sessions, {"clerk_id": wish.user.clerk_id})
        statements = transaction(self._queries.set_local_timeouts, lock, self._sessions.find(session_id, None))
        *_, rows, _ = await self._look(statements, deadline)
        if not rows:
            raise error
        return session_in(rows)

    async def _leave(self, connection: Connection, session_id: UUID, deadline: Deadline) -> None:
        """Nothing was sent, so nothing is in doubt."""
        with log.timed("db_ms"):
            take_back = self._take_back(session_id, sent=False)
            await execute(connection, take_back, COMMIT, seconds=deadline.left(STATEMENT_SECONDS))

    async def _look(self, statements: Sequence[Statement], deadline: Deadline) -> list[Rows]:
        with log.timed("db_ms"):
            async with self._query_pool.connection(deadline.left(2.0)) as connection:
                return await execute(connection, *statements, seconds=deadline.left(LOCK_SECONDS))

    def _find_by_key(self, wish: SessionRequest) -> Statement:
        return self._sessions.find_by_key(wish.user.id, wish.idempotency_key)

    def _take_back(self, session_id: UUID, *, sent: bool) -> Statement:
        return self._queries.delete_session_attempt, {"session_id": session_id, "sent": sent}


def _same(wish: SessionRequest, rows: Rows) -> Session:
    """The session that stands under the key, if it was wished for in the same words."""
    session = session_in(rows)
    if session.title != wish.title:
        raise InvalidRequest("idempotency_key")
    return session
