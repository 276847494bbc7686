"""After a create with an unknown outcome, Backboard may have the assistant: the next try adopts it."""

import asyncio
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

LOST_ANSWERS = [
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
    says(name="another name"),
    says(assistant_id="asst_123"),
    without("assistant_id"),
]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=str)
async def test_the_redelivery_adopts_an_assistant_if_the_answer_was_lost(
    service: Service, database: Database, backboard: Sandbox, fault: Fault
) -> None:
    """503 first; then the assistant is found by its name, and no second one is created."""
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
async def test_a_create_that_never_ends_is_given_up_at_its_limit(service: Service, backboard: Sandbox) -> None:
    """Silence, a slow drip and endless interim responses all end at one total limit."""
    people = {
        Person(): fault
        for fault in (hangs(after_commit=True), drips(pace=0.2), drips(head=True, pace=0.2), hints(pace=0.2))
    }
    for person, fault in people.items():
        backboard.next_create(fault, where=person.assistant_name.__eq__)

    async with asyncio.timeout(7.5):
        first = await asyncio.gather(*(service.deliver(user_created(person)) for person in people))
    second = await asyncio.gather(*(service.deliver(user_created(person)) for person in people))

    assert [answer.status_code for answer in first] == [503] * 4
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
    """A failed lookup does not say that there is no assistant."""
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


async def test_a_create_that_arrives_after_the_lookup_leaves_an_attempt_row(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The lookup misses it and a second assistant is created; reconcile finds the pair by the attempt row."""
    backboard.next_create(late(1.0))
    person = Person()
    await service.deliver(user_created(person))
    await service.deliver(user_created(person))
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.alive(person.assistant_name)) == 2)

    (attempt,) = database.execute("SELECT clerk_id, tries, resolved_at FROM provisioning_attempts").fetchall()

    assert (attempt["clerk_id"], attempt["tries"]) == (person.clerk_id, 2)
    assert attempt["resolved_at"] is not None


async def test_a_backboard_that_ignores_the_name_filter_is_searched_to_the_last_page(
    service: Service, backboard: Sandbox
) -> None:
    """An older Backboard lists all assistants; their names are compared here."""
    backboard.switches.name_filter = False
    for number in range(250):
        backboard.make_assistant(f"clerk:user_other{number}")
    backboard.next_create(status(500, after_commit=True))
    person = Person()
    await service.deliver(user_created(person))

    answer = await service.deliver(user_created(person))

    assert answer.json() == {"outcome": "created"}
    assert len(backboard.made(person.assistant_name)) == 1


async def test_the_oldest_of_several_assistants_is_adopted(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Even where the listing repeats them; the others are left for reconcile."""
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


async def test_a_backboard_that_refuses_connections_is_503_until_it_is_back(
    service: Service, backboard: Sandbox
) -> None:
    """The redelivery then creates the one assistant."""
    person = Person()
    with backboard.refuse_connections():
        down = await service.deliver(user_created(person))

    healed = await service.deliver(user_created(person))

    assert (down.status_code, healed.json()) == (503, {"outcome": "created"})
    assert len(backboard.made(person.assistant_name)) == 1
