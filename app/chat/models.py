"""The chat: a session is one conversation of one user, on exactly one Backboard thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from app.deadline import Deadline
from app.errors import Fault, ServiceError
from app.users.models import User

Status = Literal["active", "completed", "abandoned", "archived"]
STATUSES: tuple[Status, ...] = get_args(Status)
# What a scenario is named by, at most 64 characters of it.
SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"
SLUG_LENGTH = 64


class NewScenario(NamedTuple):
    """What the operator writes of a scenario; `system_prompt` and `model` are None for those of the assistant."""

    name: str
    description: str | None
    system_prompt: str | None
    model: str | None
    is_active: bool


class Scenario(NamedTuple):
    """What a conversation begins from, in the order of the columns in every query."""

    slug: str
    name: str
    description: str | None
    system_prompt: str | None
    model: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


class Session(NamedTuple):
    """A session with a preview of its latest message, in the order of the columns in every query.

    `is_deleted` says that the user was deleted: the session is out of reach. `thread_id` is None where Backboard has
    lost the assistant, and with it the thread; the messages are here all the same.
    """

    session_id: UUID
    clerk_id: str
    assistant_id: str
    thread_id: str | None
    title: str
    status: str
    created_at: datetime
    last_active_at: datetime
    ended_at: datetime | None
    scenario_slug: str | None
    message_id: UUID | None
    role: str | None
    preview: str | None
    message_created_at: datetime | None
    message_count: int
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What the chat backend asks for; under one key of a user, always the same session."""

    user: User
    title: str
    idempotency_key: str | None
    scenario: Scenario | None = None

    @property
    def scenario_slug(self) -> str | None:
        return None if self.scenario is None else self.scenario.slug


@dataclass(frozen=True, slots=True)
class SessionCursor:
    """The last session of a page: the next page begins after it."""

    last_active_at: datetime
    session_id: UUID


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of a user's sessions and messages."""

    sessions: int
    by_user: int
    by_assistant: int
    tokens: int
    first_at: datetime | None
    last_at: datetime | None


class Message(NamedTuple):
    """One message; `metadata` is JSON text."""

    message_id: str
    session_id: str
    role: str
    content: str
    metadata: str | None
    created_at: datetime
    position: int


class MessageIdConflict(ServiceError):
    """Other messages have these ids: of another session, or with another role, content or metadata.

    `numbers` are the places of the new messages in what was to be appended, from 0.
    """

    status = HTTPStatus.CONFLICT
    reason = "message_id_conflict"

    def __init__(self, numbers: Sequence[int], *faults: Fault) -> None:
        super().__init__()
        self.numbers = numbers
        self.faults = faults


class MessagePage(NamedTuple):
    """Messages, the newest first, whether there are earlier ones, and whether the page is cut because they are long."""

    messages: list[Message]
    has_more: bool
    is_cut: bool


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to append to a session; `metadata` is JSON text. With an `id` of the caller's it may be repeated."""

    role: str
    content: str
    metadata: str | None = None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class MetadataPatch:
    """The members of a message's metadata to set, as JSON text, and those to take out."""

    document: str
    removed: list[str]


class Append(NamedTuple):
    """Messages for one session, all or nothing."""

    session_id: UUID
    owner_id: str | None
    messages: Sequence[NewMessage]
    deadline: Deadline

    @property
    def length(self) -> int:
        """Characters in all."""
        return sum(len(message.content) + len(message.metadata or "") for message in self.messages)


class HistoryRequest(NamedTuple):
    """The last messages of a session before a position; `before_large` is called before a large page is read."""

    session_id: UUID
    owner_id: str | None
    before: int | None
    page_size: int
    deadline: Deadline
    before_large: Callable[[], None] = lambda: None


class SessionsRequest(NamedTuple):
    """A page of a user's sessions, of all statuses or of some."""

    clerk_id: str
    after: SessionCursor | None
    page_size: int
    statuses: Sequence[str] | None = None
