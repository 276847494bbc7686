"""Clerk's events, without I/O: from headers and bytes to an event, and back for whoever plays the sender.

Three steps, three errors of their own: the headers' grammar and the signature (BadSignature, a stranger), then
JSON and shape (InvalidEvent, Clerk's or ours to mend). The scheme is Svix's, which is also Standard Webhooks 1.0.0:
HMAC-SHA256 over `id.timestamp.body`. The library's own verify() is not used, because on hostile headers it
raises errors of other kinds, lets one malformed entry hide a right one, takes signs and fractions in the
timestamp, and has no clock to set; its sign() computes the code, and we compare.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from app.clerk.users import Profile, clerk_id_of, profile_of
from app.errors import InvalidEvent
from app.http.requests import read_json


@dataclass(frozen=True, slots=True)
class Event:
    """A signed event: `profile` of a user to make sure of, or `deleted` with the Clerk id of one who is gone."""

    type: str
    instance_id: str | None
    profile: Profile | None = None
    deleted: str | None = None


def parse(body: bytes, now: datetime) -> Event:
    """Read a verified body; InvalidEvent when it cannot be used.

    `type`, `data` and `data.id` identify, so they must be right. Everything else decorates: what is unusable
    counts as absent and never costs the user the row.
    """
    document = read_json(body)
    event_type = document.get("type")
    if not isinstance(event_type, str) or not event_type:
        raise InvalidEvent("type")
    instance_id = document.get("instance_id")
    event = Event(event_type, instance_id if isinstance(instance_id, str) else None)
    return _with_user(event, document.get("data"), now)


def _with_user(event: Event, data: object, now: datetime) -> Event:
    match event.type:
        case "user.created" | "user.updated":
            return replace(event, profile=profile_of(data, now))
        case "user.deleted":
            # It carries no more than the id, and may be the first thing ever heard of that user.
            return replace(event, deleted=clerk_id_of(data))
        case "session.created":
            if not isinstance(data, dict):
                raise InvalidEvent("data")
            # `data.id` is the session's. Older deliveries carry no user.
            user = data.get("user")
            return event if user is None else replace(event, profile=profile_of(user, now))
        case _:
            return event
