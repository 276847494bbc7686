"""The chat's sessions: one conversation of one user, on exactly one Backboard thread."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


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
class SessionCursor:
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


@dataclass(frozen=True, slots=True)
class Message:
    """One message, in the order of the columns in every query; `metadata` is JSON text.

    Without `content` it is one that a page has no more room for.
    """

    message_id: UUID
    session_id: UUID
    role: str
    content: str | None
    metadata: str | None
    created_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What is to be added to a session; `metadata` is JSON text."""

    role: str
    content: str
    metadata: str | None = None
