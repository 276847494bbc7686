"""Clerk's User object, read into a profile: the same object in events, in sessions and from Clerk's API."""

from datetime import datetime, timedelta
from typing import Any

from app.errors import BadEvent
from app.users import CLERK_ID, EMAIL_LENGTH, EPOCH, NAME_LENGTH, Profile, usable_text

# An update dated further ahead than any clock is wrong would make every genuine later one look old.
AHEAD = timedelta(days=1)


def clerk_id_of(data: object) -> str:
    """The `id` of a user object; BadEvent when it is not exactly a Clerk user's id."""
    if not isinstance(data, dict):
        raise BadEvent("data")
    clerk_id = data.get("id")
    if not isinstance(clerk_id, str) or not CLERK_ID.fullmatch(clerk_id):
        raise BadEvent("clerk_id")
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
