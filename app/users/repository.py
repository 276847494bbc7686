"""Who a user is to us: the row, what Clerk says about them, and how the two compare."""

from typing import Any

from app.clerk.users import EPOCH, Profile
from app.postgres.pipeline import Rows, Statement
from app.postgres.queries import Queries
from app.users.models import User, UserState


class Users:
    """The statements about users, and their rows read back."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def find(self, keys: Any) -> Statement:
        return self._queries.find_users, {"clerk_ids": keys}

    def get_user_state(self, clerk_id: str) -> Statement:
        return self._queries.get_user_state, {"clerk_id": clerk_id}

    def insert(self, profile: Profile, assistant_id: str) -> Statement:
        values = _values(profile) | {"assistant_id": assistant_id}
        return self._queries.insert_user, values

    def mark_deleted(self, clerk_id: str) -> tuple[Statement, Statement, Statement]:
        """The tombstone, the emptied row, and a note where there was a row: its assistant is still to be deleted."""
        values = {"clerk_id": clerk_id}
        queries = self._queries
        return (
            (queries.insert_tombstone, values),
            (queries.clear_user_profile, values),
            (queries.record_deletion, values),
        )

    def update(self, profile: Profile) -> Statement:
        return self._queries.update_user, _values(profile)


def found(rows: Rows) -> UserState:
    """The facts in what find_users returned for one id."""
    user, gone = None, False
    for row in rows:
        if row[0] is not None:
            user = User(*row)
        gone = gone or row[-1] is not None
    return UserState(user, gone)


def facts(row: tuple[Any, ...]) -> UserState:
    """The facts in a row of get_user_state."""
    *columns, tombstone_at, tries, resolved = row
    user = User(*columns) if columns[0] is not None else None
    gone = tombstone_at is not None or (user is not None and user.deleted_at is not None)
    return UserState(user, gone=gone, tries=tries, resolved=resolved)


def _values(profile: Profile) -> dict[str, Any]:
    return {
        "clerk_id": profile.clerk_id,
        "email": profile.email,
        "name": profile.name,
        "clerk_updated_at": profile.updated_at or EPOCH,
        "last_sign_in_at": profile.last_sign_in_at,
    }
