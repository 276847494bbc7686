"""The chat's sessions: one conversation of one user, on exactly one Backboard thread."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.chat.models import Message, NewMessage, Session, SessionCursor
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
        """Without a key none is found."""
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
        return self._queries.list_sessions_matching, values | {"pattern": f"%{escaped(text)}%"}

    def update(self, session_id: UUID, owner_id: str | None, *, title: str | None, status: str | None) -> Statement:
        values = {"session_id": session_id, "owner_id": owner_id, "title": title, "status": status}
        return self._queries.update_session, values


def escaped(text: str) -> str:
    """A text for ILIKE in which nothing is a wildcard."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def session_in(rows: Rows) -> Session:
    """The only session of an answer; NotFound without one, UserDeleted when its user was deleted."""
    if not rows:
        raise NotFound
    session = Session(*rows[0])
    if session.gone:
        raise UserDeleted
    return session


# What a page holds of the messages' text, or one message more: as much as a batch may bring.
PAGE_BYTES = 4 * 1024 * 1024


class Messages:
    """The statements about messages. `owner_id` as in Sessions."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def insert(self, session_id: UUID, owner_id: str | None, said: Sequence[NewMessage]) -> Statement:
        values = {
            "session_id": session_id,
            "owner_id": owner_id,
            "roles": [one.role for one in said],
            "contents": [one.content for one in said],
            "metadata": [one.metadata for one in said],
        }
        return self._queries.insert_messages, values

    def list(self, session_id: UUID, owner_id: str | None, before: int | None, page_size: int) -> Statement:
        """One more than fit on the page, so that it shows whether there is more."""
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


def listed(rows: Rows, page_size: int) -> tuple[list[Message], bool]:
    """A page of list_messages and whether there is more.

    Raises NotFound without a session, UserDeleted when its user was deleted.
    """
    if not rows:
        raise NotFound
    if rows[0][-1]:
        raise UserDeleted
    found = [Message(*row[:-1]) for row in rows if row[0] is not None]
    page = [one for one in found if one.content is not None][:page_size]
    return page, len(page) < len(found)
