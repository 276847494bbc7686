"""Make sure of one user: the one path on which every caller ends.

    0  a row, a tombstone?    one batched lookup                              -> exists | gone
    1  note the try           committed by itself, before anything is sent
    2  BEGIN                  lock the user; then row, tombstone and tries again; with 1 in one round trip
    3  tries > 1              ask Backboard by name, adopt the oldest match
       else, or none          create the assistant
    4  INSERT                 and settle the attempt
    5  COMMIT

The transaction stays open while Backboard answers, on purpose: its lock dies with the process, at once and
without leases. Anything wrong from 2 to 5 rolls back and answers 503; the note stays, and the next try adopts
what this one may have left. Nothing is ever deleted to make up for a failure. tests/model.py holds the search
that shows why each of these rules is there.
"""

import asyncio
from functools import partial
from math import ceil
from time import monotonic
from typing import Literal, NamedTuple

from app import log
from app.backboard.client import Backboard
from app.backboard.models import LONGEST_WAIT, Assistant
from app.clerk.users import Profile
from app.deadline import Deadline
from app.errors import (
    AttemptMissing,
    ConstraintViolated,
    DatabaseUnavailable,
    IdTaken,
    PoolSaturated,
    ProvisioningSaturated,
)
from app.postgres.batch_loader import BatchLoader
from app.postgres.pipeline import (
    BEGIN,
    COMMIT,
    Connection,
    Rows,
    Statement,
    execute,
    rollback,
    set_local_timeouts,
    transaction,
)
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.users.models import User, UserState
from app.users.repository import Users, facts, found

Outcome = Literal["created", "updated", "exists", "stale", "gone"]

# A place is free again after about as long as Backboard takes, so a burst is better waited out than sent away: what is
# sent away comes back a second later at the earliest, and places stand empty meanwhile.
PLACE_SECONDS = 4.0
COMMIT_SECONDS = 3.0
# Whoever else writes this user's note is done within a round trip.
NOTE_LOCK_MS = 1000
# The locks' own limits are the server's (1 s and 3 s); the socket is given a little longer to bring its refusal.
LOCK_SECONDS = 3.6
NOTE_AND_LOCK_SECONDS = 4.6
ASSISTANT_ID_KEY = "users_assistant_id_key"


class Ensured(NamedTuple):
    """What became of a user; `user` is None only when they are gone."""

    outcome: Outcome
    user: User | None


class Provisioning:
    """Owns the flights: in one process, callers for one user share one try.

    `places` is the pool whose size bounds how many users are provisioned at a time; `pool` serves everything
    short, and neither waits for the other.
    """

    def __init__(self, *, queries: Queries, query_pool: Pool, provisioning_pool: Pool, backboard: Backboard) -> None:
        self._queries = queries
        self._users = Users(queries)
        self._query_pool = query_pool
        self._provisioning_pool = provisioning_pool
        self._backboard = backboard
        self._lookup = BatchLoader(query_pool, self._users.find, key_column=1, limits=queries.set_local_timeouts)
        self._flights: dict[str, asyncio.Task[Ensured]] = {}
        # Seconds that a try took of late, the last ones counting most.
        self._pace = 1.0

    async def find(self, clerk_id: str) -> UserState:
        """Step 0: the row and the tombstone of a user, as the batched lookup sees them."""
        with log.timed("db_ms"):
            return found(await self._lookup.find(clerk_id))

    async def ensure(self, profile: Profile, deadline: Deadline, *, known: UserState | None = None) -> Ensured:
        """Make sure that the user of `profile` has a row and an assistant, or is known to be gone.

        `known` is what `find` just said, where the caller has asked already. Raises Unavailable or a class below
        it; then nothing is lost, and the next call carries on.
        """
        known = known or await self.find(profile.clerk_id)
        if not known.gone and known.user is None:
            return await self._join_flight(profile, deadline)
        return await self._apply(profile, known, deadline)

    async def close(self, seconds: float) -> None:
        """Wait for the flights under way, at most `seconds`, and give the lookup's connection back."""
        if self._flights:
            await asyncio.wait(self._flights.values(), timeout=seconds)
        await self._lookup.close()

    async def _apply(self, profile: Profile, known: UserState, deadline: Deadline) -> Ensured:
        """Answer for a user whose row or tombstone stands, storing the profile where it is newer."""
        user = known.user
        if known.gone or user is None:
            return Ensured("gone", None)
        if profile.updated_at is None:
            return Ensured("exists", user)
        if profile.updated_at < user.clerk_updated_at:
            return Ensured("stale", user)
        if profile.updated_at == user.clerk_updated_at and not user.differs_from(profile):
            return Ensured("exists", user)
        return await self._update(profile, deadline)

    async def _update(self, profile: Profile, deadline: Deadline) -> Ensured:
        statements = (
            self._users.update(profile),
            self._users.get_user_state(profile.clerk_id),
        )
        rows = await self._short_transaction(*statements, deadline=deadline)
        updated, after = rows[0], facts(rows[1][0])
        if updated:
            return Ensured("updated", User(*updated[0]))
        # Somebody was quicker: with newer facts, or with the deletion.
        return Ensured("gone", None) if after.gone else Ensured("stale", after.user)

    async def _short_transaction(self, *statements: Statement, deadline: Deadline) -> list[Rows]:
        """Run statements in a transaction of their own on the lookup pool; the rows of each."""
        with log.timed("db_ms"):
            async with self._query_pool.connection(deadline.left(2.0)) as connection:
                whole = transaction(self._queries.set_local_timeouts, *statements)
                rows = await execute(connection, *whole, seconds=deadline.left(LOCK_SECONDS))
        return rows[2:-1]

    async def _join_flight(self, profile: Profile, deadline: Deadline) -> Ensured:
        flight = self._flights.get(profile.clerk_id)
        if flight is None:
            flight = asyncio.create_task(self._provision(profile, deadline))
            self._flights[profile.clerk_id] = flight
            flight.add_done_callback(partial(self._land, profile.clerk_id))
            # Shielded: the try goes on when its caller is cancelled, since Backboard may already be at work.
            ensured = await asyncio.shield(flight)
            if ensured.outcome == "created":
                return ensured
        else:
            ensured = await asyncio.shield(flight)
        # The row stands, but with somebody else's profile: each caller's own is compared with it.
        known = UserState(ensured.user, gone=ensured.user is None)
        return await self._apply(profile, known, deadline)

    def _land(self, clerk_id: str, flight: asyncio.Task[Ensured]) -> None:
        del self._flights[clerk_id]
        if not flight.cancelled():
            # Looked at here, since its callers may have left; whoever still waits gets it all the same.
            flight.exception()

    async def _provision(self, profile: Profile, deadline: Deadline) -> Ensured:
        """Steps 1 to 5, on one connection of the provisioning pool."""
        connection = await self._take_place(deadline)
        started = monotonic()
        try:
            # Asked again, since much can have happened to those ahead of us.
            self._backboard.breaker.acquire()
            ensured = await self._try(connection, profile, deadline)
            self._pace = (self._pace + monotonic() - started) / 2
            return ensured
        finally:
            # Anything wrong on the way ends in a rollback here; the note of step 1 stays.
            await self._provisioning_pool.release(connection)

    async def _take_place(self, deadline: Deadline) -> Connection:
        self._backboard.breaker.raise_if_open()
        try:
            return await self._provisioning_pool.acquire(deadline.left(PLACE_SECONDS))
        except PoolSaturated as error:
            turns = self._provisioning_pool.stats()["waiting"] // self._provisioning_pool.size + 1
            wait = min(LONGEST_WAIT, ceil(turns * self._pace))
            raise ProvisioningSaturated(retry_after=wait) from error

    async def _try(self, connection: Connection, profile: Profile, deadline: Deadline) -> Ensured:
        known = await self._note_and_lock(connection, profile.clerk_id, deadline)
        if known.gone or known.user is not None:
            await self._leave(connection, profile.clerk_id, known, deadline)
            return Ensured("gone", None) if known.gone else Ensured("exists", known.user)
        assistant = await self._adopt_or_create(profile.clerk_id, known.tries, deadline)
        return await self._insert_and_commit(connection, profile, assistant, deadline)

    async def _note_and_lock(self, connection: Connection, clerk_id: str, deadline: Deadline) -> UserState:
        """Steps 1 and 2, in one round trip: two transactions, the first committed and the second left open.

        What a kill, a rollback or a lost answer would erase must be remembered before it can happen. The lock and
        the reading are two statements: in one, the reading would see what stood before the wait.
        """
        limits, values = self._queries.set_local_timeouts, {"clerk_id": clerk_id}
        statements = (
            *transaction(limits, (self._queries.record_attempt, values), lock_ms=NOTE_LOCK_MS),
            BEGIN,
            set_local_timeouts(limits),
            (self._queries.lock_user, values),
            self._users.get_user_state(clerk_id),
        )
        with log.timed("db_ms"):
            *_, rows = await execute(connection, *statements, seconds=deadline.left(NOTE_AND_LOCK_SECONDS))
        return facts(rows[0])

    async def _adopt_or_create(self, clerk_id: str, tries: int | None, deadline: Deadline) -> Assistant:
        """Step 3. Only `tries` as read under the lock can say that nobody has sent a create before."""
        if tries is None:
            # Reconcile cleared the note; without it, a create could be forgotten.
            raise AttemptMissing
        log.bind(attempt=tries)
        if tries > 1:
            assistants = await self._backboard.find_assistants(clerk_id, deadline)
            if assistants:
                log.bind(adopted=True)
                return assistants[0]
        return await self._backboard.create_assistant(clerk_id, deadline)

    async def _insert_and_commit(
        self, connection: Connection, profile: Profile, assistant: Assistant, deadline: Deadline
    ) -> Ensured:
        """Steps 4 and 5, in one round trip."""
        statements = (self._users.insert(profile, assistant.id), *self._settle(profile.clerk_id), COMMIT)
        try:
            with log.timed("db_ms"):
                rows = await execute(connection, *statements, seconds=deadline.left(COMMIT_SECONDS))
        except DatabaseUnavailable as error:
            await rollback(connection)
            return await self._after_lost_commit(profile, assistant, error, deadline)
        return Ensured("created", User(*rows[0][0]))

    async def _after_lost_commit(
        self, profile: Profile, assistant: Assistant, error: DatabaseUnavailable, deadline: Deadline
    ) -> Ensured:
        """Settle what a failed step 4 or 5 left, by looking under the same lock.

        COMMIT holds the lock until it is decided, so whoever has the lock sees the decision. A row there is
        the truth, whoever made it; otherwise nothing is deleted, and the next try adopts. It is ours only if it holds
        our profile as well: another try may have adopted the same assistant meanwhile, for an older event.
        """
        clerk_id = profile.clerk_id
        if isinstance(error, ConstraintViolated) and error.constraint == ASSISTANT_ID_KEY:
            log.error("backboard_id_twice", clerk_id=clerk_id, assistant_id=assistant.id)
            raise IdTaken from error
        statements = ((self._queries.lock_user, {"clerk_id": clerk_id}), self._users.get_user_state(clerk_id))
        rows = await self._short_transaction(*statements, deadline=deadline)
        known = facts(rows[1][0])
        if known.user is None or known.gone:
            raise error
        ours = known.user.assistant_id == assistant.id and known.user.holds(profile)
        return Ensured("created" if ours else "exists", known.user)

    async def _leave(self, connection: Connection, clerk_id: str, known: UserState, deadline: Deadline) -> None:
        """Somebody else provisioned or deleted the user meanwhile: settle our own note and let go.

        Beside a tombstone another's note may be a deletion's that is not finished, so it is not marked.
        """
        forget, resolve = self._settle(clerk_id)
        settle = (forget,) if known.gone else (forget, resolve)
        with log.timed("db_ms"):
            await execute(connection, *settle, COMMIT, seconds=deadline.left(COMMIT_SECONDS))

    def _settle(self, clerk_id: str) -> tuple[Statement, Statement]:
        """Forget the note if this try is the only one ever noted; else mark that a second assistant may exist."""
        values = {"clerk_id": clerk_id}
        return (self._queries.delete_first_attempt, values), (self._queries.resolve_attempt, values)
