"""Who a user is to us: the row, what Clerk says about them, and how the two compare."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.clerk.users import EPOCH, Profile


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

    def holds(self, profile: Profile) -> bool:
        """Whether the row is of the profile's version and holds all of it."""
        return (profile.updated_at or EPOCH) == self.clerk_updated_at and not self.differs_from(profile)

    def differs_from(self, profile: Profile) -> bool:
        """Whether storing the profile would change the row."""
        signed_in = profile.last_sign_in_at or self.last_sign_in_at
        return (profile.email, profile.name, signed_in) != (self.email, self.name, self.last_sign_in_at)


class UserState(NamedTuple):
    """What stands about one user: a row, a tombstone, and how many tries are noted."""

    user: User | None
    gone: bool
    tries: int | None = None
    # Whether the doubt behind `tries` waits for nothing but a later look.
    resolved: bool = False
