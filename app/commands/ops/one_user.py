"""What the buttons of the operations page do about one user: the same code as the commands', in the web process."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta

from app.clerk.users import Profile
from app.commands.erase import Erasure, UserData
from app.commands.reconcile.models import AssistantNames, Finding, GracePeriods, UnsafeToProceed, UserDrift
from app.commands.reconcile.readers import Tables
from app.commands.reconcile.repair import Repair
from app.commands.reconcile.safety import check_clerk_key
from app.commands.reconcile.threads import ThreadResult, finish_deletions
from app.components import Components
from app.deadline import Deadline
from app.ops.models import ActionResult, DeliveryFilter
from app.ops.reads import OpsReads
from app.ops.words import plural
from app.settings import Settings
from app.users.models import UserState
from app.users.repository import UserRepository

# Those of the command without options.
GRACE_PERIODS = GracePeriods(min_age=timedelta(hours=1), keep=timedelta(days=7))
YOUNG = " A create that was sent may still arrive: press it again in an hour, or let `reconcile` look."
NO_CLERK_KEY = "CLERK_SECRET_KEY is not set, so Clerk cannot be asked; nothing was changed."

_KINDS = {
    "missing": "No row, or no assistant at Backboard",
    "stale": "An older profile than Clerk's",
    "deleted": "Deleted at Clerk, and not here",
    "duplicate": "A second assistant",
    "orphaned": "An assistant although the user is deleted",
}
_STATES = {
    "found": "seen",
    "mended": "repaired",
    "waiting": "waits for its grace period",
    "left": "left, for a reason that the log has",
}


class OneUser:
    """Each says what became of it; ServiceError where something was down, and then it may be repeated."""

    def __init__(self, components: Components, settings: Settings) -> None:
        self._components = components
        self._names = AssistantNames(settings.assistant_name_prefix)
        self._users = UserRepository(components.queries)

    @property
    def can_ask_clerk(self) -> bool:
        return self._components.clerk is not None

    async def sync(self, clerk_id: str) -> ActionResult:
        """Read the user from Clerk and ensure them, by the path of every sign-up and update."""
        if self._components.clerk is None:
            return ActionResult(NO_CLERK_KEY)
        profile = await self._components.clerk.get_user(clerk_id, Deadline())
        if profile is None:
            return ActionResult("Clerk knows no such user; nothing was changed.")
        ensured = await self._components.provisioning.ensure(profile, Deadline())
        return ActionResult(f"Clerk was asked, and the user is ensured: {ensured.outcome}.")

    async def ask_backboard(self, clerk_id: str) -> str:
        """Which assistants of the user's name there are, and whether the row's own is one; changes nothing."""
        backboard, state = self._components.backboard, await self._state(clerk_id)
        named = {one.id for one in await backboard.find_assistants(clerk_id, Deadline())}
        if state.user is None or state.is_deleted:
            return f"Backboard has {plural(len(named), 'assistant')} of this user's name."
        own = await backboard.get_assistant(state.user.assistant_id, Deadline())
        if own is None:
            return f"Backboard does not have the assistant of the row, and {len(named)} of this user's name."
        others = len(named - {own.id})
        more = f", and {plural(others, 'more assistant')} of this user's name: press Repair" if others else ""
        return f"Backboard has the assistant of the row{more}."

    async def erase(self, clerk_id: str) -> ActionResult:
        """Delete everything of the user, here and at Backboard, as `erase` does."""
        erasure = Erasure(self._components, clerk_id)
        before = await erasure.count()
        if before.is_empty:
            return ActionResult("There was nothing of this user, here or at Backboard.", is_erased=True)
        await erasure.erase()
        after = await erasure.count()
        if after.is_empty:
            return ActionResult(f"Erased: {_amounts(before)}. Nothing is left but the tombstone.", is_erased=True)
        return ActionResult(f"Erased, but something is left: {_amounts(after)}. Erase again.")

    async def repair(self, clerk_id: str) -> ActionResult:
        """Reconcile this one user, as `reconcile --all --apply` would."""
        components = self._components
        tables = Tables(components.queries, components.query_pool, GRACE_PERIODS.min_age.total_seconds())
        try:
            started_at = await tables.begin()
            drift = await self._examine(clerk_id, tables)
        except UnsafeToProceed as refusal:
            return ActionResult(f"Refused, because it could do harm: {refusal}.")
        if drift is None:
            return ActionResult(f"Only Clerk can say whether this user exists. {NO_CLERK_KEY}")
        repair = Repair(components, self._names, GRACE_PERIODS, started_at)
        await repair.repair(drift)
        failed = " It did not succeed; the log says why, and it may be repeated." if repair.failures else ""
        threads = await finish_deletions(components, GRACE_PERIODS, apply=True, clerk_id=clerk_id)
        found = _found(drift.findings) + _threads(threads) or ("" if failed else "Nothing had to be repaired.")
        left = await self._state(clerk_id)
        return ActionResult(found + failed + (YOUNG if left.user is not None and left.tries is not None else ""))

    async def _examine(self, clerk_id: str, tables: Tables) -> UserDrift | None:
        """What differs about the user; None where only Clerk could say. UnsafeToProceed."""
        state = await self._state(clerk_id)
        # It always looks by name under the lock, whatever else it finds.
        drift = UserDrift(clerk_id, look_first=True, has_attempt=state.tries is not None)
        if state.is_deleted:
            return drift
        clerk = self._components.clerk
        if clerk is None:
            if state.user is None and not await self._is_known(clerk_id, state):
                return None
            profile: Profile | None = Profile(clerk_id) if state.user is None else None
        else:
            profile = await clerk.get_user(clerk_id, Deadline())
            if profile is None:
                await check_clerk_key(clerk, tables)
                await self._note_absence(drift, state)
                return drift
        await self._note_profile(drift, state, profile)
        return drift

    async def _note_profile(self, drift: UserDrift, state: UserState, profile: Profile | None) -> None:
        if state.user is None:
            drift.profile = profile
            drift.add("missing")
            return
        if profile is not None and not state.user.holds(profile):
            # The row stands, so no create follows that would have to look first.
            drift.profile, drift.look_first = profile, False
            drift.add("stale", state.user.assistant_id)
        if await self._components.backboard.get_assistant(state.user.assistant_id, Deadline()) is None:
            drift.lost_assistant = state.user.assistant_id
            drift.add("missing", state.user.assistant_id)

    async def _note_absence(self, drift: UserDrift, state: UserState) -> None:
        """Clerk has no such user. A young row or attempt waits: its API may answer later than its event comes."""
        queries, user = self._components.queries, {"clerk_id": drift.clerk_id}
        facts, now = await self._components.query_pool.execute(
            (queries.get_user_facts, user), (queries.get_time, {}), deadline=Deadline()
        )
        made_at = state.user.created_at if state.user else facts[0][2]
        is_old = made_at is not None and made_at <= now[0][0] - GRACE_PERIODS.min_age
        drift.missing_in_clerk = is_old
        drift.skip_destructive = not is_old
        drift.add("deleted", state.user.assistant_id if state.user else None, "found" if is_old else "waiting")

    async def _is_known(self, clerk_id: str, state: UserState) -> bool:
        """Whether a verified event or a caller has spoken of the user, where Clerk cannot be asked."""
        if state.tries is not None:
            return True
        page = await OpsReads(self._components.queries, self._components.query_pool).deliveries(
            DeliveryFilter(clerk_id=clerk_id), page_size=1
        )
        return bool(page.deliveries)

    async def _state(self, clerk_id: str) -> UserState:
        (rows,) = await self._components.query_pool.execute(self._users.get_state(clerk_id), deadline=Deadline())
        return UserState.from_row(rows[0])


def _found(findings: Iterable[Finding]) -> str:
    return " ".join(f"{_KINDS[one.kind]}: {_STATES[one.state]}." for one in findings)


def _threads(result: ThreadResult) -> str:
    if not result.found:
        return ""
    left = f", {result.left} left" if result.left else ""
    return f" {plural(result.found - result.left, 'thread')} of deleted sessions deleted{left}."


def _amounts(data: UserData) -> str:
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in asdict(data).items() if number)
