"""The API's bodies, generated from its document by `./dev clients`. Ids and times are text, as in JSON."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

JsonValue = Any
Preferences = dict[str, Any]


class BatchRequest(TypedDict):
    """Several messages, in their order. A body of more than 1 MiB is 413: send several batches."""

    messages: list[MessageRequest]


class ChangeMessageRequest(TypedDict):
    """Members of the metadata to set; one that is null is taken out, and one that is not named stays as it is.

    A member is replaced whole: an object in it is not merged with the stored one, and a null in it is stored.
    """

    metadata: dict[str, Any]


class ChangeSessionRequest(TypedDict):
    """The members to change; one that is missing stays as it is, and so does a `status` that is null."""

    title: NotRequired[str]
    status: NotRequired[Literal["active", "completed", "abandoned", "archived"] | None]


class EnsureUserRequest(TypedDict):
    """The user to make sure of; `email` and `name` fill a new row until an event of Clerk's brings its own.

    With a session token, `clerk_id` may be left out, and `email` and `name` are ignored.
    """

    clerk_id: str
    email: NotRequired[str | None]
    name: NotRequired[str | None]


class EnsuredUser(TypedDict):
    """The user's row."""

    id: str
    clerk_id: str
    assistant_id: str
    email: str | None
    name: str | None
    image_url: str | None
    created_at: str


class FaultAnswer(TypedDict):
    """One place that cannot be used: a member of the body by its JSON pointer (RFC 6901), or a parameter by its name.

    A member whose name the schema does not have is not named; the pointer leads to what it stands in. A parameter
    that no operation has, and a query string with too many of them, have neither.
    """

    detail: str
    pointer: NotRequired[str]
    parameter: NotRequired[str]


class LastMessage(TypedDict):
    """The latest message; `content` has its first 200 characters."""

    id: str
    role: Literal["user", "assistant"]
    content: str
    created_at: str


class MessageAnswer(TypedDict):
    id: str
    session_id: str
    role: Literal["user", "assistant"]
    content: str
    metadata: dict[str, JsonValue] | None
    created_at: str


class MessageCounts(TypedDict):
    user: int
    assistant: int


class MessageList(TypedDict):
    """Messages in chronological order."""

    messages: list[MessageAnswer]


class MessagePage(TypedDict):
    """A page ends at 4 MiB of text, so it may hold fewer messages than `limit`.

    `before` is the cursor of the page before this one, null at the session's beginning.
    """

    messages: list[MessageAnswer]
    before: str | None


class MessageRequest(TypedDict):
    """A message of the user or the assistant; the caller says of which.

    Under an `id` of the caller's it may be sent again, and is stored once; without one, an id is made for it.
    `metadata` may have 16 KiB of JSON, as Postgres writes it, nested at most 100 deep, with integers of at most 100
    digits. In all texts NUL is taken out, and half a surrogate pair becomes U+FFFD.
    """

    id: NotRequired[str | None]
    role: Literal["user", "assistant"]
    content: str
    metadata: NotRequired[dict[str, Any] | None]


class OpenSessionRequest(TypedDict):
    """A title; without one, the session is called "New Trip". `scenario` is the slug of an active one."""

    title: NotRequired[str | None]
    scenario: NotRequired[str | None]


class OwnUserRequest(TypedDict):
    """The body beside a session token: its own user's id, or nothing."""

    clerk_id: NotRequired[str]


class Problem(TypedDict):
    """RFC 9457; no value of the request is in it.

    A caller who is let in, by a token or a signature, also gets `code`, the word that says why (x-codes lists them
    all; new ones may come), and `errors` with a 422 and with a 409 about the ids of messages, at most 20 of them.
    """

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    request_id: str
    code: NotRequired[str]
    errors: NotRequired[list[FaultAnswer]]


class ScenarioAnswer(TypedDict):
    """What conversations begin from; one that is not active can be named by no new session."""

    slug: str
    name: str
    description: str | None
    system_prompt: str | None
    model: str | None
    is_active: bool
    created_at: str
    updated_at: str


class ScenarioPage(TypedDict):
    """In the order of their slugs; `next` is the cursor of the following page, null on the last."""

    scenarios: list[ScenarioAnswer]
    next: str | None


class ScenarioRequest(TypedDict):
    """The whole of a scenario.

    `description`, `system_prompt` and `model` are empty where they are missing or null. `name` must be there, a missing
    `is_active` is true, and neither may be null.
    The chat backend sends `system_prompt` and `model` (Backboard's `model_name`) with each turn of a session.
    """

    name: str
    description: NotRequired[str | None]
    system_prompt: NotRequired[str | None]
    model: NotRequired[str | None]
    is_active: NotRequired[bool]


class SearchSessionsRequest(TypedDict):
    """As the parameters of the list: `q` is looked for in titles and messages, `status` narrows the list.

    Without `limit` a page has 20 sessions.
    """

    q: str
    status: NotRequired[list[Literal["active", "completed", "abandoned", "archived"]] | None]
    limit: NotRequired[int]
    cursor: NotRequired[str | None]


class SessionAnswer(TypedDict):
    """A session. `thread_id` and `assistant_id` are Backboard's; `duration_seconds` is known once it has ended.

    `thread_id` is null where Backboard has lost the thread, with the user's assistant: the messages are still here, and
    the conversation goes on in a new session.
    """

    id: str
    clerk_id: str
    assistant_id: str
    thread_id: str | None
    title: str
    status: Literal["active", "completed", "abandoned", "archived"]
    created_at: str
    last_active_at: str
    ended_at: str | None
    duration_seconds: float | None
    message_count: int
    scenario: ScenarioAnswer | None
    last_message: LastMessage | None


class SessionPage(TypedDict):
    """Newest activity first; `next` is the cursor of the following page, null on the last."""

    sessions: list[SessionAnswer]
    next: str | None


class StatsAnswer(TypedDict):
    """Figures of a user's sessions and messages; without sessions the times of activity are null.

    `total_tokens` is the sum of `tokens` in the messages' metadata, where that is a whole number of up to nine digits.
    """

    joined_at: str
    sessions: int
    messages: MessageCounts
    total_tokens: int
    first_activity_at: str | None
    last_activity_at: str | None
