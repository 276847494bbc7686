"""Who a user is to us: the row, what Clerk says about them, and how the two compare."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from app.errors import InvalidEvent

# Whole and ASCII: the id becomes a query, an assistant's name and a lock key.
CLERK_ID = re.compile(r"user_[A-Za-z0-9]{1,64}", re.ASCII)

# RFC 5321 allows 64 octets, an @ and 255 octets.
EMAIL_LENGTH = 320
NAME_LENGTH = 1000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Profile(NamedTuple):
    """What somebody says of a user.

    `updated_at` is Clerk's version of it. None means that the chat backend said it, not Clerk: it fills a new
    row, never changes one, and any event is newer.
    """

    clerk_id: str
    email: str | None = None
    name: str | None = None
    updated_at: datetime | None = None
    last_sign_in_at: datetime | None = None


def usable_text(value: object, limit: int) -> str | None:
    """Text as Postgres can hold it: NUL removed, lone surrogates replaced, None when nothing usable is left.

    JavaScript can send half a surrogate pair, and a name cut through an emoji must not cost the user the row.
    """
    if not isinstance(value, str):
        return None
    mended = value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    return mended if 0 < len(mended) <= limit else None


# An update dated further ahead than any clock is wrong would make every genuine later one look old.
AHEAD = timedelta(days=1)


def clerk_id_of(data: object) -> str:
    """The `id` of a user object; InvalidEvent when it is not exactly a Clerk user's id."""
    if not isinstance(data, dict):
        raise InvalidEvent("data")
    clerk_id = data.get("id")
    if not isinstance(clerk_id, str) or not CLERK_ID.fullmatch(clerk_id):
        raise InvalidEvent("clerk_id")
    return clerk_id


def profile_of(data: Any, now: datetime) -> Profile:
    """The profile in a user object; what is unusable beside the id counts as absent."""
    clerk_id = clerk_id_of(data)
    updated_at = _moment(data.get("updated_at"))
    if updated_at is None or updated_at > now + AHEAD:
        updated_at = EPOCH
    return Profile(clerk_id, _email(data), _name(data), updated_at, _moment(data.get("last_sign_in_at")))


def _email(data: dict[str, Any]) -> str | None:
    """The primary address. Never simply the first: Clerk promises no order, and the primary may be missing."""
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


def _moment(milliseconds: object) -> datetime | None:
    """A time in Clerk's milliseconds, or None; exact, where a float of seconds would round."""
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool) or milliseconds < 0:
        return None
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
