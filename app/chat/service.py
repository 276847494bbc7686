"""Everything about sessions and messages in which Backboard has no part, one short statement each.

Appends, histories and lists of sessions are batched on the two connections that are kept, beside the lookups of users
and the events. The rest shares the query pool, so each statement is bounded. A search or a count may take longer: the
server bounds it, and one of them runs at a time.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from app.chat.bulk import BulkConnection
from app.chat.models import (
    Append,
    HistoryRequest,
    Message,
    MessageIdConflict,
    MessagePage,
    MetadataPatch,
    NewMessage,
    Session,
    SessionsRequest,
    Stats,
)
from app.chat.repository import (
    PAGE_BYTES,
    MessageRepository,
    SessionRepository,
    read_appended,
    read_pages,
    read_session,
    read_session_lists,
)
from app.chat.statements import Statements
from app.deadline import Deadline
from app.errors import ConstraintViolated, NotFound, ServiceError, UserDeleted
from app.postgres.batcher import Batcher
from app.postgres.kept_connection import KeptConnection
from app.postgres.pipeline import Rows
from app.postgres.pool import Pool
from app.postgres.queries import Queries

# Longer messages, in characters, are stored by themselves, so that short ones do not wait for them.
BATCHABLE_LENGTH = 8_000
# Still longer ones take turns, on another connection.
BULK_LENGTH = 64_000
# What the messages of a batch may add up to: characters, and for each message the work of storing a row.
APPEND_CAPACITY, MESSAGE_WEIGHT = 64_000, 500
# How many messages the pages of a batch may hold, and how many sessions its lists.
HISTORY_CAPACITY, LIST_CAPACITY = 500, 500
# A longer page is loaded by itself, so that short ones, and the lookups of users, do not wait for it.
BATCHABLE_PAGE_BYTES = 256 * 1024

Result = TypeVar("Result")
_Send = Callable[..., Awaitable[list[Rows]]]


class ChatService:
    """Reads and writes; raises NotFound or UserDeleted for what the caller may not reach."""

    def __init__(
        self,
        *,
        queries: Queries,
        query_pool: Pool,
        reads: KeptConnection,
        writes: KeptConnection,
        bulk: BulkConnection,
    ) -> None:
        self._queries = queries
        self._sessions = SessionRepository(queries)
        self._messages = MessageRepository(queries)
        self._statements = Statements(query_pool, queries)
        self._reads = reads
        self._writes = writes
        self._bulk = bulk
        self._appends = Batcher(
            self._append_batch,
            self._append_alone,
            key=lambda one: one.session_id,
            weight=lambda one: MESSAGE_WEIGHT * len(one.messages) + one.length,
            capacity=APPEND_CAPACITY,
        )
        self._session_lists = Batcher(
            self._load_sessions, self._load_sessions_alone, weight=lambda one: one.page_size, capacity=LIST_CAPACITY
        )
        self._histories = Batcher(
            self._load_pages, self._load_page, weight=lambda one: one.page_size, capacity=HISTORY_CAPACITY
        )

    async def find_session(self, session_id: UUID, owner_id: str | None, deadline: Deadline) -> Session:
        (rows,) = await self._statements.send(self._sessions.find(session_id, owner_id), deadline=deadline)
        return read_session(rows)

    async def list_sessions(self, request: SessionsRequest) -> list[Session]:
        """A page of a user's sessions, newest activity first."""
        return _checked(await self._session_lists.submit(request))

    async def search_sessions(
        self, user_id: UUID, text: str, request: SessionsRequest, deadline: Deadline
    ) -> list[Session]:
        """A page of a user's sessions with `text` in title or messages, newest activity first."""
        (rows,) = await self._statements.send_long(
            self._sessions.search(user_id, text, request), deadline, user_id=user_id
        )
        return [Session(*row) for row in rows]

    async def update_session(
        self, session_id: UUID, owner_id: str | None, *, title: str | None, status: str | None, deadline: Deadline
    ) -> Session:
        update = self._sessions.update(session_id, owner_id, title=title, status=status)
        _, rows = await self._statements.send(update, self._sessions.find(session_id, owner_id), deadline=deadline)
        return read_session(rows)

    async def append(
        self, session_id: UUID, owner_id: str | None, messages: Sequence[NewMessage], deadline: Deadline
    ) -> list[Message]:
        """Add messages to a session, all or nothing, in their order; one that was stored before is answered as then.

        Raises MessageIdConflict where ids stand for something else.
        """
        append = Append(session_id, owner_id, messages, deadline)
        if append.length > BULK_LENGTH:
            with self._statements.outcome():
                return _checked(await self._append_with(self._bulk.run, append))
        if append.length > BATCHABLE_LENGTH:
            return _checked(await self._appends.submit_alone(append))
        return _checked(await self._appends.submit(append))

    async def history(
        self,
        session_id: UUID,
        owner_id: str | None,
        before: int | None,
        page_size: int,
        deadline: Deadline,
        *,
        before_large: Callable[[], None],
    ) -> MessagePage:
        """The last messages before a position. `before_large` is called before a page of up to PAGE_BYTES is read.

        What it raises is raised here, and the page is not read.
        """
        request = HistoryRequest(session_id, owner_id, before, page_size, deadline, before_large)
        return _checked(await self._histories.submit(request))

    async def _load_sessions(self, requests: Sequence[SessionsRequest]) -> list[list[Session] | NotFound | UserDeleted]:
        return read_session_lists(await self._reads.read(self._sessions.list(requests)), requests)

    async def _load_sessions_alone(self, request: SessionsRequest) -> list[Session] | NotFound | UserDeleted:
        return (await self._load_sessions([request]))[0]

    async def _append_batch(self, appends: Sequence[Append]) -> list[list[Message] | MessageIdConflict | None]:
        rows = await self._writes.write(self._messages.insert(appends))
        appended = read_appended(rows, appends)
        return [appended.get(append.session_id) for append in appends]

    async def _append_alone(self, append: Append) -> list[Message] | MessageIdConflict:
        """Append to a session that another transaction holds, or messages that are long, or say why it cannot be."""
        return await self._append_with(self._statements.send_bounded, append)

    async def _append_with(self, send: _Send, append: Append) -> list[Message] | MessageIdConflict:
        lock = (self._queries.lock_session, {"session_id": append.session_id, "owner_id": append.owner_id})
        insert = self._messages.insert([append])
        try:
            locked, rows = await send(lock, insert, deadline=append.deadline)
        except ConstraintViolated as error:
            if error.constraint != "messages_pkey":
                raise
            # A rival has stored one of the ids in another session meanwhile; now its message is seen.
            locked, rows = await send(lock, insert, deadline=append.deadline)
        if not locked:
            raise NotFound
        if not rows:
            raise UserDeleted
        return read_appended(rows, [append])[append.session_id]

    async def _load_pages(
        self, requests: Sequence[HistoryRequest]
    ) -> list[MessagePage | NotFound | UserDeleted | None]:
        rows = await self._reads.read(self._messages.list(requests, page_bytes=BATCHABLE_PAGE_BYTES))
        pages = read_pages(rows, requests)
        return [None if isinstance(page, MessagePage) and page.is_cut else page for page in pages]

    async def _load_page(self, request: HistoryRequest) -> MessagePage | NotFound | UserDeleted:
        request.before_large()
        (rows,) = await self._statements.send(
            self._messages.list([request], page_bytes=PAGE_BYTES), deadline=request.deadline
        )
        return read_pages(rows, [request])[0]

    async def delete_message(
        self, message_id: UUID, session_id: UUID, owner_id: str | None, deadline: Deadline
    ) -> bool:
        """Delete a message; returns whether there was one."""
        (rows,) = await self._statements.send(
            self._messages.delete(message_id, session_id, owner_id), deadline=deadline
        )
        if not rows:
            await self.find_session(session_id, owner_id, deadline)
        return bool(rows)

    async def update_metadata(
        self, message_id: UUID, session_id: UUID, owner_id: str | None, patch: MetadataPatch, deadline: Deadline
    ) -> Message:
        """Change members of a message's metadata; InvalidRequest when it becomes too large."""
        update = self._messages.update(message_id, session_id, owner_id, patch)
        (rows,) = await self._statements.send(update, deadline=deadline)
        if not rows:
            await self.find_session(session_id, owner_id, deadline)
            raise NotFound("message_missing")
        return Message(*rows[0])

    async def stats(self, user_id: UUID, deadline: Deadline) -> Stats:
        (rows,) = await self._statements.send_long(
            (self._queries.get_stats, {"user_id": user_id}), deadline, user_id=user_id
        )
        return Stats(*rows[0])

    async def preferences(self, user_id: UUID, deadline: Deadline) -> str:
        """A user's preferences, as JSON text."""
        (rows,) = await self._statements.send((self._queries.find_preferences, {"user_id": user_id}), deadline=deadline)
        return str(rows[0][0]) if rows else "{}"

    async def set_preferences(self, user_id: UUID, document: str, *, merge: bool, deadline: Deadline) -> str:
        """Replace the preferences, or with `merge` only the members that are named; returns all of them."""
        values = {"user_id": user_id, "document": document, "merge": merge}
        (rows,) = await self._statements.send((self._queries.set_preferences, values), deadline=deadline)
        return str(rows[0][0])


def _checked(result: Result | ServiceError) -> Result:
    """What one of a batch was answered; an error is its own and not its neighbours'."""
    if isinstance(result, ServiceError):
        raise result
    return result
