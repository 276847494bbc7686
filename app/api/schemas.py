"""The bodies of the API: requests are validated by these models, and `/openapi.json` shows them.

Answers are written without their models, which would cost more than the rest of an answer; tests validate them.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue, RootModel
from pydantic.json_schema import SkipJsonSchema

from app.api import pagination
from app.api.members import (
    Content,
    Document,
    Id,
    PageSize,
    SearchText,
    Slug,
    Title,
    write_document,
)
from app.api.response_model import ResponseModel
from app.api.scenario_schemas import ScenarioAnswer
from app.chat.models import MetadataPatch, NewMessage, Status
from app.clerk.users import CLERK_ID_PATTERN, EMAIL_LENGTH, NAME_LENGTH, Profile, usable_text

ClerkId = Annotated[str, Field(pattern=CLERK_ID_PATTERN, strict=True, examples=["user_2abcDEF3ghiJKL4mnoPQR5stuVW"])]
Role = Literal["user", "assistant"]


class EnsureUserRequest(BaseModel):
    """The user to make sure of; `email` and `name` fill a new row until an event of Clerk's brings its own.

    With a session token, `clerk_id` may be left out, and `email` and `name` are ignored.
    """

    clerk_id: ClerkId
    email: str | None = Field(default=None, strict=True)
    name: str | None = Field(default=None, strict=True)

    def profile(self) -> Profile:
        return Profile(self.clerk_id, usable_text(self.email, EMAIL_LENGTH), usable_text(self.name, NAME_LENGTH))


class OwnUserRequest(BaseModel):
    """The body beside a session token: its own user's id, or nothing."""

    clerk_id: ClerkId | SkipJsonSchema[None] = None


class OpenSessionRequest(BaseModel):
    """A title; without one, the session is called "New Trip". `scenario` is the slug of an active one."""

    title: Title | None = None
    scenario: Slug | None = None


class ChangeSessionRequest(BaseModel):
    """The members to change; one that is missing stays as it is, and so does a `status` that is null."""

    title: Title = Field(default=None)  # type: ignore[assignment]  # None where it is missing; null is no title.
    status: Status | None = None


class SearchSessionsRequest(BaseModel):
    """As the parameters of the list: `q` is looked for in titles and messages, `status` narrows the list.

    Without `limit` a page has 20 sessions.
    """

    q: SearchText
    status: Annotated[list[Status], Field(min_length=1, max_length=10)] | None = None
    limit: PageSize = 20
    cursor: Annotated[str, Field(strict=True, pattern=pagination.SESSION_CURSOR["pattern"])] | None = None


class MessageRequest(BaseModel):
    """A message of the user or the assistant; the caller says of which.

    Under an `id` of the caller's it may be sent again, and is stored once; without one, an id is made for it.
    `metadata` may have 16 KiB of JSON, as Postgres writes it, nested at most 100 deep, with integers of at most 100
    digits. In all texts NUL is taken out, and half a surrogate pair becomes U+FFFD.
    """

    id: Id | None = None
    role: Role
    content: Content
    metadata: Document | None = None

    def new_message(self) -> NewMessage:
        metadata = None if self.metadata is None else write_document(self.metadata)
        return NewMessage(self.role, self.content, metadata, self.id)


class BatchRequest(BaseModel):
    """Several messages, in their order. A body of more than 1 MiB is 413: send several batches."""

    messages: Annotated[list[MessageRequest], Field(min_length=1, max_length=500)]


class ChangeMessageRequest(BaseModel):
    """Members of the metadata to set; one that is null is taken out, and one that is not named stays as it is.

    A member is replaced whole: an object in it is not merged with the stored one, and a null in it is stored.
    """

    metadata: Document

    def patch(self) -> MetadataPatch:
        kept = {name: value for name, value in self.metadata.items() if value is not None}
        return MetadataPatch(write_document(kept), [name for name in self.metadata if name not in kept])


class Preferences(RootModel[Document]):
    """The chat's own settings of a user: any members, with the limits of a message's metadata."""

    def text(self) -> str:
        return write_document(self.root)


class EnsuredUser(ResponseModel):
    """The user's row."""

    id: UUID
    clerk_id: ClerkId
    assistant_id: str
    email: str | None
    name: str | None
    image_url: str | None
    created_at: datetime


class Outcome(ResponseModel):
    """The outcome of an event; its effect is committed."""

    outcome: Literal["created", "updated", "exists", "stale", "gone", "deleted", "ignored"]


class Health(ResponseModel):
    status: Literal["ok"]


class PoolFigures(ResponseModel):
    """The connections of a pool, and how many callers wait for one."""

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


class LastMessage(ResponseModel):
    """The latest message; `content` has its first 200 characters."""

    id: UUID
    role: Role
    content: str
    created_at: datetime


class SessionAnswer(ResponseModel):
    """A session. `thread_id` and `assistant_id` are Backboard's; `duration_seconds` is known once it has ended.

    `thread_id` is null where Backboard has lost the thread, with the user's assistant: the messages are still here, and
    the conversation goes on in a new session.
    """

    id: UUID
    clerk_id: ClerkId
    assistant_id: str
    thread_id: str | None
    title: str
    status: Status
    created_at: datetime
    last_active_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    message_count: int
    scenario: ScenarioAnswer | None
    last_message: LastMessage | None


class SessionPage(ResponseModel):
    """Newest activity first; `next` is the cursor of the following page, null on the last."""

    sessions: list[SessionAnswer]
    next: str | None


class MessageAnswer(ResponseModel):
    id: UUID
    session_id: UUID
    role: Role
    content: str
    metadata: dict[str, JsonValue] | None
    created_at: datetime


class MessageList(ResponseModel):
    """Messages in chronological order."""

    messages: list[MessageAnswer]


class MessagePage(MessageList):
    """A page ends at 4 MiB of text, so it may hold fewer messages than `limit`.

    `before` is the cursor of the page before this one, null at the session's beginning.
    """

    before: str | None


class MessageCounts(ResponseModel):
    user: int
    assistant: int


class StatsAnswer(ResponseModel):
    """Figures of a user's sessions and messages; without sessions the times of activity are null.

    `total_tokens` is the sum of `tokens` in the messages' metadata, where that is a whole number of up to nine digits.
    """

    joined_at: datetime
    sessions: int
    messages: MessageCounts
    total_tokens: int
    first_activity_at: datetime | None
    last_activity_at: datetime | None
