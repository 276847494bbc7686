"""The end of a user: the tombstone stands first, then the assistant goes, whatever happens in between."""

import asyncio
import json
import threading
from typing import Any

import psycopg
import pytest

from app.application import create_app
from tests.support.factories import Person, event, user_created, user_data, user_updated
from tests.support.service import Service, in_process, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.faults import drops, hangs, held

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

Database = psycopg.Connection[dict[str, Any]]


def user_deleted(person: Person) -> bytes:
    return event("user.deleted", {"object": "user", "id": person.clerk_id, "deleted": True})


def session_created(person: Person, user: Any) -> bytes:
    return event("session.created", {"object": "session", "id": "sess_1", "user_id": person.clerk_id, "user": user})


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table}".encode()).fetchall()


async def delete(service: Service, person: Person) -> tuple[int, str]:
    answer = await service.deliver(user_deleted(person))
    return answer.status_code, answer.json().get("outcome", answer.json().get("title"))


async def test_a_deleted_user_leaves_an_emptied_row_a_tombstone_and_no_assistant(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The row stays for the sessions that refer to it, without anything personal in it."""
    person = Person()
    await service.deliver(user_created(person, last_sign_in_at=1_700_000_000_000))

    assert await delete(service, person) == (200, "deleted")

    (row,) = rows(database, "users")
    assert (row["email"], row["name"], row["last_sign_in_at"]) == (None, None, None)
    assert row["deleted_at"] is not None
    assert [tombstone["clerk_id"] for tombstone in rows(database, "deleted_users")] == [person.clerk_id]
    assert backboard.alive() == []
    assert rows(database, "provisioning_attempts") == []


async def test_a_second_deletion_finds_nothing_to_do(service: Service, backboard: Sandbox) -> None:
    """And does not ask Backboard again."""
    person = Person()
    await service.deliver(user_created(person))
    await delete(service, person)
    asked = len(backboard.calls())

    assert await delete(service, person) == (200, "gone")
    assert len(backboard.calls()) == asked


async def test_an_unknown_user_can_be_deleted(service: Service, database: Database, backboard: Sandbox) -> None:
    """The deletion may be the first thing ever heard of them; what comes later finds the tombstone."""
    person = Person()

    assert await delete(service, person) == (200, "deleted")

    late = await service.deliver(user_created(person))
    assert late.json() == {"outcome": "gone"}
    assert (await service.ensure(person)).status_code == 410
    assert backboard.calls() == []
    assert rows(database, "users") == []


@pytest.mark.parametrize("fault", [status(500), drops(), status(401), hangs(after_commit=True)], ids=str)
async def test_a_deletion_that_backboard_did_not_take_is_finished_by_the_redelivery(
    service: Service, database: Database, backboard: Sandbox, fault: Any
) -> None:
    """503 first, with the tombstone standing; nobody comes back to life in between."""
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


async def test_an_assistant_that_somebody_deleted_by_hand_is_deleted(service: Service, backboard: Sandbox) -> None:
    """404 is what was wanted."""
    person = Person()
    await service.deliver(user_created(person))
    backboard.delete_assistant(backboard.alive()[0].id)

    assert await delete(service, person) == (200, "deleted")


async def test_what_a_doubtful_try_left_is_deleted_by_name(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """No row, but a note: whatever bears the name goes, and the note waits for what may still arrive."""
    person = Person()
    backboard.next_create(status(500, after_commit=True))
    await service.deliver(user_created(person))
    other = backboard.make_assistant(f"{person.assistant_name}x")

    assert await delete(service, person) == (200, "deleted")

    assert backboard.alive() == [other]
    (attempt,) = rows(database, "provisioning_attempts")
    assert attempt["resolved_at"] is not None


async def test_a_deletion_waits_for_the_try_under_way(service: Service, database: Database, backboard: Sandbox) -> None:
    """They take the same lock: the deletion sees the row that the try has committed, and ends it."""
    gate = threading.Event()
    backboard.next_create(held(gate))
    person = Person()
    made = asyncio.create_task(service.deliver(user_created(person)))
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.calls(kind="create")) == 1)
    deleted = asyncio.create_task(delete(service, person))
    await asyncio.sleep(0.2)
    gate.set()

    assert (await made).json() == {"outcome": "created"}
    assert await deleted == (200, "deleted")
    assert backboard.alive() == []
    assert rows(database, "users")[0]["deleted_at"] is not None


async def test_with_backboard_known_to_be_down_the_tombstone_is_committed_all_the_same(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The rest is the redelivery's."""
    person = Person()
    await service.deliver(user_created(person))
    backboard.always("create", status(500))
    for _ in range(5):
        await service.ensure(Person())

    assert (await delete(service, person))[0] == 503
    assert [tombstone["clerk_id"] for tombstone in rows(database, "deleted_users")] == [person.clerk_id]


async def test_a_deletion_counts_beside_the_note_of_another_try(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Found by the search in tests/model.py: the other's leaving must not take the memory of the assistant.

    A try has noted itself and not yet taken the lock when the deletion comes, and the deletion fails half-way.
    """
    person = Person()
    await service.deliver(user_created(person))
    database.execute("INSERT INTO provisioning_attempts (clerk_id) VALUES (%s)", [person.clerk_id])
    backboard.next_delete(status(500))

    await delete(service, person)

    (attempt,) = rows(database, "provisioning_attempts")
    assert (attempt["tries"], attempt["resolved_at"]) == (2, None)


async def test_a_session_with_its_user_makes_sure_of_the_user(service: Service, database: Database) -> None:
    """A second chance when user.created was lost; the id of the event is the session's."""
    person = Person()

    first = await service.deliver(session_created(person, user_data(person)))
    again = await service.deliver(
        session_created(person, user_data(person, updated_at=1_700_000_000_900, last_sign_in_at=1_700_000_000_800))
    )

    assert (first.json(), again.json()) == ({"outcome": "created"}, {"outcome": "updated"})
    (row,) = rows(database, "users")
    assert row["clerk_id"] == person.clerk_id
    assert row["last_sign_in_at"].timestamp() == 1_700_000_000.8


@pytest.mark.parametrize("user", [None, "absent"])
async def test_a_session_without_its_user_is_ignored(service: Service, backboard: Sandbox, user: Any) -> None:
    """Older deliveries carry none."""
    body = json.loads(session_created(Person(), None))
    if user == "absent":
        del body["data"]["user"]

    answer = await service.deliver(json.dumps(body).encode())

    assert answer.json() == {"outcome": "ignored"}
    assert backboard.calls() == []


@pytest.mark.parametrize("data", [None, [], {}, {"id": ""}, {"id": 7}, {"id": "org_1"}, {"id": "user_a b"}], ids=str)
async def test_a_deletion_without_a_usable_id_is_422(service: Service, database: Database, data: Any) -> None:
    """Nothing is written for nobody."""
    answer = await service.deliver(event("user.deleted", data))

    assert answer.status_code == 422
    assert rows(database, "deleted_users") == []


@pytest.mark.ways("direct")  # Four locks are waited for, each on a connection.
async def test_deletions_that_wait_keep_nobody_else_waiting(service: Service, direct_url: str) -> None:
    """Users who are at work elsewhere hold their locks; everybody else is answered as ever."""
    known, busy = Person(), [Person() for _ in range(4)]
    await service.deliver(user_created(known))
    with psycopg.connect(direct_url) as elsewhere:
        for person in busy:
            elsewhere.execute("SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id])
        deletions = [asyncio.create_task(service.deliver(user_deleted(person))) for person in busy]
        await asyncio.sleep(0.2)
        started = asyncio.get_running_loop().time()
        updated = await service.deliver(user_updated(known, updated_at=1_700_000_000_001))
        asked = await service.ensure(known)
        took = asyncio.get_running_loop().time() - started
        answers = await asyncio.gather(*deletions)

    assert (updated.json(), asked.status_code) == ({"outcome": "updated"}, 200)
    assert took < 0.5
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in answers} == {(503, "3")}


async def test_a_burst_of_deletions_is_no_failure_of_backboard(service: Service, backboard: Sandbox) -> None:
    """Those that find no turn in time come again, and new users are served meanwhile."""
    people = [Person() for _ in range(30)]
    await asyncio.gather(*(service.ensure(person) for person in people[:20]))
    await asyncio.gather(*(service.ensure(person) for person in people[20:]))
    backboard.switches.latency = 0.8

    answers = await asyncio.gather(*(service.deliver(user_deleted(person)) for person in people))
    backboard.switches.latency = 0.0

    assert {answer.status_code for answer in answers} == {200, 503}
    assert (await service.ensure(Person())).status_code == 201


async def test_a_wrong_address_of_backboard_ends_no_deletion(variables: dict[str, str], backboard: Sandbox) -> None:
    """It answers 404 to everything; the redelivery to a service that is set right finishes."""
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


async def test_a_deletion_takes_nothing_that_another_row_holds(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Somebody renamed one user's assistant to the name of another, about whom there is a doubt."""
    one, other = Person(), Person()
    await service.deliver(user_created(one))
    await service.deliver(user_created(other))
    (theirs,) = backboard.alive(other.assistant_name)
    theirs.name = one.assistant_name
    database.execute("INSERT INTO provisioning_attempts (clerk_id, tries) VALUES (%s, 2)", [one.clerk_id])

    assert await delete(service, one) == (200, "deleted")

    assert backboard.alive() == [theirs]
