"""The bodies of our own API: what is validated, and what `/openapi.json` tells of it, are these models.

Answers are written without them, since a model costs more than the answer; a test reads every answer with them.
"""

import json
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from app.chat.models import NewMessage
from app.clerk.users import EMAIL_LENGTH, NAME_LENGTH, Profile, usable_text

ClerkId = Annotated[
    str, Field(pattern=r"^user_[A-Za-z0-9]{1,64}$", strict=True, examples=["user_2abcDEF3ghiJKL4mnoPQR5stuVW"])
]


class EnsureUserRequest(BaseModel):
    """Who is wanted; `email` and `name` fill a new row until Clerk's own event says better.

    With a session token, `clerk_id` may be left out, and `email` and `name` do not count.
    """

    clerk_id: ClerkId
    email: str | None = Field(default=None, strict=True)
    name: str | None = Field(default=None, strict=True)

    def profile(self) -> Profile:
        return Profile(self.clerk_id, usable_text(self.email, EMAIL_LENGTH), usable_text(self.name, NAME_LENGTH))


class OwnUserRequest(BaseModel):
    """What comes with a session token: its user's id or nothing. Whatever else a browser wrote does not count."""

    clerk_id: ClerkId | None = None


class ResponseModel(BaseModel):
    """Nothing is answered that the document does not name."""

    model_config = ConfigDict(extra="forbid")


class EnsuredUser(ResponseModel):
    """The user's row."""

    id: UUID
    clerk_id: ClerkId
    assistant_id: str
    email: str | None
    name: str | None
    created_at: datetime


class Event(BaseModel):
    """A Clerk event, as far as it identifies something; whatever else is in it decorates."""

    type: Annotated[str, Field(min_length=1, strict=True)]
    data: Annotated[object, Field(default=None, description="Types that nobody acts on may have any.")]


class Outcome(ResponseModel):
    """What came of an event; all of it is committed."""

    outcome: Literal["created", "updated", "exists", "stale", "gone", "deleted", "ignored"]


class Health(ResponseModel):
    """The process answers."""

    status: Literal["ok"]


class PoolFigures(ResponseModel):
    """The connections of a pool, and the callers that wait for one."""

    size: int
    idle: int
    waiting: int
    max: int


class Readiness(ResponseModel):
    """Whether the process can do its work; `status` is `ready` or the reason why not."""

    status: str
    schema_: str = Field(alias="schema", description="The migration that this code expects.")
    pools: dict[str, PoolFigures]
    last_event_seconds: float | None = Field(description="The age of the last verified event, null without any.")


class Problem(ResponseModel):
    """RFC 9457; nothing of the request is in it."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str


CONTENT_LENGTH = 100_000
BATCH = 500

# One line of text that is not blank.
Title = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"),
]
# Postgres' text holds every character but NUL.
Content = Annotated[str, Field(strict=True, min_length=1, max_length=CONTENT_LENGTH, pattern=r"^[^\x00]*$")]
Role = Literal["user", "assistant"]
Status = Literal["active", "completed", "abandoned"]


class OpenSessionRequest(BaseModel):
    """A title, or nothing: then it is called "New Trip"."""

    title: Title | None = None


class ChangeSessionRequest(BaseModel):
    """What is to be different; what is not named stays."""

    title: Title | None = None
    status: Status | None = None


class MessageRequest(BaseModel):
    """What somebody said, and what the chat wants to remember with it: 16 KiB of JSON, as Postgres writes it."""

    role: Role
    content: Content
    metadata: dict[str, JsonValue] | None = None

    def new_message(self) -> NewMessage:
        # Escaped, so that half a surrogate pair reaches Postgres, which refuses it.
        return NewMessage(self.role, self.content, None if self.metadata is None else json.dumps(self.metadata))


class BatchRequest(BaseModel):
    """Several messages, in their order. A body of more than 4 MiB is 413: send several batches."""

    messages: Annotated[list[MessageRequest], Field(min_length=1, max_length=BATCH)]


class Preferences(RootModel[dict[str, JsonValue]]):
    """The chat's own settings of a user: whatever it likes, at most 16 KiB of JSON, as Postgres writes it."""


class LastMessage(ResponseModel):
    """The beginning of the latest message, at most 200 characters."""

    id: UUID
    role: Role
    content: str
    created_at: datetime


class SessionAnswer(ResponseModel):
    """A session. `thread_id` and `assistant_id` are Backboard's; `duration_seconds` is known once it has ended."""

    id: UUID
    clerk_id: ClerkId
    assistant_id: str
    thread_id: str
    title: str
    status: Status
    created_at: datetime
    last_active_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    last_message: LastMessage | None


class SessionPage(ResponseModel):
    """Newest activity first; `next` is the cursor of the page behind this one, null on the last."""

    sessions: list[SessionAnswer]
    next: str | None


class MessageAnswer(ResponseModel):
    """A message."""

    id: UUID
    session_id: UUID
    role: Role
    content: str
    metadata: dict[str, JsonValue] | None
    created_at: datetime


class MessageList(ResponseModel):
    """Messages in the order in which they were said."""

    messages: list[MessageAnswer]


class MessagePage(MessageList):
    """At most 4 MiB of text, or one message more: so perhaps fewer than were asked for.

    `before` is the cursor of the page before this one, null at the session's beginning.
    """

    before: str | None


class MessageCounts(ResponseModel):
    user: int
    assistant: int


class StatsAnswer(ResponseModel):
    """What a user has said and heard; without sessions the times are null."""

    sessions: int
    messages: MessageCounts
    first_activity_at: datetime | None
    last_activity_at: datetime | None
