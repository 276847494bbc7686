"""What operators read about one user: the facts, what happened, and the page that is put together from them.

As in app.ops.models, times are aware, in UTC, and members keep their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.ops.models import Action, Delivery
from app.users.models import User


@dataclass(frozen=True, slots=True)
class UserFacts:
    """What stands about a user beside their row: tombstone, attempt row, and what belongs to them."""

    deleted_at: datetime | None
    tries: int | None
    first_at: datetime | None
    last_at: datetime | None
    resolved_at: datetime | None
    sessions: int
    messages: int
    active_at: datetime | None
    open_sessions: int
    open_threads: int


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """When a session began and ended; nothing of what was said."""

    id: UUID
    status: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened to a user; `id` leads to it, a delivery's for instance."""

    at: datetime
    kind: Literal["delivery", "attempt", "row", "session", "deletion", "action"]
    text: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class UserPage:
    """All about one user. `user` is None without a row; `verdict` says in words whether they can chat."""

    clerk_id: str
    verdict: str
    can_chat: bool
    user: User | None
    facts: UserFacts
    deliveries: Sequence[Delivery]
    sessions: Sequence[SessionTimes]
    actions: Sequence[Action]
    timeline: Sequence[TimelineEntry]
