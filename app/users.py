"""Who a user is to us: the row, what Clerk says about them, and how the two compare."""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.queries import Queries
from app.roundtrip import Rows, Statement

# Whole and ASCII: the id becomes a query, an assistant's name and a lock key.
CLERK_ID = re.compile(r"user_[A-Za-z0-9]{1,64}", re.ASCII)

# RFC 5321 allows 64 octets, an @ and 255 octets.
EMAIL_LENGTH = 320
NAME_LENGTH = 1000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class User(NamedTuple):
    """One row of users, in the order of its columns in every query."""

    id: UUID
    clerk_id: str
    assistant_id: str
    email: str | None
    name: str | None
    created_at: datetime
    clerk_updated_at: datetime
    last_sign_in_at: datetime | None
    deleted_at: datetime | None


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

    def is_stored_in(self, user: User) -> bool:
        """Whether the row is of this version and holds all of it."""
        return (self.updated_at or EPOCH) == user.clerk_updated_at and not self.differs_from(user)

    def differs_from(self, user: User) -> bool:
        """Whether storing this would change the row."""
        signed_in = self.last_sign_in_at or user.last_sign_in_at
        return (self.email, self.name, signed_in) != (user.email, user.name, user.last_sign_in_at)


class Facts(NamedTuple):
    """What stands about one user: a row, a tombstone, and how many tries are noted."""

    user: User | None
    gone: bool
    tries: int | None = None
    # Whether the doubt behind `tries` waits for nothing but a later look.
    resolved: bool = False


class Users:
    """The statements about users, and their rows read back."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def find(self, keys: Any) -> Statement:
        return self._queries.find_users, {"clerk_ids": keys}

    def get_facts(self, clerk_id: str) -> Statement:
        return self._queries.get_facts, {"clerk_id": clerk_id}

    def insert(self, profile: Profile, assistant_id: str) -> Statement:
        values = _values(profile) | {"assistant_id": assistant_id}
        return self._queries.insert_user, values

    def bury(self, clerk_id: str) -> tuple[Statement, Statement, Statement]:
        """The tombstone, the emptied row, and a note where there was a row: its assistant is still to be deleted."""
        values = {"clerk_id": clerk_id}
        queries = self._queries
        return (queries.insert_tombstone, values), (queries.empty_user, values), (queries.note_deletion, values)

    def update(self, profile: Profile) -> Statement:
        return self._queries.update_user, _values(profile)


def found(rows: Rows) -> Facts:
    """The facts in what find_users returned for one id."""
    user, gone = None, False
    for row in rows:
        if row[0] is not None:
            user = User(*row)
        gone = gone or row[-1] is not None
    return Facts(user, gone)


def facts(row: tuple[Any, ...]) -> Facts:
    """The facts in a row of get_facts."""
    *columns, tombstone_at, tries, resolved = row
    user = User(*columns) if columns[0] is not None else None
    gone = tombstone_at is not None or (user is not None and user.deleted_at is not None)
    return Facts(user, gone=gone, tries=tries, resolved=resolved)


def _values(profile: Profile) -> dict[str, Any]:
    return {
        "clerk_id": profile.clerk_id,
        "email": profile.email,
        "name": profile.name,
        "clerk_updated_at": profile.updated_at or EPOCH,
        "last_sign_in_at": profile.last_sign_in_at,
    }


def usable_text(value: object, limit: int) -> str | None:
    """Text as Postgres can hold it: NUL removed, lone surrogates replaced, None when nothing usable is left.

    JavaScript can send half a surrogate pair, and a name cut through an emoji must not cost the user the row.
    """
    if not isinstance(value, str):
        return None
    mended = value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    return mended if 0 < len(mended) <= limit else None
