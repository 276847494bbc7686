"""A user on demand: somebody asks for one, perhaps before any webhook has told of them."""

from app import log
from app.clerk.api import ClerkApi
from app.clerk.users import Profile
from app.deadline import Deadline
from app.errors import NotFound, UserDeleted
from app.users.models import User
from app.users.provisioning import Provisioning


class UserService:
    """Where Clerk can be asked, it has the say about who exists and what they are called."""

    def __init__(self, *, provisioning: Provisioning, clerk: ClerkApi | None) -> None:
        self._provisioning = provisioning
        self._clerk = clerk

    async def find(self, clerk_id: str) -> User:
        """A user who is there already; NotFound or UserDeleted."""
        known = await self._provisioning.find(clerk_id)
        if known.gone:
            raise UserDeleted
        if known.user is None:
            raise NotFound("unknown_user")
        return known.user

    async def ensure(self, profile: Profile, deadline: Deadline) -> tuple[User, bool]:
        """The user, and whether they were made just now; UserDeleted, NotFound when Clerk knows nobody of that id."""
        log.bind(clerk_id=profile.clerk_id)
        known = await self._provisioning.find(profile.clerk_id)
        if self._clerk is not None and known.user is None and not known.gone:
            # Asked before anything is made: a mistyped id must not get an assistant.
            said = await self._clerk.get_user(profile.clerk_id, deadline)
            if said is None:
                raise NotFound("unknown_user")
            profile = said
        ensured = await self._provisioning.ensure(profile, deadline, known=known)
        if ensured.user is None:
            log.bind(outcome=ensured.outcome)
            raise UserDeleted
        log.bind(outcome=ensured.outcome, assistant_id=ensured.user.assistant_id)
        return ensured.user, ensured.outcome == "created"
