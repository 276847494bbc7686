"""`user.deleted`: the tombstone is committed first, then the assistant is deleted, whatever fails in between."""

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from app.application import create_app
from tests.support.factories import Person, event, user_created, user_updated
from tests.support.service import Service, in_process, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.faults import drops, hangs, held

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

Database = psycopg.Connection[dict[str, Any]]


def user_deleted(person: Person) -> bytes:
    return event("user.deleted", {"object": "user", "id": person.clerk_id, "deleted": True})


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table}".encode()).fetchall()


async def delete(service: Service, person: Person) -> tuple[int, str]:
    """Deliver `user.deleted`: the status, and the outcome or the title of the problem."""
    answer = await service.deliver(user_deleted(person))
    return answer.status_code, answer.json().get("outcome", answer.json().get("title"))


async def test_a_deletion_leaves_a_tombstone_a_row_without_profile_and_no_assistant(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The row stays for the sessions that refer to it."""
    person = Person()
    await service.deliver(user_created(person, last_sign_in_at=1_700_000_000_000))

    assert await delete(service, person) == (200, "deleted")

    (row,) = rows(database, "users")
    assert {row[name] for name in ("email", "name", "image_url", "last_sign_in_at")} == {None}
    assert row["deleted_at"] is not None
    assert [tombstone["clerk_id"] for tombstone in rows(database, "deleted_users")] == [person.clerk_id]
    assert backboard.alive() == []
    assert rows(database, "provisioning_attempts") == []


async def test_the_memories_are_deleted_before_the_assistant(service: Service, backboard: Sandbox) -> None:
    """They are the personal part, and without the assistant nobody can reach them any more."""
    person = Person()
    await service.deliver(user_created(person))
    (assistant,) = backboard.alive()
    backboard.remember(assistant.id, "Canary likes trains")
    backboard.next("delete_memories", status(500))

    first = await delete(service, person)
    alive, remembered = backboard.alive(), backboard.memories(assistant.id)
    second = await delete(service, person)

    assert (first[0], len(alive), len(remembered)) == (503, 1, 1)
    assert (second, backboard.alive(), backboard.memories(assistant.id)) == ((200, "deleted"), [], [])
    assert [call.kind for call in backboard.calls()][1:] == [
        "delete_memories", "delete_memories", "delete", "lookup"
    ]  # fmt: skip


@pytest.mark.parametrize("tries", [1, 2])
async def test_the_memories_of_every_assistant_of_the_name_are_deleted(
    service: Service, backboard: Sandbox, tries: int
) -> None:
    """Also of those that lost tries have left."""
    person = Person()
    backboard.next_create(*[status(500, after_commit=True)] * tries)
    await service.deliver(user_created(person))
    second = backboard.make_assistant(person.assistant_name)
    for assistant in backboard.alive():
        backboard.remember(assistant.id, "Canary likes trains")
    await service.deliver(user_created(person))

    assert await delete(service, person) == (200, "deleted")
    assert (backboard.alive(), backboard.memories(second.id)) == ([], [])


async def test_a_second_deletion_is_gone_without_a_call_to_backboard(service: Service, backboard: Sandbox) -> None:
    person = Person()
    await service.deliver(user_created(person))
    await delete(service, person)
    calls = len(backboard.calls())

    assert await delete(service, person) == (200, "gone")
    assert len(backboard.calls()) == calls


async def test_a_deletion_before_any_other_event_leaves_a_tombstone_for_later_ones(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    person = Person()

    assert await delete(service, person) == (200, "deleted")

    late = await service.deliver(user_created(person))
    assert late.json() == {"outcome": "gone"}
    assert (await service.ensure(person)).status_code == 410
    assert backboard.calls() == []
    assert rows(database, "users") == []


@pytest.mark.parametrize("fault", [status(500), drops(), status(401), hangs(after_commit=True)], ids=str)
async def test_a_deletion_that_failed_at_backboard_is_finished_by_the_redelivery(
    service: Service, database: Database, backboard: Sandbox, fault: Any
) -> None:
    """503 first; the tombstone stands by then, so the user is not provisioned in between."""
    person = Person()
    await service.deliver(user_created(person))
    backboard.next_delete(fault)

    assert await delete(service, person) == (503, "Service initialization failed")
    assert (await service.ensure(person)).status_code == 410
    assert (await service.deliver(user_updated(person))).json() == {"outcome": "gone"}
    assert await delete(service, person) == (200, "deleted")

    assert backboard.alive() == []
    assert await delete(service, person) == (200, "gone")
    assert len(rows(database, "deleted_users")) == 1


async def test_an_assistant_that_is_already_deleted_at_backboard_counts_as_deleted(
    service: Service, backboard: Sandbox
) -> None:
    person = Person()
    await service.deliver(user_created(person))
    backboard.delete_assistant(backboard.alive()[0].id)

    assert await delete(service, person) == (200, "deleted")


async def test_a_deletion_after_a_lost_create_deletes_by_name_and_leaves_the_attempt_row(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """There is no row, only an attempt row, and another create may still arrive at Backboard."""
    person = Person()
    backboard.next_create(status(500, after_commit=True))
    await service.deliver(user_created(person))
    other = backboard.make_assistant(f"{person.assistant_name}x")

    assert await delete(service, person) == (200, "deleted")

    assert backboard.alive() == [other]
    (attempt,) = rows(database, "provisioning_attempts")
    assert attempt["resolved_at"] is not None


async def test_a_deletion_waits_for_the_try_that_holds_the_lock(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """It then sees the row that the try has committed, and deletes its assistant."""
    gate = threading.Event()
    backboard.next_create(held(gate))
    person = Person()
    created = asyncio.create_task(service.deliver(user_created(person)))
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.calls(kind="create")) == 1)
    deleted = asyncio.create_task(delete(service, person))
    await asyncio.sleep(0.2)
    gate.set()

    assert (await created).json() == {"outcome": "created"}
    assert await deleted == (200, "deleted")
    assert backboard.alive() == []
    assert rows(database, "users")[0]["deleted_at"] is not None


async def test_the_tombstone_is_committed_even_while_the_circuit_is_open(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    person = Person()
    await service.deliver(user_created(person))
    backboard.always("create", status(500))
    for _ in range(5):
        await service.ensure(Person())

    assert (await delete(service, person))[0] == 503
    assert [tombstone["clerk_id"] for tombstone in rows(database, "deleted_users")] == [person.clerk_id]


async def test_a_deletion_is_counted_in_the_attempt_row_of_another_try(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Otherwise that try would clear the only trace of the assistant, as the search in tests/users/model/ found.

    The other try has recorded its attempt and not yet taken the lock when a deletion comes, and fails half-way.
    """
    person = Person()
    await service.deliver(user_created(person))
    database.execute("INSERT INTO provisioning_attempts (clerk_id) VALUES (%s)", [person.clerk_id])
    backboard.next_delete(status(500))

    await delete(service, person)

    (attempt,) = rows(database, "provisioning_attempts")
    assert (attempt["tries"], attempt["resolved_at"]) == (2, None)


@pytest.mark.parametrize("data", [None, [], {}, {"id": ""}, {"id": 7}, {"id": "org_1"}, {"id": "user_a b"}], ids=str)
async def test_a_deletion_without_a_usable_id_is_422_and_writes_nothing(
    service: Service, database: Database, data: Any
) -> None:
    answer = await service.deliver(event("user.deleted", data))

    assert answer.status_code == 422
    assert rows(database, "deleted_users") == []


@pytest.mark.ways("direct")  # Four locks are waited for, each on a connection.
async def test_deletions_that_wait_for_locks_do_not_delay_other_requests(service: Service, direct_url: str) -> None:
    known, locked = Person(), [Person() for _ in range(4)]
    await service.deliver(user_created(known))
    with psycopg.connect(direct_url) as rival:
        for person in locked:
            rival.execute("SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id])
        deletions = [asyncio.create_task(service.deliver(user_deleted(person))) for person in locked]
        await asyncio.sleep(0.2)
        updated = await service.deliver(user_updated(known, updated_at=1_700_000_000_001))
        ensured = await service.ensure(known)
        still_waiting = [deletion for deletion in deletions if not deletion.done()]
        answers = await asyncio.gather(*deletions)

    assert (updated.json(), ensured.status_code) == ({"outcome": "updated"}, 200)
    assert still_waiting == deletions
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in answers} == {(503, "3")}


async def test_a_burst_of_deletions_does_not_open_the_circuit(service: Service, backboard: Sandbox) -> None:
    """Deletions that get no slot in time are 503 and come again; new users are provisioned meanwhile."""
    people = [Person() for _ in range(30)]
    await asyncio.gather(*(service.ensure(person) for person in people[:20]))
    await asyncio.gather(*(service.ensure(person) for person in people[20:]))
    backboard.switches.latency = 0.8

    answers = await asyncio.gather(*(service.deliver(user_deleted(person)) for person in people))
    backboard.switches.latency = 0.0

    assert {answer.status_code for answer in answers} == {200, 503}
    assert (await service.ensure(Person())).status_code == 201


async def test_a_404_of_a_wrong_backboard_url_does_not_count_as_deleted(
    variables: dict[str, str], backboard: Sandbox
) -> None:
    """Everything is 404 there; the redelivery finishes once the URL is right."""
    person = Person()
    async with in_process(create_app(settings_of(variables))) as service:
        await service.deliver(user_created(person))
    wrong = variables | {"BACKBOARD_API_URL": variables["BACKBOARD_API_URL"] + "/v1"}

    async with in_process(create_app(settings_of(wrong))) as service:
        assert (await delete(service, person))[0] == 503
    assert len(backboard.alive()) == 1

    async with in_process(create_app(settings_of(variables))) as service:
        assert await delete(service, person) == (200, "deleted")
    assert backboard.alive() == []


async def test_a_deletion_by_name_spares_an_assistant_in_another_users_row(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The other user's assistant was renamed by hand to the name of the user who is deleted."""
    deleted, other = Person(), Person()
    await service.deliver(user_created(deleted))
    await service.deliver(user_created(other))
    (renamed,) = backboard.alive(other.assistant_name)
    renamed.name = deleted.assistant_name
    database.execute("INSERT INTO provisioning_attempts (clerk_id, tries) VALUES (%s, 2)", [deleted.clerk_id])

    assert await delete(service, deleted) == (200, "deleted")

    assert backboard.alive() == [renamed]
