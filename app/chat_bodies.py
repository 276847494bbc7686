"""The bodies of the chat's memory: what is validated, and what `/openapi.json` tells of it, are these models."""

import json
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue, RootModel

from app.history import Said
from app.messages import Answer, ClerkId

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

    def said(self) -> Said:
        # Escaped, so that half a surrogate pair reaches Postgres, which refuses it.
        return Said(self.role, self.content, None if self.metadata is None else json.dumps(self.metadata))


class BatchRequest(BaseModel):
    """Several messages, in their order. A body of more than 4 MiB is 413: send several batches."""

    messages: Annotated[list[MessageRequest], Field(min_length=1, max_length=BATCH)]


class Preferences(RootModel[dict[str, JsonValue]]):
    """The chat's own settings of a user: whatever it likes, at most 16 KiB of JSON, as Postgres writes it."""


class LastMessage(Answer):
    """The beginning of the latest message, at most 200 characters."""

    id: UUID
    role: Role
    content: str
    created_at: datetime


class SessionAnswer(Answer):
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


class SessionPage(Answer):
    """Newest activity first; `next` is the cursor of the page behind this one, null on the last."""

    sessions: list[SessionAnswer]
    next: str | None


class MessageAnswer(Answer):
    """A message."""

    id: UUID
    session_id: UUID
    role: Role
    content: str
    metadata: dict[str, JsonValue] | None
    created_at: datetime


class MessageList(Answer):
    """Messages in the order in which they were said."""

    messages: list[MessageAnswer]


class MessagePage(MessageList):
    """At most 4 MiB of text, or one message more: so perhaps fewer than were asked for.

    `before` is the cursor of the page before this one, null at the session's beginning.
    """

    before: str | None


class MessageCounts(Answer):
    user: int
    assistant: int


class StatsAnswer(Answer):
    """What a user has said and heard; without sessions the times are null."""

    sessions: int
    messages: MessageCounts
    first_activity_at: datetime | None
    last_activity_at: datetime | None
