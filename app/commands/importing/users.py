"""One user of another program becomes ours, with the assistant they have: under the lock that provisioning takes.

The row is committed first, and the assistant gets our name after that. In between, nothing looks for an assistant by
its name, since there is a row; a run that ends there is gone on with by the next, which finds the row and another name.
Nothing is created, so no attempt is recorded; one that stands is left for reconcile to look at.
"""

from app.clerk.users import CLERK_ID, EMAIL_LENGTH, IMAGE_URL_LENGTH, NAME_LENGTH, Profile, usable_text
from app.commands.importing.models import ForeignUser, Outcome, new_id, usable_uuid
from app.components import Components
from app.deadline import Deadline
from app.errors import ConstraintViolated
from app.postgres.pipeline import Rows, Statement
from app.postgres.transaction import Transaction
from app.users.models import User, UserState
from app.users.provisioning import ASSISTANT_ID_KEY
from app.users.repository import UserRepository


class UserImport:
    """Takes over one user after the other; every call may be repeated. Raises Unavailable or a class below it."""

    def __init__(
        self, components: Components, ambiguous: set[str], *, create_missing: bool = False, dry_run: bool = False
    ) -> None:
        self._queries = components.queries
        self._users = UserRepository(components.queries)
        self._slots = components.provisioning_slots
        self._query_pool = components.query_pool
        self._backboard = components.backboard
        self._provisioning = components.provisioning
        self._ambiguous = ambiguous
        self._create_missing = create_missing
        self._dry_run = dry_run
        self.renamed = 0

    async def take_over(self, user: ForeignUser) -> Outcome:
        """What became of the user; in a dry run, what would become of them."""
        clerk_id, assistant_id = user.clerk_id, usable_uuid(user.assistant_id)
        if user.is_deleted:
            return "deleted"
        if clerk_id is None or not CLERK_ID.fullmatch(clerk_id):
            return "clerk_id"
        if clerk_id in self._ambiguous or assistant_id in self._ambiguous:
            return "shared"
        if assistant_id is None:
            return await self._without_assistant(clerk_id, user, "assistant")
        outcome = await self._bind(clerk_id, assistant_id, user)
        if outcome == "other" and await self._backboard.get_assistant(assistant_id, Deadline()) is None:
            outcome = "missing"
        return await self._without_assistant(clerk_id, user, "missing") if outcome == "missing" else outcome

    async def _bind(self, clerk_id: str, assistant_id: str, user: ForeignUser) -> Outcome:
        """Give the user a row with this assistant, and the assistant our name."""
        deadline = Deadline()
        async with self._slots.provisioning_slot(deadline) as connection:
            transaction = Transaction(connection, self._queries, deadline)
            _, states, owners = await transaction.begin(
                self._users.lock(clerk_id),
                self._users.get_state(clerk_id),
                (self._queries.find_assistant_owners, {"assistant_ids": [assistant_id]}),
            )
            state = UserState.from_row(states[0])
            if refusal := _refusal(state, assistant_id, owners, clerk_id):
                return refusal
            assistant = await self._backboard.get_assistant(assistant_id, deadline)
            if assistant is None:
                return "missing"
            if self._dry_run:
                return "exists" if state.user else "created"
            outcome = await self._write(transaction, clerk_id, assistant_id, user, state.user)
            if outcome == "taken":
                return outcome
            if assistant.name != self._backboard.name_of(clerk_id):
                await self._backboard.rename_assistant(assistant_id, self._backboard.name_of(clerk_id), deadline)
                self.renamed += 1
        return outcome

    async def _write(
        self, transaction: Transaction, clerk_id: str, assistant_id: str, user: ForeignUser, known: User | None
    ) -> Outcome:
        """Insert the row or fill it, with the preferences, and commit."""
        profile = _profile(clerk_id, user)
        values = {
            "clerk_id": clerk_id,
            "email": profile.email,
            "name": profile.name,
            "image_url": profile.image_url,
            "created_at": user.created_at,
        }
        if known is None:
            more = {
                "user_id": new_id("user", user.key),
                "assistant_id": assistant_id,
                "last_sign_in_at": user.last_sign_in_at,
            }
            write: Statement = (self._queries.insert_imported_user, values | more)
        else:
            write = (self._queries.update_imported_user, values)
        # An attempt may have left an assistant of our name.
        statements = [write, *self._preferences(clerk_id, user), self._users.resolve_attempt(clerk_id)]
        try:
            written = await transaction.commit(*statements)
        except ConstraintViolated as error:
            if error.constraint == ASSISTANT_ID_KEY:
                return "taken"
            raise
        if known is None:
            return "created"
        return "updated" if any(written[:-1]) else "exists"

    def _preferences(self, clerk_id: str, user: ForeignUser) -> list[Statement]:
        if user.preferences is None:
            return []
        values = {"clerk_id": clerk_id, "document": user.preferences}
        return [(self._queries.insert_imported_preferences, values)]

    async def _without_assistant(self, clerk_id: str, user: ForeignUser, why: Outcome) -> Outcome:
        """A user without an assistant that exists gets one if the operator says so, by the path of every sign-up."""
        state = await self._provisioning.get_state(clerk_id)
        if state.is_deleted:
            return "deleted"
        if state.user is None and not self._create_missing:
            return why
        if state.user is not None and state.user.assistant_id == usable_uuid(user.assistant_id):
            # Lost since it was taken over: the user's next session replaces it, or reconcile.
            return why
        if self._dry_run:
            return "exists" if state.user else "created"
        return await self._provision(clerk_id, user)

    async def _provision(self, clerk_id: str, user: ForeignUser) -> Outcome:
        ensured = await self._provisioning.ensure(_profile(clerk_id, user), Deadline())
        if ensured.user is None:
            return "deleted"
        await self._query_pool.execute(*self._fill(clerk_id, user), deadline=Deadline())
        return "created" if ensured.outcome == "created" else "exists"

    def _fill(self, clerk_id: str, user: ForeignUser) -> list[Statement]:
        """What a row that provisioning has made does not know: since when the user is there, and preferences."""
        values = {"clerk_id": clerk_id, "email": None, "name": None, "image_url": None, "created_at": user.created_at}
        return [(self._queries.update_imported_user, values), *self._preferences(clerk_id, user)]


def _profile(clerk_id: str, user: ForeignUser) -> Profile:
    """What the row may hold of the user until an event of Clerk's says more."""
    email, name = usable_text(user.email, EMAIL_LENGTH), usable_text(user.name, NAME_LENGTH)
    return Profile(clerk_id, email, name, usable_text(user.image_url, IMAGE_URL_LENGTH))


def _refusal(state: UserState, assistant_id: str, owners: Rows, clerk_id: str) -> Outcome | None:
    """Why the user is not taken over, by what stands under the lock."""
    if state.is_deleted:
        return "deleted"
    if state.user is not None and state.user.assistant_id != assistant_id:
        return "other"
    if any(owner != clerk_id for _, owner in owners):
        return "taken"
    return None
