"""The chat's memory: everything about sessions that Backboard has no part in, one short statement each.

They share the lookup pool's free connection, so each is bounded; what may take longer, a search for instance, is
bounded by the server as well, and only one of those is under way at a time. Ensure-user's lookups have a connection
that these never take.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from app import log
from app.chat.models import Message, NewMessage, Session, SessionCursor, Stats
from app.chat.repository import Messages, Sessions, listed, session_in
from app.deadline import Deadline
from app.errors import ConstraintViolated, DatabaseUnavailable, InvalidRequest, PoolSaturated
from app.postgres.pipeline import BEGIN, COMMIT, Rows, Statement, execute, set_local_timeouts
from app.postgres.pool import Pool
from app.postgres.queries import Queries

STATEMENT_SECONDS = 2.0
# What a search or a count may take on the server; whoever waits for the connection after it waits as long.
LONG_MS = 1000
LOCK_MS = 800
TURN_SECONDS = 3.0

# Checks of the schema that a caller's document can fail, however short it was written.
_TOO_LARGE = ("messages_metadata_check", "preferences_document_check")


class ChatService:
    """Reads and writes; NotFound and UserDeleted where there is nothing that the caller may reach."""

    def __init__(self, *, queries: Queries, query_pool: Pool) -> None:
        self._queries = queries
        self._sessions = Sessions(queries)
        self._messages = Messages(queries)
        self._query_pool = query_pool
        self._turn = asyncio.Semaphore(1)
        self._is_failing = False

    async def find_session(self, session_id: UUID, owner_id: str | None, deadline: Deadline) -> Session:
        (rows,) = await self._send(self._sessions.find(session_id, owner_id), deadline=deadline)
        return session_in(rows)

    async def list_sessions(
        self, user_id: UUID, text: str | None, after: SessionCursor | None, page_size: int, deadline: Deadline
    ) -> list[Session]:
        """A page of a user's sessions, newest activity first; `text` narrows them down."""
        query = self._sessions.list(user_id, text, after, page_size)
        if text is None:
            (rows,) = await self._send(query, deadline=deadline)
        else:
            rows = await self._send_long(query, deadline)
        return [Session(*row) for row in rows]

    async def update_session(
        self, session_id: UUID, owner_id: str | None, *, title: str | None, status: str | None, deadline: Deadline
    ) -> Session:
        update = self._sessions.update(session_id, owner_id, title=title, status=status)
        _, rows = await self._send(update, self._sessions.find(session_id, owner_id), deadline=deadline)
        return session_in(rows)

    async def append(
        self, session_id: UUID, owner_id: str | None, said: Sequence[NewMessage], deadline: Deadline
    ) -> list[Message]:
        """Add messages to a session, all or nothing, in their order."""
        (rows,) = await self._send(self._messages.insert(session_id, owner_id, said), deadline=deadline)
        if not rows:
            await self.find_session(session_id, owner_id, deadline)
        return [Message(*row) for row in rows]

    async def history(
        self, session_id: UUID, owner_id: str | None, before: int | None, page_size: int, deadline: Deadline
    ) -> tuple[list[Message], bool]:
        """The last messages before a position, the newest first, and whether there are earlier ones."""
        query = self._messages.list(session_id, owner_id, before, page_size)
        (rows,) = await self._send(query, deadline=deadline)
        return listed(rows, page_size)

    async def delete_message(
        self, message_id: UUID, session_id: UUID, owner_id: str | None, deadline: Deadline
    ) -> bool:
        """Whether there was such a message in the session."""
        (rows,) = await self._send(self._messages.delete(message_id, session_id, owner_id), deadline=deadline)
        if not rows:
            await self.find_session(session_id, owner_id, deadline)
        return bool(rows)

    async def stats(self, user_id: UUID, deadline: Deadline) -> Stats:
        rows = await self._send_long((self._queries.get_stats, {"user_id": user_id}), deadline)
        return Stats(*rows[0])

    async def preferences(self, user_id: UUID, deadline: Deadline) -> str:
        """The chat's own settings of a user, as JSON text."""
        (rows,) = await self._send((self._queries.find_preferences, {"user_id": user_id}), deadline=deadline)
        return str(rows[0][0]) if rows else "{}"

    async def set_preferences(self, user_id: UUID, document: str, *, merge: bool, deadline: Deadline) -> str:
        """Replace them, or with `merge` only the members that are named; what stands then."""
        values = {"user_id": user_id, "document": document, "merge": merge}
        (rows,) = await self._send((self._queries.set_preferences, values), deadline=deadline)
        return str(rows[0][0])

    async def _send(self, *statements: Statement, deadline: Deadline, is_long: bool = False) -> list[Rows]:
        bounded = is_long or self._is_failing
        try:
            with log.timed("db_ms"):
                async with self._query_pool.connection(deadline.left(STATEMENT_SECONDS)) as connection:
                    whole = self._bounded(statements) if bounded else statements
                    rows = await execute(connection, *whole, seconds=deadline.left(STATEMENT_SECONDS))
        except ConstraintViolated as error:
            if error.constraint in _TOO_LARGE:
                raise InvalidRequest("too_large") from error
            raise
        except DatabaseUnavailable:
            self._is_failing = True
            raise
        self._is_failing = False
        return rows[2:-1] if bounded else rows

    def _bounded(self, statements: Sequence[Statement]) -> Sequence[Statement]:
        """In a transaction whose waits the server ends: it does not notice that we hung up on a lock.

        What is short pays for that only after a failure, so an outage leaves one such wait after and not many.
        """
        return (
            BEGIN,
            set_local_timeouts(self._queries.set_local_timeouts, lock_ms=LOCK_MS, statement_ms=LONG_MS),
            *statements,
            COMMIT,
        )

    async def _send_long(self, statement: Statement, deadline: Deadline) -> Rows:
        async with self._own_turn(deadline):
            (rows,) = await self._send(statement, deadline=deadline, is_long=True)
        return rows

    @asynccontextmanager
    async def _own_turn(self, deadline: Deadline) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self._turn.acquire(), deadline.left(TURN_SECONDS))
        except TimeoutError:
            raise PoolSaturated from None
        try:
            yield
        finally:
            self._turn.release()
