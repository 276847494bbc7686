"""Doubt: Backboard may have made the assistant, and its answer is lost. The redelivery adopts it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.support.factories import Person, user_created
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import html, nested, oversize, repeated, says, status, without, wrapped
from tools.sandbox.faults import Fault, cuts, drips, drops, empty, gzipped, hangs, hints, late, resets, slow

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

LOST = [
    status(500, after_commit=True),
    status(503, after_commit=True),
    html(502, after_commit=True),
    drops(after_commit=True),
    resets(after_commit=True),
    cuts(),
    empty(),
    gzipped(),
    nested(),
    oversize(),
    says(name="somebody else"),
    says(assistant_id="asst_123"),
    without("assistant_id"),
]


@pytest.mark.parametrize("fault", LOST, ids=str)
async def test_a_lost_answer_ends_in_one_assistant_after_the_redelivery(
    service: Service, database: Database, backboard: Sandbox, fault: Fault
) -> None:
    """503 first, since nobody knows; then the assistant is found by its name and no second one is made."""
    backboard.next_create(fault)
    person = Person()
    body = user_created(person)

    first = await service.deliver(body)
    second = await service.deliver(body)

    assert (first.status_code, second.status_code) == (503, 200)
    assert second.json() == {"outcome": "created"}
    (assistant,) = backboard.made(person.assistant_name)
    row = database.execute("SELECT assistant_id FROM users").fetchone()
    assert row == {"assistant_id": assistant.id}


@pytest.mark.ways("direct")  # Four tries at a time hold four connections.
async def test_an_answer_that_never_comes_is_given_up_in_time(service: Service, backboard: Sandbox) -> None:
    """Silence, a drip and a row of interim answers are all cut by one total limit."""
    people = {
        Person(): fault
        for fault in (hangs(after_commit=True), drips(pace=0.2), drips(head=True, pace=0.2), hints(pace=0.2))
    }
    for person, fault in people.items():
        backboard.next_create(fault, where=person.assistant_name.__eq__)
    started = time.monotonic()

    first = await asyncio.gather(*(service.deliver(user_created(person)) for person in people))
    took = time.monotonic() - started
    second = await asyncio.gather(*(service.deliver(user_created(person)) for person in people))

    assert [answer.status_code for answer in first] == [503] * 4
    assert took < 7.5
    assert [answer.json() for answer in second] == [{"outcome": "created"}] * 4
    assert [len(backboard.made(person.assistant_name)) for person in people] == [1] * 4


@pytest.mark.parametrize(
    "fault",
    [status(500), status(401), drops(), wrapped(), nested(), html(200), slow(2.5)],
    ids=str,
)
async def test_a_failed_lookup_creates_nothing(
    service: Service, database: Database, backboard: Sandbox, fault: Fault
) -> None:
    """Not to know whether there is one is no reason to make another."""
    backboard.next_create(status(500, after_commit=True))
    backboard.next_lookup(fault)
    person = Person()
    await service.deliver(user_created(person))

    failed = await service.deliver(user_created(person))

    assert failed.status_code == 503
    assert len(backboard.made()) == 1
    assert database.execute("SELECT 1 FROM users").fetchall() == []
    healed = await service.deliver(user_created(person))
    assert healed.json() == {"outcome": "created"}
    assert len(backboard.made()) == 1


async def test_a_create_that_arrives_late_is_remembered(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The lookup misses it and a second one is made: the note stays, and with it the knowledge of the pair."""
    backboard.next_create(late(1.0))
    person = Person()
    await service.deliver(user_created(person))
    await service.deliver(user_created(person))
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.alive(person.assistant_name)) == 2)

    (attempt,) = database.execute("SELECT clerk_id, tries, resolved_at FROM provisioning_attempts").fetchall()

    assert (attempt["clerk_id"], attempt["tries"]) == (person.clerk_id, 2)
    assert attempt["resolved_at"] is not None


async def test_the_filter_that_is_ignored_still_finds_the_name(service: Service, backboard: Sandbox) -> None:
    """An older Backboard lists everybody; names are compared here, and the pages read to the end."""
    backboard.switches.name_filter = False
    for number in range(250):
        backboard.make_assistant(f"clerk:user_other{number}")
    backboard.next_create(status(500, after_commit=True))
    person = Person()
    await service.deliver(user_created(person))

    answer = await service.deliver(user_created(person))

    assert answer.json() == {"outcome": "created"}
    assert len(backboard.made(person.assistant_name)) == 1


async def test_of_several_the_oldest_is_adopted(service: Service, database: Database, backboard: Sandbox) -> None:
    """However often the listing repeats them; the others are left for reconcile."""
    person = Person()
    backboard.next_create(status(500))
    await service.deliver(user_created(person))
    oldest = backboard.make_assistant(person.assistant_name, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    backboard.make_assistant(person.assistant_name)
    backboard.switches.order = "descending"
    backboard.next_lookup(repeated())

    await service.deliver(user_created(person))

    assert database.execute("SELECT assistant_id FROM users").fetchall() == [{"assistant_id": oldest.id}]
    assert len(backboard.alive(person.assistant_name)) == 2


async def test_a_partner_that_refuses_connections_leaves_nothing(service: Service, backboard: Sandbox) -> None:
    """503, and once it is back the redelivery makes the one assistant."""
    person = Person()
    with backboard.refuse_connections():
        down = await service.deliver(user_created(person))

    healed = await service.deliver(user_created(person))

    assert (down.status_code, healed.json()) == (503, {"outcome": "created"})
    assert len(backboard.made(person.assistant_name)) == 1
