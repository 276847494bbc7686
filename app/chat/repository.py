"""The statements about sessions and messages, and their rows read back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.chat.models import Message, MessagePage, NewMessage, Session, SessionCursor
from app.errors import NotFound, UserDeleted
from app.postgres.pipeline import Rows, Statement
from app.postgres.queries import Queries


class Sessions:
    """The statements about sessions. `owner_id` is the only user who may reach one; None may reach all."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def find(self, session_id: UUID, owner_id: str | None) -> Statement:
        return self._queries.find_session, {"session_id": session_id, "owner_id": owner_id}

    def find_by_key(self, user_id: UUID, idempotency_key: str | None) -> Statement:
        """Finds nothing without a key."""
        return self._queries.find_session_by_key, {"user_id": user_id, "idempotency_key": idempotency_key}

    def list(self, user_id: UUID, text: str | None, after: SessionCursor | None, page_size: int) -> Statement:
        values: dict[str, Any] = {
            "user_id": user_id,
            "last_active_at": after.last_active_at if after else None,
            "session_id": after.session_id if after else None,
            "page_size": page_size,
        }
        if text is None:
            return self._queries.list_sessions, values
        return self._queries.list_sessions_matching, values | {"pattern": f"%{escape_like(text)}%"}

    def update(self, session_id: UUID, owner_id: str | None, *, title: str | None, status: str | None) -> Statement:
        values = {"session_id": session_id, "owner_id": owner_id, "title": title, "status": status}
        return self._queries.update_session, values


def escape_like(text: str) -> str:
    """Escape a text for ILIKE, so that no character in it is a wildcard."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def read_session(rows: Rows) -> Session:
    """The session in the rows of find_session; NotFound without one, UserDeleted when its user was deleted."""
    if not rows:
        raise NotFound
    session = Session(*rows[0])
    if session.is_deleted:
        raise UserDeleted
    return session


# A page holds so much of the messages' text and at most one message more: as much as a batch may bring.
PAGE_BYTES = 4 * 1024 * 1024


class Messages:
    """The statements about messages. `owner_id` as in Sessions."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def insert(self, session_id: UUID, owner_id: str | None, messages: Sequence[NewMessage]) -> Statement:
        values = {
            "session_id": session_id,
            "owner_id": owner_id,
            "roles": [message.role for message in messages],
            "contents": [message.content for message in messages],
            "metadata": [message.metadata for message in messages],
        }
        return self._queries.insert_messages, values

    def list(self, session_id: UUID, owner_id: str | None, before: int | None, page_size: int) -> Statement:
        """Ask for one message more than fits on the page, to see whether there are earlier ones."""
        values = {
            "session_id": session_id,
            "owner_id": owner_id,
            "before": before,
            "page_size": page_size + 1,
            "page_bytes": PAGE_BYTES,
        }
        return self._queries.list_messages, values

    def delete(self, message_id: UUID, session_id: UUID, owner_id: str | None) -> Statement:
        values = {"message_id": message_id, "session_id": session_id, "owner_id": owner_id}
        return self._queries.delete_message, values


def read_page(rows: Rows, page_size: int) -> MessagePage:
    """Read a page of list_messages; NotFound without a session, UserDeleted when its user was deleted."""
    if not rows:
        raise NotFound
    if rows[0][-1]:
        raise UserDeleted
    found = [Message(*row[:-1]) for row in rows if row[0] is not None]
    messages = [message for message in found if message.content is not None][:page_size]
    return MessagePage(messages, has_more=len(messages) < len(found))
