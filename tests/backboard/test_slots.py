"""Slots bound the calls to Backboard; requests without a slot are refused.

First the two classes by themselves, then the service while Backboard hangs, fails or refuses.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import psycopg
import pytest

from app.backboard import slots
from app.backboard.circuit_breaker import CircuitBreaker
from app.backboard.slots import DeletionSlots, ProvisioningSlots
from app.deadline import Deadline
from app.errors import CircuitOpen, DatabaseDown, ProvisioningSaturated
from app.postgres.pipeline import execute
from app.postgres.pool import Pool
from tests.support.factories import Person, event, user_data, user_updated
from tests.support.service import Service
from tools.processes import free_port
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import html, status
from tools.sandbox.faults import Fault, drops, held, resets

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """One connection, and no bound for the queue."""
    pool = Pool(database_url, name="slots", size=1)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
def provisioning(pool: Pool, breaker: CircuitBreaker) -> ProvisioningSlots:
    return ProvisioningSlots(pool, breaker)


async def take(provisioning: ProvisioningSlots, seconds: float = 5.0) -> None:
    """Take a slot and leave it at once."""
    async with provisioning.provisioning_slot(Deadline(seconds)):
        pass


async def queue(provisioning: ProvisioningSlots, pool: Pool, count: int) -> list[asyncio.Task[None]]:
    """Start `count` callers; returns when all of them wait for a slot."""
    callers = [asyncio.create_task(take(provisioning)) for _ in range(count)]
    async with asyncio.timeout(5):
        while pool.stats()["waiting"] < count:  # noqa: ASYNC110  # The pool counts them and has no event.
            await asyncio.sleep(0.01)
    return callers


async def test_an_open_circuit_refuses_before_a_connection_is_taken(
    provisioning: ProvisioningSlots, pool: Pool, breaker: CircuitBreaker
) -> None:
    """With the only connection in use, waiting for it would end as ProvisioningSaturated."""
    breaker.throttled(20)

    async with pool.connection():
        with pytest.raises(CircuitOpen) as caught:
            await take(provisioning, seconds=0.2)

    assert caught.value.retry_after == 20


async def test_the_circuit_is_checked_again_after_the_wait(
    provisioning: ProvisioningSlots, pool: Pool, breaker: CircuitBreaker
) -> None:
    """The connection that was waited for is released."""
    async with pool.connection():
        (caller,) = await queue(provisioning, pool, 1)
        breaker.throttled(20)

    with pytest.raises(CircuitOpen):
        await caller
    async with pool.connection(0.5):
        pass


async def test_a_caller_waits_for_a_slot_until_its_timeout(
    provisioning: ProvisioningSlots, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "SLOT_TIMEOUT", 0.2)

    async with pool.connection(), asyncio.timeout(3):
        with pytest.raises(ProvisioningSaturated):
            await take(provisioning, seconds=60)

    await take(provisioning)


async def test_a_caller_waits_for_a_slot_no_longer_than_its_deadline(
    provisioning: ProvisioningSlots, pool: Pool
) -> None:
    async with pool.connection(), asyncio.timeout(3):
        with pytest.raises(ProvisioningSaturated):
            await take(provisioning, seconds=0.2)


@pytest.mark.parametrize(("waiting", "retry_after"), [(1, 2), (3, 4), (40, 30)])
async def test_retry_after_grows_with_the_queue_up_to_thirty_seconds(
    database_url: str, breaker: CircuitBreaker, waiting: int, retry_after: int
) -> None:
    """Behind a full queue a caller does not wait. Before the first measurement, a slot counts as one second."""
    pool = Pool(database_url, name="slots", size=1, waiting=waiting)
    await pool.open()
    provisioning = ProvisioningSlots(pool, breaker)
    async with pool.connection():
        callers = await queue(provisioning, pool, waiting)
        with pytest.raises(ProvisioningSaturated) as caught:
            await take(provisioning)
    await asyncio.gather(*callers)
    await pool.close()

    assert caught.value.retry_after == retry_after


async def test_retry_after_follows_the_time_that_slots_were_held(database_url: str, breaker: CircuitBreaker) -> None:
    """The latest ones count most."""
    pool = Pool(database_url, name="slots", size=1, waiting=3)
    await pool.open()
    provisioning = ProvisioningSlots(pool, breaker)

    async def refused() -> int:
        async with pool.connection():
            callers = await queue(provisioning, pool, 3)
            with pytest.raises(ProvisioningSaturated) as caught:
                await take(provisioning)
        await asyncio.gather(*callers)
        return caught.value.retry_after

    for _ in range(6):
        await take(provisioning)
    fast = await refused()
    async with provisioning.provisioning_slot(Deadline()):
        await asyncio.sleep(1.1)
    slow = await refused()
    await pool.close()

    assert (fast, slow) == (1, 3)


async def test_a_database_that_is_down_is_not_called_saturated(breaker: CircuitBreaker) -> None:
    pool = Pool(f"postgresql://app@127.0.0.1:{free_port()}/app", name="slots", size=1)
    await pool.open()

    with pytest.raises(DatabaseDown):
        await take(ProvisioningSlots(pool, breaker), seconds=0.5)

    await pool.close()


async def test_an_exception_in_a_slot_rolls_back_and_releases_the_connection(
    provisioning: ProvisioningSlots, database: Database
) -> None:

    async def fail() -> None:
        async with provisioning.provisioning_slot(Deadline()) as connection:
            insert = b"INSERT INTO deleted_users (clerk_id) VALUES ('user_a')"
            await execute(connection, (b"BEGIN", {}), (insert, {}), seconds=5)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert database.execute("SELECT 1 FROM deleted_users").fetchall() == []
    async with provisioning.provisioning_slot(Deadline(0.5)) as connection:
        assert connection.info.transaction_status.name == "IDLE"


async def test_a_cancelled_caller_releases_its_slot(provisioning: ProvisioningSlots, pool: Pool) -> None:
    """Whether it held one or waited for one."""

    async def hold() -> None:
        async with provisioning.provisioning_slot(Deadline()):
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    waiting = await queue(provisioning, pool, 1)

    for caller in (*waiting, holder):
        caller.cancel()
    await asyncio.wait([*waiting, holder])

    await take(provisioning, seconds=0.5)


async def take_deletion_slot(deletion: DeletionSlots, seconds: float = 0.5) -> None:
    async with deletion.deletion_slot(Deadline(seconds)):
        pass


async def hold_deletion_slot(deletion: DeletionSlots) -> None:
    async with deletion.deletion_slot(Deadline()):
        await asyncio.Event().wait()


async def test_deletions_beyond_the_slots_wait_and_are_then_refused(breaker: CircuitBreaker) -> None:
    deletion = DeletionSlots(2, breaker)
    holders = [asyncio.create_task(hold_deletion_slot(deletion)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(ProvisioningSaturated):
        await take_deletion_slot(deletion)

    holders[0].cancel()
    await take_deletion_slot(deletion)
    holders[1].cancel()
    await asyncio.wait(holders)


async def test_a_deletion_slot_is_released_by_an_exception_and_by_a_cancelled_waiter(breaker: CircuitBreaker) -> None:
    deletion = DeletionSlots(1, breaker)

    async def fail() -> None:
        async with deletion.deletion_slot(Deadline()):
            waiter = asyncio.create_task(hold_deletion_slot(deletion))
            await asyncio.sleep(0.05)
            waiter.cancel()
            await asyncio.wait([waiter])
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    await take_deletion_slot(deletion)


async def test_an_open_circuit_refuses_a_deletion_and_releases_its_slot(breaker: CircuitBreaker) -> None:
    deletion = DeletionSlots(1, breaker)
    breaker.throttled(20)

    for _ in range(2):
        with pytest.raises(CircuitOpen) as caught:
            await take_deletion_slot(deletion)
        assert caught.value.retry_after == 20


def creates(backboard: Sandbox) -> int:
    return len(backboard.calls(kind="create"))


@pytest.mark.ways("direct")  # Each slot needs a connection, in a pooler as well.
async def test_existing_users_never_wait_for_new_ones(service: Service, backboard: Sandbox) -> None:
    """With every slot taken by a create that hangs, an existing user is answered from the database."""
    known = Person()
    await service.ensure(known)
    gate = threading.Event()
    backboard.always("create", held(gate))
    new = [asyncio.create_task(service.ensure(Person())) for _ in range(5)]
    await asyncio.to_thread(backboard.wait_for, lambda: creates(backboard) == 6)

    answer = await service.ensure(known)
    still_waiting = [request for request in new if not request.done()]
    gate.set()
    await asyncio.gather(*new)

    assert answer.status_code == 200
    assert still_waiting == new


@pytest.mark.ways("direct")  # As above.
@pytest.mark.parametrize(
    "fault", [status(500), status(401), status(429, retry_after="1"), drops(), resets(), html(502)], ids=str
)
async def test_no_failure_of_backboard_reaches_a_user_with_an_assistant(
    service: Service, backboard: Sandbox, fault: Fault
) -> None:
    """While three dozen new users fail, an existing one is ensured, updated and signed in."""
    known = Person()
    await service.ensure(known)
    backboard.always("any", fault)
    calls = len(backboard.calls())
    storm = asyncio.gather(*(service.ensure(Person()) for _ in range(36)))

    served: list[Any] = []
    for version in range(10):
        changed = user_updated(known, last_name=f"Canary{version}", updated_at=1_750_000_000_000 + version)
        signed_in = event("session.created", {"user": user_data(known), "user_id": known.clerk_id})
        requests = (service.ensure(known), service.deliver(changed), service.deliver(signed_in))
        served += await asyncio.gather(*requests)

    assert {answer.status_code for answer in await storm} == {503}
    assert {answer.status_code for answer in served} == {200}
    assert len(backboard.calls()) > calls


@pytest.mark.ways("direct")  # As above.
async def test_requests_beyond_slots_and_queue_are_refused_at_once(service: Service, backboard: Sandbox) -> None:
    """Of 80 new users, 5 have slots and 60 wait for one; the 15 others are 503 before any wait is over."""
    await asyncio.gather(*(service.ensure(Person()) for _ in range(5)))
    gate = threading.Event()
    backboard.always("create", held(gate))
    requests = [asyncio.create_task(service.ensure(Person())) for _ in range(80)]

    refused = [await request for request in islice(asyncio.as_completed(requests, timeout=10), 15)]
    gate.set()
    answers = await asyncio.gather(*requests)

    assert {answer.status_code for answer in refused} == {503}
    assert all(answer.json()["title"] == "Service initialization failed" for answer in refused)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.status_code for answer in answers} == {201, 503}
    # More than had slots: the queue was still waiting when the others had been refused.
    assert sum(answer.status_code == 201 for answer in answers) > 5


@pytest.mark.ways("direct", "pooled")
async def test_while_the_circuit_is_open_new_users_are_refused_without_an_attempt_row_or_a_call(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """It opens after five failures; existing users are served."""
    known = Person()
    await service.ensure(known)
    backboard.always("create", status(500))
    for _ in range(5):
        await service.ensure(Person())
    calls = len(backboard.calls())

    refused = await service.ensure(Person())

    assert (refused.status_code, refused.json()["title"]) == (503, "Service initialization failed")
    assert len(backboard.calls()) == calls
    assert len(database.execute("SELECT 1 FROM provisioning_attempts").fetchall()) == 5
    assert (await service.ensure(known)).status_code == 200


@pytest.mark.ways("direct", "pooled")
async def test_requests_that_wait_for_a_slot_learn_of_backboards_429(service: Service, backboard: Sandbox) -> None:
    """Five have called Backboard when it says 429; the ten behind them get its Retry-After without a call."""
    backboard.switches.latency = 0.3
    backboard.always("create", status(429, retry_after="20"))

    answers = await asyncio.gather(*(service.ensure(Person()) for _ in range(15)))

    assert {answer.status_code for answer in answers} == {503}
    assert creates(backboard) == 5
    assert all(int(answer.headers["retry-after"]) > 15 for answer in answers)
