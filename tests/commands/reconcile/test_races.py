"""Reconcile beside whoever else works on the same users, and after those who died over it."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from app.commands.reconcile.models import UserDrift
from app.commands.reconcile.repair import Repair, RepairResult
from tests.commands.reconcile.drifting import Database, Run, found, know, make_a_mess, mark_deleted, note, sign_up
from tests.support.factories import Person, event, user_created
from tests.support.service import Service, connected_to
from tools.processes import ServerProcess
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.clerk import Clerk
from tools.sandbox.faults import behaves, drops, held, late, resets

pytestmark = pytest.mark.anyio


FAULTS = [status(500, after_commit=True), drops(after_commit=True), resets(), late(0.3), status(422), behaves()]


async def deliver_to_one_that_dies(
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


@pytest.mark.ways("direct")  # The server that dies holds four connections.
async def test_after_lost_answers_late_creates_and_kills_two_runs_leave_one_each(
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    start_server: Callable[..., ServerProcess],
) -> None:
    """Nobody delivers again, so everything is reconcile's; it is driven by the attempt rows alone."""
    people, killed = [Person() for _ in range(24)], [Person() for _ in range(4)]
    for person in (*people, *killed):
        know(clerk, person)
    for number, person in enumerate(people):
        backboard.next_create(FAULTS[number % len(FAULTS)], where=person.assistant_name.__eq__)
    gone = people[::4]
    # Several servers, since each stops asking a partner that has failed five times in a row.
    servers = [start_server() for _ in range(6)]
    for server, some in zip(servers, (people[first : first + 4] for first in range(0, 24, 4)), strict=True):
        async with connected_to(server) as service:
            await asyncio.gather(*(service.deliver(user_created(person)) for person in some))
            await asyncio.gather(*(service.deliver(user_created(person)) for person in some[::2]))
            clerk.remove_user(some[0].clerk_id)
            backboard.next_delete(status(500), where=some[0].assistant_name.__eq__)
            await service.deliver(event("user.deleted", {"object": "user", "id": some[0].clerk_id}))
    await deliver_to_one_that_dies(servers[0], backboard, killed, threading.Event())
    doubts = database.execute("SELECT count(*) AS doubts FROM provisioning_attempts").fetchall()[0]["doubts"]
    assert doubts > 10
    # Everything late arrives first: without a least age, a note is forgotten before what comes after it.
    await asyncio.sleep(0.5)

    await run(everybody=False)
    second = await run(everybody=False)

    assert second.clean
    rows = database.execute("SELECT clerk_id, assistant_id FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["clerk_id"] for row in rows} == {person.clerk_id for person in (*people, *killed)} - {
        person.clerk_id for person in gone
    }
    assert sorted(row["assistant_id"] for row in rows) == sorted(one.id for one in backboard.alive())
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchall() == []


async def test_two_runs_at_once_are_harmless(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Each user is one run's at a time; what one has done the other finds done."""
    mess = await make_a_mess(service, clerk, database, backboard)

    await asyncio.gather(run(), run())
    await asyncio.gather(run(), run())

    assert found(await run()) == set()
    live = database.execute("SELECT clerk_id, assistant_id FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["assistant_id"] for row in live} == {one.id for one in backboard.alive()}
    assert mess["missing"].clerk_id in {row["clerk_id"] for row in live}


async def test_a_redelivery_may_adopt_while_reconcile_provisions(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Both want the assistant that a lost answer left; one row names it, and nobody deletes it."""
    await sign_up(service, clerk)
    person = Person()
    know(clerk, person)
    backboard.next_create(status(500, after_commit=True))
    assert (await service.deliver(user_created(person))).status_code == 503
    gate = threading.Event()
    backboard.next_lookup(held(gate), held(gate), where=person.assistant_name.__eq__)

    delivery = asyncio.create_task(service.deliver(user_created(person)))
    reconciling = asyncio.create_task(run(everybody=False))
    await asyncio.to_thread(backboard.wait_for, lambda: bool(backboard.calls(kind="lookup")))
    await asyncio.sleep(0.3)
    gate.set()
    await asyncio.gather(delivery, reconciling)
    await run(everybody=False)

    (assistant,) = backboard.made(person.assistant_name)
    assert assistant.deleted_at is None
    row = database.execute("SELECT assistant_id FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchone()
    assert row == {"assistant_id": assistant.id}


async def test_a_user_whom_somebody_else_works_on_is_left(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The lock is the same as a sign-up's; what waited for it in vain is the next run's."""
    (person,) = await sign_up(service, clerk)
    twin = backboard.make_assistant(person.assistant_name)
    note(database, person)

    with database.transaction():
        database.execute("SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id])
        report = await run(everybody=False)

    assert found(report) == {("duplicate", person.clerk_id, "left")}
    assert twin in backboard.alive(person.assistant_name)


async def test_a_note_is_kept_when_a_try_is_noted_while_it_is_looked_into(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Noting takes no lock, and what that try leaves must not be forgotten with the old doubt."""
    (person,) = await sign_up(service, clerk)
    note(database, person)
    gate = threading.Event()
    backboard.next_lookup(held(gate))

    reconciling = asyncio.create_task(run(everybody=False))
    await asyncio.to_thread(backboard.wait_for, lambda: bool(backboard.calls(kind="lookup")))
    database.execute("UPDATE provisioning_attempts SET tries = tries + 1, last_at = now()")
    gate.set()
    await reconciling

    (attempt,) = database.execute("SELECT tries FROM provisioning_attempts").fetchall()
    assert attempt["tries"] == 3


async def test_one_user_that_fails_does_not_stop_the_others(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """What could not be done is said, and the next run does it."""
    await sign_up(service, clerk)
    unlucky, lucky = Person(), Person()
    for gone in (unlucky, lucky):
        mark_deleted(database, gone)
        backboard.make_assistant(gone.assistant_name)
    backboard.next_delete(status(500), where=unlucky.assistant_name.__eq__)

    report = await run()

    assert found(report) == {("orphaned", unlucky.clerk_id, "left"), ("orphaned", lucky.clerk_id, "mended")}
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
    """It is loud, the user counts as failed, and the run goes on."""
    await sign_up(service, clerk)
    unlucky, lucky = Person(), Person()
    for gone in (unlucky, lucky):
        mark_deleted(database, gone)
        backboard.make_assistant(gone.assistant_name)
    settle = Repair._settle

    async def settle_with_a_bug(self: Repair, case: UserDrift, settled: RepairResult) -> None:
        if case.clerk_id == unlucky.clerk_id:
            raise KeyError(case.clerk_id)
        await settle(self, case, settled)

    monkeypatch.setattr(Repair, "_settle", settle_with_a_bug)

    report = await run()

    assert found(report) == {("orphaned", unlucky.clerk_id, "left"), ("orphaned", lucky.clerk_id, "mended")}
    assert (report.failures, report.clean) == (1, False)
