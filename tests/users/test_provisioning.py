"""Provisioning through the service: the responses, and what Postgres and Backboard hold afterwards."""

import asyncio
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.application import create_app
from app.backboard.models import Assistant
from app.clerk.users import Profile
from app.components import build_components, open_components
from app.deadline import Deadline
from app.errors import DatabaseDown
from tests.support.factories import Person, event, user_created, user_data, user_updated
from tests.support.service import Service, in_process, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import earlier_id, status
from tools.sandbox.faults import held

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

Database = psycopg.Connection[dict[str, Any]]


def rows(database: Database, table: str = "users") -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table}".encode()).fetchall()


def creates(backboard: Sandbox) -> int:
    return len(backboard.calls(kind="create"))


async def test_a_sign_up_creates_one_assistant_and_one_row(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The row holds Clerk's profile and the id of the assistant of the user's name."""
    person = Person()

    answer = await service.deliver(user_created(person, last_sign_in_at=1_700_000_000_500))

    assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
    (row,) = rows(database)
    (assistant,) = backboard.alive(person.assistant_name)
    assert (row["clerk_id"], row["assistant_id"]) == (person.clerk_id, assistant.id)
    assert (row["email"], row["name"]) == (person.email, f"Canaryname {person.number}")
    assert row["clerk_updated_at"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert row["last_sign_in_at"] == datetime.fromtimestamp(1_700_000_000.5, UTC)


async def test_a_sign_up_costs_one_call_and_leaves_no_attempt_row(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    await service.deliver(user_created(Person()))

    assert len(backboard.calls()) == 1
    assert rows(database, "provisioning_attempts") == []


async def test_ensure_user_creates_once_and_then_returns_the_same_user(service: Service, database: Database) -> None:
    """201 the first time, 200 from then on."""
    person = Person()

    made = await service.ensure(person, email=person.email, name="Canaryname")
    again = await service.ensure(person)

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json()
    (row,) = rows(database)
    assert made.json() == {
        "id": str(row["id"]),
        "clerk_id": person.clerk_id,
        "assistant_id": row["assistant_id"],
        "email": person.email,
        "name": "Canaryname",
        "image_url": None,
        "created_at": made.json()["created_at"],
    }
    assert datetime.fromisoformat(made.json()["created_at"]) == row["created_at"]


async def test_ensure_user_never_changes_an_existing_row(service: Service, database: Database) -> None:
    """The chat backend calls it on every message, mostly without the profile."""
    person = Person()
    await service.deliver(user_created(person))
    before = rows(database)

    await service.ensure(person, email="canary.else@example.com", name="Canaryelse")

    assert rows(database) == before


async def test_any_event_replaces_a_profile_that_came_from_ensure_user(service: Service, database: Database) -> None:
    """Even an event that Clerk dated long before the row was inserted."""
    person = Person()
    await service.ensure(person, email="canary.said@example.com", name="Canarysaid")

    answer = await service.deliver(user_created(person, updated_at=1))

    assert answer.json() == {"outcome": "updated"}
    assert rows(database)[0]["email"] == person.email


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({"updated_at": 1_700_000_000_001, "first_name": "Canarynew"}, "updated"),
        ({"updated_at": 1_700_000_000_001}, "updated"),
        ({"first_name": "Canarynew"}, "updated"),
        ({"image_url": "https://img.example.com/canary-new"}, "updated"),
        ({"image_url": None}, "updated"),
        ({}, "exists"),
        ({"updated_at": 1_699_999_999_999, "first_name": "Canaryold"}, "stale"),
    ],
    ids=["newer", "newer and equal", "same and different", "another picture", "no picture", "the same again", "older"],
)
async def test_updates_are_ordered_by_updated_at_not_by_arrival(
    service: Service, database: Database, changed: dict[str, Any], outcome: str
) -> None:
    """Two changes within one millisecond both count."""
    person = Person()
    await service.deliver(user_created(person))
    before = rows(database)[0]

    answer = await service.deliver(user_updated(person, **changed))

    assert answer.json() == {"outcome": outcome}
    is_renamed = outcome == "updated" and "first_name" in changed
    assert rows(database)[0]["name"] == (f"Canarynew {person.number}" if is_renamed else before["name"])


async def test_user_updated_provisions_an_unknown_user(service: Service, backboard: Sandbox) -> None:
    """Events come in any order, and the first one may be lost."""
    answer = await service.deliver(user_updated(person := Person()))

    assert answer.json() == {"outcome": "created"}
    assert len(backboard.alive(person.assistant_name)) == 1


async def test_session_created_provisions_or_updates_its_user(service: Service, database: Database) -> None:
    """A second chance when user.created was lost; the id of the event is the session's."""
    person = Person()
    later = {"updated_at": 1_700_000_000_900, "last_sign_in_at": 1_700_000_000_800}

    first = await service.deliver(session_created(person, user_data(person)))
    again = await service.deliver(session_created(person, user_data(person, **later)))

    assert (first.json(), again.json()) == ({"outcome": "created"}, {"outcome": "updated"})
    (row,) = rows(database)
    assert row["clerk_id"] == person.clerk_id
    assert row["last_sign_in_at"].timestamp() == 1_700_000_000.8


@pytest.mark.parametrize("data", [{"user": None}, {}], ids=["null", "absent"])
async def test_session_created_without_a_user_is_ignored(
    service: Service, backboard: Sandbox, data: dict[str, Any]
) -> None:
    """Older deliveries carry none."""
    session = {"object": "session", "id": "sess_1", "user_id": Person().clerk_id}

    answer = await service.deliver(event("session.created", session | data))

    assert answer.json() == {"outcome": "ignored"}
    assert backboard.calls() == []


def session_created(person: Person, user: dict[str, Any]) -> bytes:
    return event("session.created", {"object": "session", "id": "sess_1", "user_id": person.clerk_id, "user": user})


async def test_a_deleted_user_is_never_provisioned_again(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Neither by a late or replayed event nor by the chat backend."""
    person = Person()
    database.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [person.clerk_id])

    event_answer = await service.deliver(user_created(person))
    ensure_answer = await service.ensure(person)

    assert event_answer.json() == {"outcome": "gone"}
    assert ensure_answer.status_code == 410
    assert backboard.calls() == []


async def test_fifty_concurrent_callers_for_one_new_user_share_one_try(service: Service, backboard: Sandbox) -> None:
    """One gets 201 and the others 200, all with the same assistant."""
    backboard.switches.latency = 0.1
    person = Person()

    answers = await asyncio.gather(*(service.ensure(person) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["assistant_id"] for answer in answers}) == 1
    assert creates(backboard) == 1


async def test_a_webhook_that_joins_a_try_applies_its_own_profile_afterwards(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    gate = threading.Event()
    backboard.next_create(held(gate))
    person = Person()
    first = asyncio.create_task(service.ensure(person, name="Canarysaid"))
    await asyncio.to_thread(backboard.wait_for, lambda: creates(backboard) == 1)
    second = asyncio.create_task(service.deliver(user_created(person)))
    await asyncio.sleep(0.1)
    gate.set()

    outcomes = (await first).status_code, (await second).json()

    assert outcomes == (201, {"outcome": "updated"})
    assert rows(database)[0]["email"] == person.email
    assert creates(backboard) == 1


async def test_callers_that_joined_a_try_fail_with_it(service: Service, backboard: Sandbox) -> None:
    """None of them makes a try of its own with a Backboard that has just failed."""
    backboard.always("create", status(503))
    backboard.switches.latency = 0.1
    person = Person()

    answers = await asyncio.gather(*(service.ensure(person) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {503}
    assert creates(backboard) == 1


async def test_a_failed_try_leaves_no_row_and_keeps_its_attempt_row(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The attempt was committed before, since an assistant may exist by now."""
    backboard.next_create(status(500))

    answer = await service.deliver(user_created(person := Person()))

    assert (answer.status_code, answer.json()["title"]) == (503, "Service initialization failed")
    assert int(answer.headers["retry-after"]) >= 1
    assert rows(database) == []
    (attempt,) = rows(database, "provisioning_attempts")
    assert (attempt["clerk_id"], attempt["tries"], attempt["resolved_at"]) == (person.clerk_id, 1, None)


async def test_the_second_try_looks_up_before_it_creates(service: Service, backboard: Sandbox) -> None:
    """The lookup finds nothing here, since the first create was refused."""
    backboard.next_create(status(422))
    person = Person()
    await service.deliver(user_created(person))

    answer = await service.deliver(user_created(person))

    assert answer.json() == {"outcome": "created"}
    assert [call.kind for call in backboard.calls()] == ["create", "lookup", "create"]


async def test_success_after_a_lost_answer_marks_the_attempt_row_resolved(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The row stands, but a create may still arrive late: only reconcile can clear the attempt."""
    backboard.next_create(status(500, after_commit=True))
    person = Person()
    await service.deliver(user_created(person))

    await service.deliver(user_created(person))

    (attempt,) = rows(database, "provisioning_attempts")
    assert attempt["tries"] == 2
    assert attempt["resolved_at"] is not None


async def test_an_assistant_id_that_another_row_holds_is_503_and_nothing_is_stored_or_deleted(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Backboard answered with another user's assistant."""
    first, second = Person(), Person()
    await service.deliver(user_created(first))
    backboard.next_create(earlier_id())

    answer = await service.deliver(user_created(second))

    assert (answer.status_code, answer.json()["title"]) == (503, "Service initialization failed")
    assert [row["clerk_id"] for row in rows(database)] == [first.clerk_id]
    assert backboard.calls(kind="delete") == []
    healed = await service.deliver(user_created(second))
    assert healed.json() == {"outcome": "created"}
    assert len(backboard.alive(second.assistant_name)) == 1


async def test_a_row_inserted_past_the_lock_is_returned(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """A script inserted the user meanwhile: its row is the answer, not a 500."""
    gate = threading.Event()
    backboard.next_create(held(gate))
    person = Person()
    answer = asyncio.create_task(service.ensure(person))
    await asyncio.to_thread(backboard.wait_for, lambda: creates(backboard) == 1)
    database.execute("INSERT INTO users (clerk_id, assistant_id) VALUES (%s, 'by-hand')", [person.clerk_id])
    gate.set()

    made = await answer

    assert (made.status_code, made.json()["assistant_id"]) == (200, "by-hand")


async def test_after_a_lost_commit_a_row_with_an_older_profile_is_not_taken_for_ours(
    service: Service, variables: dict[str, str], database: Database
) -> None:
    """Another try may have adopted the same assistant meanwhile; the profile of our event is still to be stored."""
    person = Person()
    await service.deliver(user_created(person, updated_at=1_750_000_000_000))
    row = database.execute("SELECT * FROM users").fetchone()
    assert row is not None
    assistant = Assistant(row["assistant_id"], person.assistant_name, row["created_at"])
    newer = Profile(person.clerk_id, name="Newer", updated_at=row["clerk_updated_at"] + timedelta(milliseconds=1))
    same = Profile(
        *(row[name] for name in ("clerk_id", "email", "name", "image_url", "clerk_updated_at", "last_sign_in_at"))
    )
    lost = DatabaseDown()

    components = build_components(settings_of(variables))
    async with open_components(components):
        outcomes = [
            (await components.provisioning._after_lost_commit(profile, assistant, lost, Deadline())).outcome
            for profile in (newer, same)
        ]

    assert outcomes == ["exists", "created"]


async def test_the_picture_of_the_latest_event_is_answered(service: Service, backboard: Sandbox) -> None:
    """By ensure-user and by the read, whether the row is new, known or updated by a session's event."""
    person = Person()
    first, second = ("https://img.example.com/" + name for name in ("first", "second"))
    await service.deliver(user_created(person, image_url=first))
    made = (await service.ensure(person)).json()["image_url"]
    changed = user_data(person, image_url=second, updated_at=1_700_000_000_001)
    data = {"id": "sess_1", "user_id": person.clerk_id, "user": changed}
    await service.deliver(event("session.created", data))

    known = (await service.ensure(person)).json()["image_url"]
    await service.deliver(user_updated(person, image_url="http://img.example.com/a", updated_at=1_700_000_000_002))

    assert (made, known, (await service.ensure(person)).json()["image_url"]) == (first, second, None)
    assert len(backboard.alive()) == 1


async def test_events_of_another_clerk_instance_are_ignored(variables: dict[str, str], backboard: Sandbox) -> None:
    """One endpoint may receive several instances; samples that name none are handled."""
    app = create_app(settings_of(variables | {"CLERK_INSTANCE_ID": "ins_ours"}))
    async with in_process(app) as service:
        foreign = await service.deliver(event("user.created", user_data(Person()), instance_id="ins_theirs"))
        ours = await service.deliver(event("user.created", user_data(Person()), instance_id="ins_ours"))
        unnamed = await service.deliver(event("user.created", user_data(Person())))

    assert [answer.json()["outcome"] for answer in (foreign, ours, unnamed)] == ["ignored", "created", "created"]
    assert creates(backboard) == 2


@pytest.mark.ways("direct")  # No database is reached in either way.
async def test_a_database_that_is_down_is_503_with_retry_after(variables: dict[str, str], tmp_path: Path) -> None:
    """Long before the deadline, for both callers; /healthz stays 200."""
    nowhere = f"postgresql://app@/app?host={tmp_path}"
    async with in_process(create_app(settings_of(variables | {"DATABASE_URL": nowhere}))) as service:
        async with asyncio.timeout(6):
            answers = await asyncio.gather(service.deliver(user_created(Person())), service.ensure(Person()))
        ready = await service.client.get("/readyz")
        alive = await service.client.get("/healthz")

    assert [answer.status_code for answer in answers] == [503, 503]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert (ready.status_code, alive.status_code) == (503, 200)


async def test_metrics_count_requests_by_event_outcome_and_status(service: Service) -> None:
    """With their time, and the connections of the pools."""
    await service.deliver(user_created(Person()))

    text = (await service.client.get("/metrics")).text
    metrics = re.sub(r'process="[0-9a-f]{12}"', 'process=""', text)

    assert 'process_requests_total{event="webhook",outcome="created",process="",status="200"} 1.0' in metrics
    assert 'request_seconds_count{event="webhook",process=""} 1.0' in metrics
    assert 'pool_connections{pool="provisioning",process="",state="max"} 5.0' in metrics
