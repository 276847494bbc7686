"""The chat's sessions: one conversation of one user, on exactly one Backboard thread."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.errors import Gone, Missing
from app.queries import Queries
from app.roundtrip import Rows, Statement


@dataclass(frozen=True, slots=True)
class Session:
    """One session and the beginning of the latest message in it, in the order of the columns in every query.

    `held_id` is the user's assistant. `gone` says that the user was deleted: the session is out of reach.
    """

    session_id: UUID
    clerk_id: str
    held_id: str
    thread_id: str
    title: str
    status: str
    created_at: datetime
    last_active_at: datetime
    ended_at: datetime | None
    message_id: UUID | None
    role: str | None
    beginning: str | None
    said_at: datetime | None
    gone: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of sessions begins: behind this one."""

    last_active_at: datetime
    session_id: UUID


@dataclass(frozen=True, slots=True)
class Stats:
    """What a user has said and heard."""

    sessions: int
    by_user: int
    by_assistant: int
    first_at: datetime | None
    last_at: datetime | None


class Sessions:
    """The statements about sessions. `owner_id` is the only user who may reach one; None may reach all."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def find(self, session_id: UUID, owner_id: str | None) -> Statement:
        return self._queries.find_session, {"session_id": session_id, "owner_id": owner_id}

    def find_by_key(self, user_id: UUID, idempotency_key: str | None) -> Statement:
        """Without a key none is found."""
        return self._queries.find_session_by_key, {"user_id": user_id, "idempotency_key": idempotency_key}

    def list(self, user_id: UUID, text: str | None, behind: Place | None, page_size: int) -> Statement:
        values: dict[str, Any] = {
            "user_id": user_id,
            "last_active_at": behind.last_active_at if behind else None,
            "session_id": behind.session_id if behind else None,
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
    """The only session of an answer; Missing without one, Gone when its user was deleted."""
    if not rows:
        raise Missing
    session = Session(*rows[0])
    if session.gone:
        raise Gone
    return session
