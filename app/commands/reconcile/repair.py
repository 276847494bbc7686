"""The writing half of reconcile: one user at a time, everything read again under that user's lock.

An assistant is put aside or deleted only where a committed fact already makes it unadoptable: a live row that names
another assistant which Backboard has just confirmed, or a tombstone. Such a fact never goes away, so nothing is lost
when the lock is: the lock alone would be no reason to delete anything, because whoever has lost it without noticing
still sends its DELETE.
"""

from dataclasses import dataclass, field
from datetime import datetime

from app import log
from app.backboard.client import Backboard
from app.commands.reconcile.models import AssistantNames, ChangeLimit, GracePeriods, Named, State, UserDrift, set_aside
from app.deadline import Deadline
from app.errors import ServiceError
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import Transaction
from app.users.deletion import UserDeletion
from app.users.models import UserState
from app.users.provisioning import Provisioning
from app.users.repository import Users


@dataclass(slots=True)
class LockedState:
    """What was read about one user under the lock."""

    known: UserState
    tries: int | None
    last_at: datetime | None
    # The tombstone is older than this run.
    stood_before: bool


@dataclass(slots=True)
class RepairResult:
    """What became of each assistant that was too many; `judged` when a fact stood by which to judge."""

    judged: bool = False
    gone: bool = False
    states: dict[str, State] = field(default_factory=dict)


class Repair:
    """Mends one case after the other; what a case could not get done, the next run does."""

    def __init__(
        self,
        *,
        queries: Queries,
        query_pool: Pool,
        backboard: Backboard,
        provisioning: Provisioning,
        deletion: UserDeletion,
        names: AssistantNames,
        waits: GracePeriods,
        started_at: datetime,
    ) -> None:
        self._queries = queries
        self._users = Users(queries)
        self._query_pool = query_pool
        self._backboard = backboard
        self._provisioning = provisioning
        self._deletion = deletion
        self._names = names
        self._waits = waits
        self._started_at = started_at
        self._budget = ChangeLimit()
        self.failures = 0
        self.forgotten = 0

    async def mend(self, case: UserDrift) -> None:
        """Do what the case needs, and write into its findings what became of each."""
        settled = RepairResult()
        done = False
        if not case.skip_destructive:
            try:
                await self._make_sure(case)
                buried = await self._bury(case)
                if case.may_have_too_many():
                    await self._settle(case, settled)
                    done = buried and settled.judged
                else:
                    done = buried
            except ServiceError as error:
                self._failed(case, error.reason)
            except Exception as error:  # noqa: BLE001  # One user's bug must not keep the others from being mended.
                log.exception(error)
                self._failed(case, "bug")
        _close(case, settled, done=done)

    def _failed(self, case: UserDrift, reason: str) -> None:
        log.error("reconcile_failed", clerk_id=case.clerk_id, reason=reason)
        self.failures += 1

    async def _make_sure(self, case: UserDrift) -> None:
        """A missing or stale user goes the way that every sign-up and update goes."""
        if case.profile is None:
            return
        if case.look_first:
            # A second try looks by name before it creates. Where the notes were lost with the rows, or the
            # listing is cut, that is what adopts the assistant that is there.
            await self._query_pool.execute(self._users.record_attempt(case.clerk_id), deadline=Deadline())
        await self._provisioning.ensure(case.profile, Deadline())

    async def _bury(self, case: UserDrift) -> bool:
        """A user that Clerk has deleted goes the way of user.deleted: the tombstone first."""
        if not case.missing_in_clerk:
            return True
        if not self._budget.take(case.at_stake()):
            return False
        await self._deletion.delete(case.clerk_id, Deadline())
        return True

    async def _settle(self, case: UserDrift, settled: RepairResult) -> None:
        """Under the lock: what is too many goes, one step at a time; a note of which nothing is left is forgotten."""
        deadline = Deadline()
        async with self._query_pool.connection(deadline.left(2.0)) as connection:
            transaction = Transaction(connection, self._queries, deadline)
            under = await self._lock(transaction, case.clerk_id)
            surplus = await self._surplus(transaction, case, under, deadline)
            if surplus is None:
                return
            settled.judged, settled.gone = True, under.known.is_deleted
            left_over = False
            for named in surplus:
                due = self._waits.are_over(named, stood_before=under.stood_before)
                settled.states[named.assistant.id] = "left" if due else "waiting"
                deleted = False
                if due and self._budget.take():
                    deleted = await self._take_a_step(named, at_once=under.stood_before, deadline=deadline)
                    settled.states[named.assistant.id] = "mended"
                left_over = left_over or not deleted
            if not left_over:
                await self._forget(transaction, case.clerk_id, under)

    async def _lock(self, transaction: Transaction, clerk_id: str) -> LockedState:
        _, states, attempts = await transaction.begin(
            self._users.lock(clerk_id),
            self._users.get_state(clerk_id),
            (self._queries.get_attempt, {"clerk_id": clerk_id, "started_at": self._started_at}),
        )
        tries, last_at, stood_before = attempts[0]
        return LockedState(UserState.from_row(states[0]), tries, last_at, bool(stood_before))

    async def _surplus(
        self, transaction: Transaction, case: UserDrift, under: LockedState, deadline: Deadline
    ) -> list[Named] | None:
        """Everything of this user's name that no row keeps; None when no fact stands by which to judge."""
        known, user = under.known, under.known.user
        if user is None and not known.is_deleted:
            return None
        assistants = await self._backboard.find_assistants(case.clerk_id, deadline)
        named = {one.id: Named(one, case.clerk_id) for one in assistants}
        named |= await self._still_aside(case, deadline)
        own = await self._backboard.get_assistant(user.assistant_id, deadline) if user else None
        if own is None and not known.is_deleted:
            return None
        if own is not None and under.stood_before:
            # Whatever name it bears by now, it is the tombstoned row's own.
            named.setdefault(own.id, Named(own, case.clerk_id))
        query = (self._queries.find_assistant_owners, {"assistant_ids": list(named)})
        (rows,) = await transaction.execute(query)
        kept = {one for one, owner_id in rows if not (known.is_deleted and owner_id == case.clerk_id)}
        return [one for assistant_id, one in named.items() if assistant_id not in kept]

    async def _still_aside(self, case: UserDrift, deadline: Deadline) -> dict[str, Named]:
        """Those that an earlier run has put aside, as long as they bear the same name as when they were listed."""
        aside: dict[str, Named] = {}
        for listed in case.renamed:
            assistant = await self._backboard.get_assistant(listed.assistant.id, deadline)
            named = self._names.read(assistant) if assistant else None
            if named is not None and (named.clerk_id, named.renamed_on) == (listed.clerk_id, listed.renamed_on):
                aside[listed.assistant.id] = named
        return aside

    async def _take_a_step(self, named: Named, *, at_once: bool, deadline: Deadline) -> bool:
        """Put an assistant aside; delete one that was put aside long enough, or whose user was gone before."""
        assistant = named.assistant
        if at_once or named.renamed_on is not None:
            await self._backboard.delete_assistant(assistant.id, deadline)
            return True
        await self._backboard.rename_assistant(assistant.id, set_aside(assistant.name), deadline)
        return False

    async def _forget(self, transaction: Transaction, clerk_id: str, under: LockedState) -> None:
        if under.tries is None:
            return
        values = {
            "clerk_id": clerk_id,
            "tries": under.tries,
            "last_at": under.last_at,
            "min_age": self._waits.min_age.total_seconds(),
        }
        forget = (self._queries.delete_settled_attempt, values)
        (rows,) = await transaction.commit(forget)
        self.forgotten += len(rows)


def _close(case: UserDrift, settled: RepairResult, *, done: bool) -> None:
    """What became of each finding; what turned up only under the lock is added."""
    for finding in case.findings:
        if finding.kind in ("duplicate", "orphaned") and finding.assistant_id in settled.states:
            finding.state = settled.states.pop(finding.assistant_id)
        elif finding.state == "found":
            finding.state = "mended" if done else "left"
    for assistant_id, state in settled.states.items():
        case.add("orphaned" if settled.gone else "duplicate", assistant_id, state)
