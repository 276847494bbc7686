"""Reconcile beside other processes that work on the same users, and after processes that were killed."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from app.commands.reconcile.models import UserDrift
from app.commands.reconcile.repair import Repair, RepairResult
from tests.commands.reconcile.drifting import (
    Database,
    Run,
    add_to_clerk,
    findings_of,
    make_drift,
    make_orphan,
    record_attempt,
    sign_up,
)
from tests.support.factories import Person, event, user_created
from tests.support.service import Service, connected_to
from tools.processes import ServerProcess
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.clerk import Clerk
from tools.sandbox.faults import behaves, drops, held, late, resets

pytestmark = pytest.mark.anyio


FAULTS = [status(500, after_commit=True), drops(after_commit=True), resets(), late(0.3), status(422), behaves()]


async def deliver_to_a_server_that_is_killed(
    server: ServerProcess, backboard: Sandbox, people: list[Person], gate: threading.Event
) -> None:
    """Kill the server while Backboard works on its creates; Backboard finishes them all the same."""
    names = {person.assistant_name for person in people}
    backboard.next_create(*[held(gate) for _ in people], where=names.__contains__)
    async with connected_to(server) as service:
        deliveries = [asyncio.create_task(service.deliver(user_created(person))) for person in people]
        await asyncio.to_thread(
            backboard.wait_for, lambda: names <= {call.name for call in backboard.calls(kind="create")}
        )
        server.kill()
        await asyncio.gather(*deliveries, return_exceptions=True)
    gate.set()
    await asyncio.to_thread(backboard.wait_for, lambda: names <= {one.name for one in backboard.alive()})


@pytest.mark.ways("direct")  # The server that is killed has four connections.
async def test_after_lost_answers_late_creates_and_kills_two_runs_leave_one_assistant_each(
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    start_server: Callable[..., ServerProcess],
) -> None:
    """Clerk does not deliver again, and reconcile has nothing but the attempt rows."""
    people, killed = [Person() for _ in range(24)], [Person() for _ in range(4)]
    for person in (*people, *killed):
        add_to_clerk(clerk, person)
    for number, person in enumerate(people):
        backboard.next_create(FAULTS[number % len(FAULTS)], where=person.assistant_name.__eq__)
    gone = people[::4]
    # Several servers, since the circuit breaker of each opens after five failures in a row.
    servers = [start_server() for _ in range(6)]
    for server, some in zip(servers, (people[first : first + 4] for first in range(0, 24, 4)), strict=True):
        async with connected_to(server) as service:
            await asyncio.gather(*(service.deliver(user_created(person)) for person in some))
            await asyncio.gather(*(service.deliver(user_created(person)) for person in some[::2]))
            clerk.remove_user(some[0].clerk_id)
            backboard.next_delete(status(500), where=some[0].assistant_name.__eq__)
            await service.deliver(event("user.deleted", {"object": "user", "id": some[0].clerk_id}))
    await deliver_to_a_server_that_is_killed(servers[0], backboard, killed, threading.Event())
    doubts = database.execute("SELECT count(*) AS doubts FROM provisioning_attempts").fetchall()[0]["doubts"]
    assert doubts > 10
    # The late creates finish first: without a min age, an attempt row would be deleted before its create.
    await asyncio.sleep(0.5)

    await run(all_users=False)
    second = await run(all_users=False)

    assert second.clean
    rows = database.execute("SELECT clerk_id, assistant_id FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["clerk_id"] for row in rows} == {person.clerk_id for person in (*people, *killed)} - {
        person.clerk_id for person in gone
    }
    assert sorted(row["assistant_id"] for row in rows) == sorted(one.id for one in backboard.alive())
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchall() == []


async def test_two_concurrent_runs_are_harmless(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """A run waits for the lock of a user, and finds what the other run has done."""
    drift = await make_drift(service, clerk, database, backboard)

    await asyncio.gather(run(), run())
    await asyncio.gather(run(), run())

    assert findings_of(await run()) == set()
    live = database.execute("SELECT clerk_id, assistant_id FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["assistant_id"] for row in live} == {one.id for one in backboard.alive()}
    assert drift["missing"].clerk_id in {row["clerk_id"] for row in live}


async def test_a_redelivery_may_adopt_while_reconcile_provisions(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Both find the assistant of a lost answer; one row has it, and it is not deleted."""
    await sign_up(service, clerk)
    person = Person()
    add_to_clerk(clerk, person)
    backboard.next_create(status(500, after_commit=True))
    assert (await service.deliver(user_created(person))).status_code == 503
    gate = threading.Event()
    backboard.next_lookup(held(gate), held(gate), where=person.assistant_name.__eq__)

    delivery = asyncio.create_task(service.deliver(user_created(person)))
    reconciling = asyncio.create_task(run(all_users=False))
    await asyncio.to_thread(backboard.wait_for, lambda: bool(backboard.calls(kind="lookup")))
    await asyncio.sleep(0.3)
    gate.set()
    await asyncio.gather(delivery, reconciling)
    await run(all_users=False)

    (assistant,) = backboard.made(person.assistant_name)
    assert assistant.deleted_at is None
    row = database.execute("SELECT assistant_id FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchone()
    assert row == {"assistant_id": assistant.id}


async def test_a_user_that_another_process_has_locked_is_left(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The lock is the one that a sign-up takes; the next run repairs the user."""
    (person,) = await sign_up(service, clerk)
    twin = backboard.make_assistant(person.assistant_name)
    record_attempt(database, person)

    with database.transaction():
        database.execute("SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id])
        report = await run(all_users=False)

    assert findings_of(report) == {("duplicate", person.clerk_id, "left")}
    assert twin in backboard.alive(person.assistant_name)


async def test_an_attempt_row_is_kept_when_a_new_try_is_recorded_meanwhile(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Recording a try takes no lock, and the row must outlive what that try may leave."""
    (person,) = await sign_up(service, clerk)
    record_attempt(database, person)
    gate = threading.Event()
    backboard.next_lookup(held(gate))

    reconciling = asyncio.create_task(run(all_users=False))
    await asyncio.to_thread(backboard.wait_for, lambda: bool(backboard.calls(kind="lookup")))
    database.execute("UPDATE provisioning_attempts SET tries = tries + 1, last_at = now()")
    gate.set()
    await reconciling

    (attempt,) = database.execute("SELECT tries FROM provisioning_attempts").fetchall()
    assert attempt["tries"] == 3


async def test_one_user_that_fails_does_not_stop_the_others(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The failure is reported, and the next run repairs that user."""
    await sign_up(service, clerk)
    unlucky, lucky = make_orphan(database, backboard), make_orphan(database, backboard)
    backboard.next_delete(status(500), where=unlucky.assistant_name.__eq__)

    report = await run()

    assert findings_of(report) == {("orphaned", unlucky.clerk_id, "left"), ("orphaned", lucky.clerk_id, "mended")}
    assert (report.failures, report.clean) == (1, False)
    assert (await run()).clean


async def test_a_bug_about_one_user_does_not_stop_the_others(
    service: Service,
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bug is logged, the user counts as failed, and the run goes on."""
    await sign_up(service, clerk)
    unlucky, lucky = make_orphan(database, backboard), make_orphan(database, backboard)
    clean_up = Repair._clean_up

    async def clean_up_with_a_bug(self: Repair, drift: UserDrift, result: RepairResult) -> bool:
        if drift.clerk_id == unlucky.clerk_id:
            raise KeyError(drift.clerk_id)
        return await clean_up(self, drift, result)

    monkeypatch.setattr(Repair, "_clean_up", clean_up_with_a_bug)

    report = await run()

    assert findings_of(report) == {("orphaned", unlucky.clerk_id, "left"), ("orphaned", lucky.clerk_id, "mended")}
    assert (report.failures, report.clean) == (1, False)
