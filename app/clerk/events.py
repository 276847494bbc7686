"""Clerk's webhook events: from a verified body to what it asks of us. No I/O."""

from dataclasses import dataclass
from datetime import datetime

from app.clerk.documents import read_document
from app.clerk.users import Profile, read_clerk_id, read_event_time, read_profile
from app.errors import Fault, InvalidEvent, InvalidRequest


@dataclass(frozen=True, slots=True)
class UserUpsertedEvent:
    """user.created, user.updated, or a session.created that carries its user."""

    type: str
    instance_id: str | None
    profile: Profile


@dataclass(frozen=True, slots=True)
class UserDeletedEvent:
    """user.deleted."""

    type: str
    instance_id: str | None
    clerk_id: str


@dataclass(frozen=True, slots=True)
class IgnoredEvent:
    """Any other event; an endpoint may subscribe to all of Clerk's types, and Clerk adds new ones."""

    type: str
    instance_id: str | None


Event = UserUpsertedEvent | UserDeletedEvent | IgnoredEvent


def parse(body: bytes, now: datetime) -> Event:
    """Read a verified body; InvalidEvent when it cannot be used.

    `type`, `data` and `data.id` identify the event, so they must be valid. Every other field is optional: an
    unusable value counts as absent, and the user still gets the row.
    """
    document = read_document(body)
    if not isinstance(document, dict):
        raise InvalidRequest("json", Fault(pointer="#"))
    event_type, instance_id, data = document.get("type"), document.get("instance_id"), document.get("data")
    if not isinstance(event_type, str) or not event_type:
        raise InvalidEvent("type", Fault(pointer="#/type"))
    if not isinstance(instance_id, str):
        instance_id = None
    event_at = read_event_time(document.get("timestamp"), now)
    match event_type:
        case "user.created" | "user.updated":
            return UserUpsertedEvent(event_type, instance_id, read_profile(data, now, event_at))
        case "user.deleted":
            # The event carries the id and nothing else, and may be the first event about that user.
            return UserDeletedEvent(event_type, instance_id, read_clerk_id(data))
        case "session.created":
            if not isinstance(data, dict):
                raise InvalidEvent("data", Fault("must be an object", "#/data"))
            # `data.id` is the session's id. Older deliveries carry no user.
            if (user := data.get("user")) is not None:
                profile = read_profile(user, now, event_at, pointer="#/data/user")
                return UserUpsertedEvent(event_type, instance_id, profile)
    return IgnoredEvent(event_type, instance_id)
