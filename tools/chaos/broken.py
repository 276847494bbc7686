"""The rules of the service, and how to switch each of them off in a server process, before it serves.

Every one is a mistake that somebody could make in the service; `caught_as` is the violation by which the campaign has
to notice it. Nothing in the service knows of this.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from app import components
from app.backboard.client import Backboard
from app.backboard.models import Assistant
from app.clerk.users import Profile
from app.deadline import Deadline
from app.errors import OutcomeUnknown, ServiceError
from app.http import client
from app.postgres.kept_connection import KeptConnection
from app.postgres.queries import Queries
from app.postgres.transaction import Transaction
from app.users.models import User, UserState
from app.users.provisioning import Ensured, ProfileUpdate, Provisioning
from tools.chaos import broken_batches

# mypy sees no sense in assigning to what is imported, and it is right: so that is done under other names.
_service: Any = Provisioning
_wiring: Any = components
_kept: Any = KeptConnection
_partner: Any = client


@dataclass(frozen=True, slots=True)
class Break:
    """One rule off."""

    switch_off: Callable[[], None]
    caught_as: str


def _sql(**changed: tuple[bytes, bytes]) -> Callable[[], None]:
    """Replace a piece of a statement; all of it, where the piece is empty."""

    def switch_off() -> None:
        load = Queries.load

        def load_changed() -> Queries:
            queries = load()
            texts = {}
            for name, (piece, other) in changed.items():
                text: bytes = getattr(queries, name)
                assert piece in text, f"{name} has changed: the break breaks nothing"
                texts[name] = text.replace(piece, other) if piece else other
            return replace(queries, **texts)

        Queries.load = staticmethod(load_changed)  # type: ignore[method-assign]  # That is the break.

    return switch_off


def _acknowledge_before_commit() -> None:
    """The answer goes out when the row is written, and COMMIT after it."""

    async def provision(self: Any, profile: Profile, deadline: Deadline) -> Ensured:
        async with AsyncExitStack() as slot:
            connection = await slot.enter_async_context(self._slots.provisioning_slot(deadline))
            transaction = Transaction(connection, self._queries, deadline)
            state = await self._record_attempt_and_lock(transaction, profile.clerk_id)
            if state.is_deleted or state.user is not None:
                await self._finish_without_insert(transaction, profile.clerk_id, state)
                return Ensured("gone", None) if state.is_deleted else Ensured("exists", state.user)
            assistant = await self._adopt_or_create(profile.clerk_id, state.tries, deadline)
            statements = (self._users.insert(profile, assistant.id), *self._users.clear_attempt(profile.clerk_id))
            inserted, *_ = await transaction.execute(*statements)
            _commit_afterwards(transaction, slot.pop_all())
        return Ensured("created", User(*inserted[0]))

    _service._provision = provision


_under_way: set[asyncio.Task[None]] = set()


def _commit_afterwards(transaction: Transaction, slot: AsyncExitStack) -> None:
    async def commit() -> None:
        async with slot:
            with suppress(ServiceError):
                await transaction.commit()

    task = asyncio.create_task(commit())
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


def _blind_retry() -> None:
    """A create without an answer is sent again, without looking."""
    create = Backboard.create_assistant

    async def adopt_or_create(self: Any, clerk_id: str, tries: int | None, deadline: Deadline) -> Assistant:  # noqa: ARG001  # As the original.
        try:
            return await create(self._backboard, clerk_id, deadline)
        except OutcomeUnknown:
            return await create(self._backboard, clerk_id, deadline)

    _service._adopt_or_create = adopt_or_create


def _compensate() -> None:
    """Whoever cannot commit deletes the assistant just made."""
    insert = _service._insert_and_commit

    async def insert_or_delete(
        self: Any, transaction: Any, profile: Profile, assistant: Assistant, deadline: Deadline
    ) -> Ensured:
        try:
            ensured: Ensured = await insert(self, transaction, profile, assistant, deadline)
        except ServiceError:
            await self._backboard.delete_assistant(assistant.id, deadline)
            raise
        return ensured

    async def give_up(self: Any, profile: Profile, assistant: Assistant, error: Exception, deadline: Deadline) -> None:  # noqa: ARG001  # As the original.
        raise error

    _service._insert_and_commit = insert_or_delete
    _service._after_lost_commit = give_up


def _no_fence() -> None:
    """A COMMIT without an answer counts as done."""

    async def believe(_: Any, profile: Profile, assistant: Assistant, *__: object) -> Ensured:
        now = datetime.now(UTC)
        return Ensured(
            "created", User(uuid4(), profile.clerk_id, str(UUID(assistant.id)), None, None, None, now, now, None, None)
        )

    _service._after_lost_commit = believe


_UPDATE_REGARDLESS = b"""
UPDATE users
SET email = profile.email, name = profile.name, image_url = profile.image_url,
    clerk_updated_at = profile.version, updated_at = now(),
    last_sign_in_at = coalesce(profile.last_sign_in, users.last_sign_in_at)
FROM unnest(
    %(clerk_ids)s::TEXT[], %(emails)s::TEXT[], %(names)s::TEXT[], %(image_urls)s::TEXT[],
    %(versions)s::TIMESTAMPTZ[], %(last_sign_ins)s::TIMESTAMPTZ[], %(event_times)s::TIMESTAMPTZ[]
) AS profile (clerk_id, email, name, image_url, version, last_sign_in, event_time)
WHERE users.clerk_id = profile.clerk_id AND users.deleted_at IS NULL
RETURNING users.id, users.clerk_id, users.assistant_id, users.email, users.name, users.image_url,
    users.created_at, users.clerk_updated_at, users.last_sign_in_at, users.deleted_at
"""


def _no_order_check() -> None:
    """Whatever comes last is stored."""
    _sql(update_users=(b"", _UPDATE_REGARDLESS))()

    async def apply(self: Any, profile: Profile, state: UserState, deadline: Deadline) -> Ensured:
        if state.is_deleted or state.user is None:
            return Ensured("gone", None)
        if profile.updated_at is None:
            return Ensured("exists", state.user)
        ensured: Ensured = await self._updates.submit(ProfileUpdate(profile, deadline))
        return ensured

    _service._apply = apply


def _shared_pool() -> None:
    """One pool for everything, as large as all together, and no connection that is kept."""
    run = _kept._run

    async def run_and_release(self: Any, statement: Any, *, is_repeatable: bool) -> Any:
        rows = await run(self, statement, is_repeatable=is_repeatable)
        await self._release(broken=False)
        return rows

    _kept._run = run_and_release
    make = _wiring.Pool
    made: list[Any] = []

    def shared(url: str, *, name: str, size: int, waiting: int = 0) -> Any:  # noqa: ARG001  # As the original.
        if not made:
            made.append(make(url, name=name, size=8, waiting=20))
        return made[0]

    _wiring.Pool = shared


def _swallow_cancellation() -> None:
    """What is cancelled at its limit goes on all the same."""

    @asynccontextmanager
    async def timeout(_: float) -> Any:
        yield

    assert "asyncio.timeout(seconds)" in inspect.getsource(client), "the limit is elsewhere: the break breaks nothing"
    _partner.asyncio = SimpleNamespace(timeout=timeout)
    provision = _service._provision
    ensure = _service.ensure

    async def stubborn(work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.create_task(work)
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(task)
        return task.result()

    _service._provision = lambda self, *words: stubborn(provision(self, *words))
    _service.ensure = lambda self, *words, **named: stubborn(ensure(self, *words, **named))


BREAKS = {
    "no-lock": Break(
        _sql(
            lock_user=(
                b"pg_advisory_xact_lock(hashtextextended('app:user:' || %(clerk_id)s, 0))",
                b"%(clerk_id)s::TEXT",
            )
        ),
        "resurrected",
    ),
    "acknowledge-before-commit": Break(_acknowledge_before_commit, "lost"),
    "forget-the-attempt": Break(
        _sql(
            record_attempt=(b"", b"SELECT 1 AS tries WHERE %(clerk_id)s::TEXT IS NOT NULL"),
            get_user_state=(b"provisioning_attempts.tries,", b"1 AS tries,"),
        ),
        "duplicate",
    ),
    "blind-retry": Break(_blind_retry, "duplicate"),
    "compensate-by-deletion": Break(_compensate, "dangling"),
    "no-fence": Break(_no_fence, "lost"),
    "no-order-check": Break(_no_order_check, "lost"),
    "no-tombstone": Break(
        _sql(insert_tombstone=(b"VALUES (%(clerk_id)s)", b"SELECT %(clerk_id)s::TEXT WHERE FALSE")), "resurrected"
    ),
    "shared-pool": Break(_shared_pool, "starved"),
    "swallowed-cancellation": Break(_swallow_cancellation, "slow"),
    "acknowledge-batch-before-commit": Break(broken_batches.acknowledge_batch_before_commit, "lost"),
    "repeat-write": Break(broken_batches.repeat_write, "duplicate"),
    "no-session-lock": Break(
        _sql(insert_messages=(b"", broken_batches.UNLOCKED_INSERT), lock_session=(b"FOR UPDATE OF sessions", b"")),
        "disordered",
    ),
    "forget-ids": Break(broken_batches.forget_ids, "duplicate"),
    "two-versions-in-a-batch": Break(broken_batches.two_versions_in_a_batch, "lost"),
    "swap-answers": Break(broken_batches.swap_answers, "leak"),
    "split-append": Break(broken_batches.split_append, "torn"),
}
