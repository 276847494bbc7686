"""A user's row and what else Postgres holds about that user, and how they compare with a profile of Clerk's."""

from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from app.clerk.users import EPOCH, Profile
from app.postgres.pipeline import Rows


class User(NamedTuple):
    """One row of users, in the order of its columns in every query."""

    id: UUID
    clerk_id: str
    assistant_id: str
    email: str | None
    name: str | None
    image_url: str | None
    created_at: datetime
    clerk_updated_at: datetime
    last_sign_in_at: datetime | None
    deleted_at: datetime | None

    def holds(self, profile: Profile) -> bool:
        """Whether the row is of the profile's version and holds all of it."""
        return (profile.updated_at or EPOCH) == self.clerk_updated_at and not self.differs_from(profile)

    def differs_from(self, profile: Profile) -> bool:
        """Whether storing the profile would change the row."""
        # An earlier sign-in changes nothing.
        signed_in = max(profile.last_sign_in_at or EPOCH, self.last_sign_in_at or EPOCH)
        given = profile.email, profile.name, profile.image_url, signed_in
        return given != (self.email, self.name, self.image_url, self.last_sign_in_at or EPOCH)


class UserState(NamedTuple):
    """What stands about one user: a row, a tombstone, and how many tries are recorded."""

    user: User | None
    is_deleted: bool
    tries: int | None = None
    # Whether the attempt row behind `tries` only waits for reconcile.
    is_resolved: bool = False

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Self:
        """Read a row of get_user_state."""
        *columns, tombstone_at, tries, is_resolved = row
        user = User(*columns) if columns[0] is not None else None
        is_deleted = tombstone_at is not None or (user is not None and user.deleted_at is not None)
        return cls(user, is_deleted, tries, is_resolved)

    @classmethod
    def from_rows(cls, rows: Rows) -> Self:
        """Read what find_users returned for one id: the user's row, the tombstone's, both or none."""
        users = [User(*row) for row in rows]
        user = next((user for user in users if user.id is not None), None)
        return cls(user, is_deleted=any(user.deleted_at is not None for user in users))
