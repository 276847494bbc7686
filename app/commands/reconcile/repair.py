"""The writing half of reconcile: one user at a time, everything read again under that user's lock.

An assistant is renamed or deleted only where a committed fact already keeps it from being adopted. The lock alone would
not justify a deletion, because a process that has lost it without noticing still sends its DELETE. A tombstone never
goes away. A live row with another assistant, which Backboard has just confirmed, is a weaker fact: that one may vanish,
and a session then adopts the duplicate by its name (app.users.replacement). So beside a live row one run renames, which
takes no assistant away, and another deletes what no lookup by name can find any more.
"""

from dataclasses import dataclass, field
from datetime import datetime

from app import log
from app.commands.reconcile.models import (
    AssistantNames,
    ChangeLimit,
    GracePeriods,
    NamedAssistant,
    State,
    UserDrift,
    orphan_name,
)
from app.components import Components
from app.deadline import Deadline
from app.errors import ServiceError
from app.postgres.transaction import Transaction
from app.users.models import UserState
from app.users.repository import UserRepository


@dataclass(frozen=True, slots=True)
class LockedState:
    """One user, as read under the lock; `had_tombstone` when the tombstone is older than the run."""

    user_state: UserState
    tries: int | None
    last_at: datetime | None
    had_tombstone: bool


@dataclass(slots=True)
class RepairResult:
    """What became of each surplus assistant."""

    is_deleted: bool = False
    states: dict[str, State] = field(default_factory=dict)


class Repair:
    """Repairs one user after the other; the next run repeats what failed."""

    def __init__(
        self, components: Components, names: AssistantNames, grace_periods: GracePeriods, started_at: datetime
    ) -> None:
        self._queries = components.queries
        self._users = UserRepository(components.queries)
        self._query_pool = components.query_pool
        self._backboard = components.backboard
        self._provisioning = components.provisioning
        self._deletion = components.deletion
        self._replacement = components.replacement
        self._names = names
        self._grace_periods = grace_periods
        self._started_at = started_at
        self._limit = ChangeLimit()
        self.failures = 0
        self.deleted_attempts = 0

    async def repair(self, drift: UserDrift) -> None:
        """Do what the drift needs, and record in its findings what became of each."""
        result, done = RepairResult(), False
        if not drift.skip_destructive:
            try:
                await self._provision(drift)
                is_deleted = await self._delete_user(drift)
                await self._replace_assistant(drift)
                is_clean = not drift.needs_clean_up() or await self._clean_up(drift, result)
                done = is_deleted and is_clean
            except ServiceError as error:
                self._failed(drift, error.reason)
            except Exception as error:  # noqa: BLE001  # A bug with one user must not keep the others from repair.
                log.exception(error)
                self._failed(drift, "bug")
        _record(drift, result, done=done)

    def _failed(self, drift: UserDrift, reason: str) -> None:
        log.error("reconcile_failed", clerk_id=drift.clerk_id, reason=reason)
        self.failures += 1

    async def _provision(self, drift: UserDrift) -> None:
        """Provision a missing or stale user by the path of every sign-up and update."""
        if drift.profile is None:
            return
        if drift.look_first:
            # A second try looks by name before it creates, and so adopts an existing assistant. The attempt row may be
            # lost with the user's row, and a cut listing does not show every assistant.
            await self._query_pool.execute(self._users.record_attempt(drift.clerk_id), deadline=Deadline())
        await self._provisioning.ensure(drift.profile, Deadline())

    async def _delete_user(self, drift: UserDrift) -> bool:
        """Delete a user that Clerk has deleted, by the path of user.deleted; False when the change limit forbids it."""
        if not drift.missing_in_clerk:
            return True
        if not self._limit.take(drift.deleted_assistants()):
            return False
        await self._deletion.delete(drift.clerk_id, Deadline())
        return True

    async def _replace_assistant(self, drift: UserDrift) -> None:
        """Replace an assistant that Backboard has lost, by the path of the user's next session."""
        if drift.lost_assistant is not None and not drift.missing_in_clerk:
            await self._replacement.replace(drift.clerk_id, drift.lost_assistant, Deadline())

    async def _clean_up(self, drift: UserDrift, result: RepairResult) -> bool:
        """Under the lock, take the next step with each surplus assistant; then delete the attempt row if none is left.

        False when there is no committed fact to judge by.
        """
        deadline = Deadline()
        async with self._query_pool.connection(deadline.left(2.0)) as connection:
            transaction = Transaction(connection, self._queries, deadline)
            locked = await self._lock(transaction, drift.clerk_id)
            surplus = await self._find_surplus(transaction, drift, locked, deadline)
            if surplus is None:
                return False
            result.is_deleted = locked.user_state.is_deleted
            some_left = False
            for named in surplus:
                is_due = self._grace_periods.is_due(named, had_tombstone=locked.had_tombstone)
                result.states[named.assistant.id] = "left" if is_due else "waiting"
                is_gone = False
                if is_due and self._limit.take():
                    is_gone = await self._take_step(named, at_once=locked.had_tombstone, deadline=deadline)
                    result.states[named.assistant.id] = "mended"
                some_left = some_left or not is_gone
            if not some_left:
                await self._delete_attempt(transaction, drift.clerk_id, locked)
        return True

    async def _lock(self, transaction: Transaction, clerk_id: str) -> LockedState:
        _, states, attempts = await transaction.begin(
            self._users.lock(clerk_id),
            self._users.get_state(clerk_id),
            (self._queries.get_attempt, {"clerk_id": clerk_id, "started_at": self._started_at}),
        )
        tries, last_at, had_tombstone = attempts[0]
        return LockedState(UserState.from_row(states[0]), tries, last_at, bool(had_tombstone))

    async def _find_surplus(
        self, transaction: Transaction, drift: UserDrift, locked: LockedState, deadline: Deadline
    ) -> list[NamedAssistant] | None:
        """The assistants of the user's name that no row has; None when no committed fact keeps them from adoption."""
        user, is_deleted = locked.user_state.user, locked.user_state.is_deleted
        if user is None and not is_deleted:
            return None
        assistants = await self._backboard.find_assistants(drift.clerk_id, deadline)
        named = {one.id: NamedAssistant(one, drift.clerk_id) for one in assistants}
        named |= await self._find_renamed(drift, deadline)
        own = await self._backboard.get_assistant(user.assistant_id, deadline) if user else None
        if own is None and not is_deleted:
            return None
        if own is not None and locked.had_tombstone:
            # It belongs to the deleted user's row; its name may have changed.
            named.setdefault(own.id, NamedAssistant(own, drift.clerk_id))
        query = (self._queries.find_assistant_owners, {"assistant_ids": list(named)})
        (owners,) = await transaction.execute(query)
        kept = {one for one, owner_id in owners if not (is_deleted and owner_id == drift.clerk_id)}
        return [one for assistant_id, one in named.items() if assistant_id not in kept]

    async def _find_renamed(self, drift: UserDrift, deadline: Deadline) -> dict[str, NamedAssistant]:
        """The assistants that an earlier run has renamed, where they still have the name that the scan saw."""
        renamed: dict[str, NamedAssistant] = {}
        for scanned in drift.renamed:
            assistant = await self._backboard.get_assistant(scanned.assistant.id, deadline)
            named = self._names.read(assistant) if assistant else None
            if named is not None and (named.clerk_id, named.renamed_on) == (scanned.clerk_id, scanned.renamed_on):
                renamed[scanned.assistant.id] = named
        return renamed

    async def _take_step(self, named: NamedAssistant, *, at_once: bool, deadline: Deadline) -> bool:
        """Rename an assistant, or delete one that is renamed or that may go at once; whether it is deleted."""
        assistant = named.assistant
        if at_once or named.renamed_on is not None:
            await self._backboard.delete_assistant(assistant.id, deadline)
            return True
        await self._backboard.rename_assistant(assistant.id, orphan_name(assistant.name), deadline)
        return False

    async def _delete_attempt(self, transaction: Transaction, clerk_id: str, locked: LockedState) -> None:
        if locked.tries is None:
            return
        values = {
            "clerk_id": clerk_id,
            "tries": locked.tries,
            "last_at": locked.last_at,
            "min_age": self._grace_periods.min_age.total_seconds(),
        }
        (rows,) = await transaction.commit((self._queries.delete_settled_attempt, values))
        self.deleted_attempts += len(rows)


def _record(drift: UserDrift, result: RepairResult, *, done: bool) -> None:
    """Set the state of each finding, and add the surplus that was found only under the lock."""
    for finding in drift.findings:
        if finding.kind in ("duplicate", "orphaned") and finding.assistant_id in result.states:
            finding.state = result.states.pop(finding.assistant_id)
        elif finding.state == "found":
            finding.state = "mended" if done else "left"
    for assistant_id, state in result.states.items():
        drift.add("orphaned" if result.is_deleted else "duplicate", assistant_id, state)
