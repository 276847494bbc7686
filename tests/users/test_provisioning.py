"""Making sure of one user, in one process: what callers get, and what Backboard and the tables hold afterwards."""

import asyncio
import threading
import time
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
from tools.sandbox.backboard.faults import earlier_id, html, status
from tools.sandbox.faults import Fault, drops, held, resets

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

Database = psycopg.Connection[dict[str, Any]]


def rows(database: Database, table: str = "users") -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table}".encode()).fetchall()


def creates(backboard: Sandbox) -> int:
    return len(backboard.calls(kind="create"))


async def test_a_sign_up_becomes_an_assistant_and_a_row(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The row holds what Clerk said and the id of the assistant that bears the user's name."""
    person = Person()

    answer = await service.deliver(user_created(person, last_sign_in_at=1_700_000_000_500))

    assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
    (row,) = rows(database)
    (assistant,) = backboard.alive(person.assistant_name)
    assert (row["clerk_id"], row["assistant_id"]) == (person.clerk_id, assistant.id)
    assert (row["email"], row["name"]) == (person.email, f"Canaryname {person.number}")
    assert row["clerk_updated_at"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert row["last_sign_in_at"] == datetime.fromtimestamp(1_700_000_000.5, UTC)


async def test_a_clean_sign_up_costs_one_call_and_leaves_no_doubt(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """No lookup by name, and an empty list of open doubts."""
    await service.deliver(user_created(Person()))

    assert len(backboard.calls()) == 1
    assert rows(database, "provisioning_attempts") == []


async def test_the_chat_backend_gets_a_new_user_made(service: Service, database: Database) -> None:
    """201 the first time, 200 and the same assistant from then on."""
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
        "created_at": made.json()["created_at"],
    }
    assert datetime.fromisoformat(made.json()["created_at"]) == row["created_at"]


async def test_the_chat_backend_never_changes_a_row(service: Service, database: Database) -> None:
    """It asks on every message, mostly without the profile."""
    person = Person()
    await service.deliver(user_created(person))
    before = rows(database)

    await service.ensure(person, email="canary.else@example.com", name="Canaryelse")

    assert rows(database) == before


async def test_any_event_is_newer_than_what_the_chat_backend_said(service: Service, database: Database) -> None:
    """Even one that Clerk dated long before the row was made."""
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
        ({}, "exists"),
        ({"updated_at": 1_699_999_999_999, "first_name": "Canaryold"}, "stale"),
    ],
    ids=["newer", "newer and equal", "equally new and different", "the same again", "older"],
)
async def test_updates_apply_in_the_order_of_their_making(
    service: Service, database: Database, changed: dict[str, Any], outcome: str
) -> None:
    """Whatever the order of their arrival; two changes in one millisecond both count."""
    person = Person()
    await service.deliver(user_created(person))
    before = rows(database)[0]

    answer = await service.deliver(user_updated(person, **changed))

    assert answer.json() == {"outcome": outcome}
    after = rows(database)[0]
    kept = f"{before['name']}"
    assert after["name"] == (f"Canarynew {person.number}" if outcome == "updated" and "first_name" in changed else kept)


async def test_an_update_of_an_unknown_user_provisions(service: Service, backboard: Sandbox) -> None:
    """Events come in any order, and the first one may be lost."""
    answer = await service.deliver(user_updated(person := Person()))

    assert answer.json() == {"outcome": "created"}
    assert len(backboard.alive(person.assistant_name)) == 1


async def test_a_deleted_user_stays_deleted(service: Service, database: Database, backboard: Sandbox) -> None:
    """A late or replayed event, or the chat backend, brings nobody back."""
    person = Person()
    database.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [person.clerk_id])

    event_answer = await service.deliver(user_created(person))
    ensure_answer = await service.ensure(person)

    assert event_answer.json() == {"outcome": "gone"}
    assert ensure_answer.status_code == 410
    assert backboard.calls() == []


async def test_fifty_callers_of_one_new_user_share_one_try(service: Service, backboard: Sandbox) -> None:
    """One of them made the user, and the others are told of the same assistant."""
    backboard.switches.latency = 0.1
    person = Person()

    answers = await asyncio.gather(*(service.ensure(person) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["assistant_id"] for answer in answers}) == 1
    assert creates(backboard) == 1


async def test_a_webhook_that_joins_the_chat_backends_try_has_the_last_word(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Followers of a try apply their own profile to the row that it made."""
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


async def test_when_a_try_fails_its_followers_fail_with_it(service: Service, backboard: Sandbox) -> None:
    """They do not take a turn each with a partner that has just failed."""
    gate = threading.Event()
    backboard.next_create(held(gate), status(500))
    backboard.clear()
    backboard.always("create", status(503))
    backboard.switches.latency = 0.1
    person = Person()

    answers = await asyncio.gather(*(service.ensure(person) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {503}
    assert creates(backboard) == 1


async def test_a_failed_try_leaves_no_row_and_keeps_its_note(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The rollback takes the row; the note that an assistant may exist was committed before."""
    backboard.next_create(status(500))

    answer = await service.deliver(user_created(person := Person()))

    assert (answer.status_code, answer.json()["title"]) == (503, "Service initialization failed")
    assert int(answer.headers["retry-after"]) >= 1
    assert rows(database) == []
    (attempt,) = rows(database, "provisioning_attempts")
    assert (attempt["clerk_id"], attempt["tries"], attempt["resolved_at"]) == (person.clerk_id, 1, None)


async def test_the_second_try_looks_before_it_creates(service: Service, backboard: Sandbox) -> None:
    """It finds nothing here, since the first create was refused."""
    backboard.next_create(status(422))
    person = Person()
    await service.deliver(user_created(person))

    answer = await service.deliver(user_created(person))

    assert answer.json() == {"outcome": "created"}
    assert [call.kind for call in backboard.calls()] == ["create", "lookup", "create"]


async def test_a_doubt_that_ended_well_is_marked_resolved(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The row stands, but a create may still arrive late: only a later look can forget the note."""
    backboard.next_create(status(500, after_commit=True))
    person = Person()
    await service.deliver(user_created(person))

    await service.deliver(user_created(person))

    (attempt,) = rows(database, "provisioning_attempts")
    assert attempt["tries"] == 2
    assert attempt["resolved_at"] is not None


async def test_an_id_that_another_row_holds_binds_nobody_and_deletes_nothing(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Backboard answered with somebody else's assistant."""
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


async def test_a_row_written_past_the_lock_is_the_truth(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Somebody's script inserted the user meanwhile: its row is answered, not a 500."""
    gate = threading.Event()
    backboard.next_create(held(gate))
    person = Person()
    answer = asyncio.create_task(service.ensure(person))
    await asyncio.to_thread(backboard.wait_for, lambda: creates(backboard) == 1)
    database.execute("INSERT INTO users (clerk_id, assistant_id) VALUES (%s, 'by-hand')", [person.clerk_id])
    gate.set()

    made = await answer

    assert (made.status_code, made.json()["assistant_id"]) == (200, "by-hand")


@pytest.mark.ways("direct")  # Each place needs a connection behind it, in a pooler as well.
async def test_existing_users_never_wait_for_new_ones(service: Service, backboard: Sandbox) -> None:
    """With every place taken by a partner that hangs, a known user is answered from the database."""
    known = Person()
    await service.ensure(known)
    gate = threading.Event()
    backboard.always("create", held(gate))
    new = [asyncio.create_task(service.ensure(Person())) for _ in range(5)]
    await asyncio.to_thread(backboard.wait_for, lambda: creates(backboard) == 6)
    started = time.monotonic()

    answer = await service.ensure(known)

    assert answer.status_code == 200
    assert time.monotonic() - started < 1.0
    gate.set()
    await asyncio.gather(*new)


@pytest.mark.ways("direct")  # A storm holds every place, and each needs a connection behind it.
@pytest.mark.parametrize(
    "fault", [status(500), status(401), status(429, retry_after="1"), drops(), resets(), html(502)], ids=str
)
async def test_no_failure_of_backboard_reaches_who_has_an_assistant(
    service: Service, backboard: Sandbox, fault: Fault
) -> None:
    """While three dozen new users storm in and fail, everybody else is served: asked for, changed, signed in."""
    known = Person()
    await service.ensure(known)
    backboard.always("any", fault)
    calls = len(backboard.calls())
    storm = asyncio.gather(*(service.ensure(Person()) for _ in range(36)))

    served: list[Any] = []
    for version in range(10):
        changed = user_updated(known, last_name=f"Canary{version}", updated_at=1_750_000_000_000 + version)
        signed_in = event("session.created", {"user": user_data(known), "user_id": known.clerk_id})
        asked = (service.ensure(known), service.deliver(changed), service.deliver(signed_in))
        served += await asyncio.gather(*asked)

    assert {answer.status_code for answer in await storm} == {503}
    assert {answer.status_code for answer in served} == {200}
    assert len(backboard.calls()) > calls


@pytest.mark.ways("direct")  # As above.
async def test_what_cannot_be_served_in_time_is_refused_at_once(service: Service, backboard: Sandbox) -> None:
    """Five places, sixty may wait 4 s for one; the rest are sent away without waiting."""
    backboard.switches.latency = 0.1
    await asyncio.gather(*(service.ensure(Person()) for _ in range(5)))
    gate = threading.Event()
    backboard.always("create", held(gate))
    started = time.monotonic()
    calls = [asyncio.create_task(service.ensure(Person())) for _ in range(80)]

    done, _ = await asyncio.wait(calls, timeout=1.5)

    assert len(done) == 15
    assert {call.result().status_code for call in done} == {503}
    assert all(call.result().json()["title"] == "Service initialization failed" for call in done)
    await asyncio.sleep(max(0.0, 4.8 - (time.monotonic() - started)))
    assert sum(call.done() for call in calls) == 75
    gate.set()
    assert sorted({call.result().status_code for call in await _all(calls)}) == [201, 503]


async def test_who_is_turned_away_learns_how_long_it_will_take(variables: dict[str, str], backboard: Sandbox) -> None:
    """By those who wait ahead, and by how long Backboard has been taking for each of them."""

    async def turned_away(service: Service) -> int:
        gate = threading.Event()
        backboard.always("create", held(gate))
        calls = [asyncio.create_task(service.ensure(Person())) for _ in range(16)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        backboard.switches.latency = 0.0
        gate.set()
        await asyncio.wait(calls)
        backboard.clear()
        return int(done.pop().result().headers["retry-after"])

    async with in_process(create_app(settings_of(variables | {"PROVISIONING_CONCURRENCY": "1"}))) as service:
        for _ in range(6):
            await service.ensure(Person())
        fast = await turned_away(service)
        backboard.switches.latency = 1.0
        for _ in range(2):
            await service.ensure(Person())
        slow = await turned_away(service)

    assert 1 <= fast < slow <= 30


async def _all(calls: list[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    await asyncio.wait(calls)
    return calls


async def test_a_partner_known_to_be_down_is_not_asked(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """After five failures new users are refused at once, without a note or a call; existing ones are served."""
    known = Person()
    await service.ensure(known)
    backboard.always("create", status(500))
    for _ in range(5):
        await service.ensure(Person())
    seen = len(backboard.calls())

    refused = await service.ensure(Person())

    assert (refused.status_code, refused.json()["title"]) == (503, "Service initialization failed")
    assert len(backboard.calls()) == seen
    assert len(rows(database, "provisioning_attempts")) == 5
    assert (await service.ensure(known)).status_code == 200


async def test_who_waits_for_a_place_is_not_sent_to_a_partner_that_has_said_no(
    service: Service, backboard: Sandbox
) -> None:
    """Five have asked when Backboard says 429; the ten behind them learn how long it wants to be left alone."""
    backboard.switches.latency = 0.3
    backboard.always("create", status(429, retry_after="20"))

    answers = await asyncio.gather(*(service.ensure(Person()) for _ in range(15)))

    assert {answer.status_code for answer in answers} == {503}
    assert creates(backboard) == 5
    assert all(int(answer.headers["retry-after"]) > 15 for answer in answers)


async def test_events_of_another_instance_are_ignored(variables: dict[str, str], backboard: Sandbox) -> None:
    """One endpoint may receive several instances; samples that name none are handled."""
    app = create_app(settings_of(variables | {"CLERK_INSTANCE_ID": "ins_ours"}))
    async with in_process(app) as service:
        foreign = await service.deliver(event("user.created", user_data(Person()), instance_id="ins_theirs"))
        ours = await service.deliver(event("user.created", user_data(Person()), instance_id="ins_ours"))
        unnamed = await service.deliver(event("user.created", user_data(Person())))

    assert [answer.json()["outcome"] for answer in (foreign, ours, unnamed)] == ["ignored", "created", "created"]
    assert creates(backboard) == 2


async def test_the_database_that_is_down_is_a_503(variables: dict[str, str], tmp_path: Path) -> None:
    """Within seconds, for both callers, and with a word on when to come again."""
    nowhere = f"postgresql://app@/app?host={tmp_path}"
    async with in_process(create_app(settings_of(variables | {"DATABASE_URL": nowhere}))) as service:
        started = time.monotonic()
        answers = await asyncio.gather(service.deliver(user_created(Person())), service.ensure(Person()))
        took = time.monotonic() - started
        ready = await service.client.get("/readyz")
        alive = await service.client.get("/healthz")

    assert [answer.status_code for answer in answers] == [503, 503]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert took < 3
    assert (ready.status_code, alive.status_code) == (503, 200)


async def test_the_figures_count_what_was_answered(service: Service) -> None:
    """By event, outcome and status; with the time it took and the pools' connections."""
    await service.deliver(user_created(Person()))

    figures = (await service.client.get("/metrics")).text

    assert 'requests_total{event="webhook",outcome="created",status="200"} 1.0' in figures
    assert 'request_seconds_count{event="webhook"} 1.0' in figures
    assert 'pool_connections{pool="provisioning",state="max"} 5.0' in figures


async def test_a_row_that_another_try_wrote_for_an_older_event_is_not_taken_for_ours(
    service: Service, variables: dict[str, str], database: Database
) -> None:
    """After a lost COMMIT the assistant may stand in the row of somebody who adopted it; our event is yet to come."""
    person = Person()
    await service.deliver(user_created(person, updated_at=1_750_000_000_000))
    row = database.execute("SELECT * FROM users").fetchone()
    assert row is not None
    assistant = Assistant(row["assistant_id"], person.assistant_name, row["created_at"])
    newer = Profile(person.clerk_id, name="Newer", updated_at=row["clerk_updated_at"] + timedelta(milliseconds=1))
    same = Profile(person.clerk_id, row["email"], row["name"], row["clerk_updated_at"], row["last_sign_in_at"])
    lost = DatabaseDown()

    components = build_components(settings_of(variables))
    async with open_components(components):
        outcomes = [
            (await components.provisioning._after_lost_commit(profile, assistant, lost, Deadline())).outcome
            for profile in (newer, same)
        ]

    assert outcomes == ["exists", "created"]
