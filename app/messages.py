"""The bodies of our own API: what is validated, and what `/openapi.json` tells of it, are these models.

Answers are written without them, since a model costs more than the answer; a test reads every answer with them.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.users import EMAIL_LENGTH, NAME_LENGTH, Profile, usable_text

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


class SessionRequest(BaseModel):
    """What comes with a session token: its user's id or nothing. Whatever else a browser wrote does not count."""

    clerk_id: ClerkId | None = None


class Answer(BaseModel):
    """Nothing is answered that the document does not name."""

    model_config = ConfigDict(extra="forbid")


class EnsuredUser(Answer):
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


class Outcome(Answer):
    """What came of an event; all of it is committed."""

    outcome: Literal["created", "updated", "exists", "stale", "gone", "deleted", "ignored"]


class Health(Answer):
    """The process answers."""

    status: Literal["ok"]


class PoolFigures(Answer):
    """The connections of a pool, and the callers that wait for one."""

    size: int
    idle: int
    waiting: int
    max: int


class Readiness(Answer):
    """Whether the process can do its work; `status` is `ready` or the reason why not."""

    status: str
    schema_: str = Field(alias="schema", description="The migration that this code expects.")
    pools: dict[str, PoolFigures]
    last_event_seconds: float | None = Field(description="The age of the last verified event, null without any.")


class Problem(Answer):
    """RFC 9457; nothing of the request is in it."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
