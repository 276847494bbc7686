"""A user on demand: the chat backend asks for one, perhaps before Clerk's webhook has arrived."""

from typing import NamedTuple

from app import log
from app.clerk.api import ClerkApi
from app.clerk.users import Profile
from app.deadline import Deadline
from app.errors import NotFound, UserDeleted
from app.users.models import User, UserState
from app.users.provisioning import Provisioning


class UserOnDemand(NamedTuple):
    """An active user, and whether this call has made them."""

    user: User
    is_new: bool


class UserService:
    """With CLERK_SECRET_KEY, Clerk decides which users exist and what they are called."""

    def __init__(self, *, provisioning: Provisioning, clerk: ClerkApi | None) -> None:
        self._provisioning = provisioning
        self._clerk = clerk

    async def find(self, clerk_id: str) -> User:
        """An existing user; NotFound or UserDeleted."""
        state = await self._provisioning.get_state(clerk_id)
        if state.is_deleted:
            raise UserDeleted
        if state.user is None:
            raise NotFound("unknown_user")
        return state.user

    async def ensure(self, profile: Profile, deadline: Deadline) -> UserOnDemand:
        """An existing user or a new one; UserDeleted, or NotFound when Clerk does not know the id."""
        log.bind(clerk_id=profile.clerk_id)
        state = await self._provisioning.get_state(profile.clerk_id)
        ensured = await self._provisioning.ensure(await self._confirm(profile, state, deadline), deadline, state=state)
        log.bind(outcome=ensured.outcome)
        if ensured.user is None:
            raise UserDeleted
        log.bind(assistant_id=ensured.user.assistant_id)
        return UserOnDemand(ensured.user, is_new=ensured.outcome == "created")

    async def _confirm(self, profile: Profile, state: UserState, deadline: Deadline) -> Profile:
        """Clerk's own profile of a new user, where Clerk can be asked: a mistyped id must not get an assistant."""
        if self._clerk is None or state.is_deleted or state.user is not None:
            return profile
        confirmed = await self._clerk.get_user(profile.clerk_id, deadline)
        if confirmed is None:
            raise NotFound("unknown_at_clerk")
        return confirmed
