"""The statements about sessions and messages, and their rows read back."""

from collections.abc import Sequence
from uuid import UUID

from app.chat.models import (
    Append,
    HistoryRequest,
    Message,
    MessageIdConflict,
    MessagePage,
    MetadataPatch,
    Session,
    SessionsRequest,
)
from app.chat.spellings import search_pattern
from app.errors import NotFound, UserDeleted
from app.postgres.pipeline import Rows, Statement
from app.postgres.queries import Queries


class SessionRepository:
    """The statements about sessions. `owner_id` is the only user who may reach one; None may reach all."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def find(self, session_id: UUID, owner_id: str | None) -> Statement:
        return self._queries.find_session, {"session_id": session_id, "owner_id": owner_id}

    def find_by_key(self, user_id: UUID, idempotency_key: str | None) -> Statement:
        """Finds nothing without a key."""
        return self._queries.find_session_by_key, {"user_id": user_id, "idempotency_key": idempotency_key}

    def list(self, requests: Sequence[SessionsRequest]) -> Statement:
        return self._queries.list_sessions, {
            "clerk_ids": [one.clerk_id for one in requests],
            "statuses": [None if one.statuses is None else ",".join(one.statuses) for one in requests],
            "active_befores": [one.after.last_active_at if one.after else None for one in requests],
            "id_befores": [one.after.session_id if one.after else None for one in requests],
            "page_sizes": [one.page_size for one in requests],
        }

    def search(self, user_id: UUID, text: str, request: SessionsRequest) -> Statement:
        after = request.after
        return self._queries.list_sessions_matching, {
            "user_id": user_id,
            "statuses": request.statuses,
            "pattern": search_pattern(text),
            "last_active_at": after.last_active_at if after else None,
            "session_id": after.session_id if after else None,
            "page_size": request.page_size,
        }

    def update(self, session_id: UUID, owner_id: str | None, *, title: str | None, status: str | None) -> Statement:
        values = {"session_id": session_id, "owner_id": owner_id, "title": title, "status": status}
        return self._queries.update_session, values


def read_session_lists(rows: Rows, requests: Sequence[SessionsRequest]) -> list[list[Session] | NotFound | UserDeleted]:
    """Read the pages of list_sessions; an error for a user who is unknown or deleted."""
    by_request: list[Rows] = [[] for _ in requests]
    for row in rows:
        by_request[row[-1] - 1].append(row)
    return [_read_session_list(one) for one in by_request]


def _read_session_list(rows: Rows) -> list[Session] | NotFound | UserDeleted:
    session_id, _, assistant_id, *_, is_deleted, _ = rows[0]
    if is_deleted:
        return UserDeleted()
    if assistant_id is None:
        return NotFound("unknown_user")
    return [] if session_id is None else [Session._make(row[:-1]) for row in rows]


def read_session(rows: Rows) -> Session:
    """The session in the rows of find_session; NotFound without one, UserDeleted when its user was deleted."""
    if not rows:
        raise NotFound
    session = Session(*rows[0])
    if session.is_deleted:
        raise UserDeleted
    return session


# A page holds so much of the messages' text and metadata and at most one message more.
PAGE_BYTES = 4 * 1024 * 1024


class MessageRepository:
    """The statements about messages. `owner_id` as in SessionRepository."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def insert(self, appends: Sequence[Append]) -> Statement:
        numbered = [(number, message) for number, one in enumerate(appends, start=1) for message in one.messages]
        return self._queries.insert_messages, {
            "session_ids": [one.session_id for one in appends],
            "owner_ids": [one.owner_id for one in appends],
            "session_numbers": [number for number, _ in numbered],
            "ids": [message.id for _, message in numbered],
            "roles": [message.role for _, message in numbered],
            "contents": [message.content for _, message in numbered],
            "documents": [message.metadata for _, message in numbered],
        }

    def list(self, requests: Sequence[HistoryRequest], *, page_bytes: int) -> Statement:
        """Ask for one message more than fits on each page, to see whether there are earlier ones."""
        return self._queries.list_messages, {
            "session_ids": [one.session_id for one in requests],
            "owner_ids": [one.owner_id for one in requests],
            "befores": [one.before for one in requests],
            "page_sizes": [one.page_size + 1 for one in requests],
            "page_bytes": page_bytes,
        }

    def delete(self, message_id: UUID, session_id: UUID, owner_id: str | None) -> Statement:
        values = {"message_id": message_id, "session_id": session_id, "owner_id": owner_id}
        return self._queries.delete_message, values

    def update(self, message_id: UUID, session_id: UUID, owner_id: str | None, patch: MetadataPatch) -> Statement:
        return self._queries.update_message, {
            "message_id": message_id,
            "session_id": session_id,
            "owner_id": owner_id,
            "document": patch.document,
            "removed": patch.removed,
        }


def read_appended(rows: Rows, appends: Sequence[Append]) -> dict[UUID, list[Message] | MessageIdConflict]:
    """The messages of insert_messages by their session, from its rows and what was sent; an error for a conflict."""
    by_session: dict[str, Rows] = {}
    for row in rows:
        by_session.setdefault(row[1], []).append(row)
    found = ((one, by_session.get(str(one.session_id))) for one in appends)
    return {append.session_id: _read_append(rows, append) for append, rows in found if rows}


def _read_append(rows: Rows, append: Append) -> list[Message] | MessageIdConflict:
    conflicts = {row[0] for row in rows if row[-1]}
    if conflicts:
        return MessageIdConflict([number for number, one in enumerate(append.messages) if str(one.id) in conflicts])
    ids = {str(message.id) for message in append.messages if message.id}
    under_ids = {row[0]: row for row in rows if row[0] in ids}
    # The others come in the order in which they were sent.
    others = (row for row in rows if row[0] not in ids)
    messages = []
    for new in append.messages:
        message_id, session_id, metadata, created_at, position, _ = under_ids[str(new.id)] if new.id else next(others)
        messages.append(Message(message_id, session_id, new.role, new.content, metadata, created_at, position))
    return messages


def read_pages(rows: Rows, requests: Sequence[HistoryRequest]) -> list[MessagePage | NotFound | UserDeleted]:
    """Read the pages of list_messages; an error for a session that is missing or of a deleted user."""
    by_request: list[Rows] = [[] for _ in requests]
    for row in rows:
        by_request[row[0] - 1].append(row)
    return [_read_page(one, request) for one, request in zip(by_request, requests, strict=True)]


def _read_page(rows: Rows, request: HistoryRequest) -> MessagePage | NotFound | UserDeleted:
    if not rows:
        return NotFound()
    if rows[0][-1]:
        return UserDeleted()
    session_id = str(request.session_id)
    messages = [
        Message(message_id, session_id, role, content, metadata, created_at, position)
        for _, message_id, role, content, metadata, created_at, position, _ in rows
        if content is not None
    ][: request.page_size]
    found = sum(row[1] is not None for row in rows)
    is_cut = len(messages) < min(found, request.page_size)
    return MessagePage(messages, has_more=len(messages) < found, is_cut=is_cut)
