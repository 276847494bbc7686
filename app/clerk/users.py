"""Clerk's User object: the id, and the profile that this service keeps of it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from app.errors import Fault, InvalidEvent
from app.postgres.text import storable_text

# Anchored and ASCII: the id becomes a query, an assistant's name and a lock key.
CLERK_ID = re.compile(r"user_[A-Za-z0-9]{1,64}", re.ASCII)
CLERK_ID_PATTERN = f"^{CLERK_ID.pattern}$"

# RFC 5321 allows 64 octets, an @ and 255 octets.
EMAIL_LENGTH = 320
NAME_LENGTH = 1000
IMAGE_URL_LENGTH = 2048
# A page hands it to the browser as the source of a picture, so it is an address of the web and nothing else.
# Clerk's are `https://img.clerk.com/` and base64.
_IMAGE_URL = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?([/?#][!#-;=?-\[\]_a-z~]*)?", re.ASCII | re.IGNORECASE)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No clock is wrong by more. An `updated_at` further in the future would make every genuine update look old.
MAX_CLOCK_SKEW = timedelta(days=1)
# Clerk's documents show the time of an event in seconds and in milliseconds. So many milliseconds were over in 1973.
FIRST_MILLISECONDS = 10**11


class Profile(NamedTuple):
    """A user's data, from Clerk or from the chat backend.

    `updated_at` is Clerk's version of the user. None means that the chat backend sent the data: it fills a new row
    and never changes one, and any event is newer. `event_at` is when Clerk made the event, by Clerk's own clock: it
    decides between two events of one version. None for what was asked of Clerk, which is what holds now.
    """

    clerk_id: str
    email: str | None = None
    name: str | None = None
    image_url: str | None = None
    updated_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    event_at: datetime | None = None


def usable_text(value: object, limit: int) -> str | None:
    """The text as Postgres can store it, None when it is empty or longer than `limit`.

    A name may be cut through an emoji, and the user still needs the row.
    """
    if not isinstance(value, str):
        return None
    text = storable_text(value).strip()
    return text if 0 < len(text) <= limit else None


def read_clerk_id(data: object, pointer: str = "#/data") -> str:
    """The `id` of a User object at this place of an event; InvalidEvent when it is not exactly a Clerk user id."""
    if not isinstance(data, dict):
        raise InvalidEvent("data", Fault("must be an object", pointer))
    clerk_id = data.get("id")
    if not isinstance(clerk_id, str) or not CLERK_ID.fullmatch(clerk_id):
        raise InvalidEvent("clerk_id", Fault(pointer=pointer + "/id"))
    return clerk_id


def read_event_time(timestamp: object, now: datetime) -> datetime | None:
    """The `timestamp` of an event, in milliseconds or in seconds; None if it is absent or unusable."""
    if isinstance(timestamp, int) and not isinstance(timestamp, bool) and timestamp < FIRST_MILLISECONDS:
        timestamp *= 1000
    event_at = _read_timestamp(timestamp)
    return event_at if event_at is None or event_at <= now + MAX_CLOCK_SKEW else None


def read_profile(data: Any, now: datetime, event_at: datetime | None = None, *, pointer: str = "#/data") -> Profile:
    """The profile in a User object, at this place of an event; an unusable field other than the id counts as absent."""
    clerk_id = read_clerk_id(data, pointer)
    updated_at = _read_timestamp(data.get("updated_at"))
    if updated_at is None or updated_at > now + MAX_CLOCK_SKEW:
        updated_at = EPOCH
    last_sign_in_at = _read_timestamp(data.get("last_sign_in_at"))
    return Profile(clerk_id, _email(data), _name(data), _image_url(data), updated_at, last_sign_in_at, event_at)


def _email(data: dict[str, Any]) -> str | None:
    """The primary address. The first of the list is no substitute: Clerk promises no order, nor a primary address."""
    primary, addresses = data.get("primary_email_address_id"), data.get("email_addresses")
    if not isinstance(primary, str) or not isinstance(addresses, list):
        return None
    for address in addresses:
        if isinstance(address, dict) and address.get("id") == primary:
            return usable_text(address.get("email_address"), EMAIL_LENGTH)
    return None


def _name(data: dict[str, Any]) -> str | None:
    parts = [usable_text(data.get(key), NAME_LENGTH) for key in ("first_name", "last_name")]
    joined = usable_text(" ".join(part for part in parts if part), NAME_LENGTH)
    return joined or usable_text(data.get("username"), NAME_LENGTH)


def _image_url(data: dict[str, Any]) -> str | None:
    """The picture, also the one that Clerk draws for users without any. `profile_image_url` is its name of before."""
    url = usable_text(data.get("image_url"), IMAGE_URL_LENGTH)
    return url if url is not None and _IMAGE_URL.fullmatch(url) else None


def _read_timestamp(milliseconds: object) -> datetime | None:
    """Clerk's milliseconds since 1970; exact, where a float of seconds would round."""
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool) or milliseconds < 0:
        return None
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
