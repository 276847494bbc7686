"""POST /ensure-user with CLERK_SECRET_KEY: Clerk decides which users exist, and what their profiles are."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from app.application import create_app
from tests.support.factories import Person, event, user_created, user_data
from tests.support.service import Service, in_process, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import html
from tools.sandbox.clerk import LOCAL_KEY, Clerk, refuses
from tools.sandbox.faults import Fault, cuts, drips, drops, garbage, hangs, redirect, resets

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk() as clerk:
        yield clerk


@pytest.fixture
async def service(variables: dict[str, str], clerk: Clerk) -> AsyncIterator[Service]:
    more = {"CLERK_SECRET_KEY": LOCAL_KEY, "CLERK_API_URL": clerk.url}
    async with in_process(create_app(settings_of(variables | more))) as service:
        yield service


@pytest.fixture
def person(clerk: Clerk) -> Person:
    """A user that Clerk knows and we do not."""
    person = Person()
    clerk.add_user(**user_data(person))
    return person


def rows(database: Database, table: str = "users") -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table}".encode()).fetchall()


def assert_nothing_made(database: Database, backboard: Sandbox) -> None:
    assert backboard.calls() == []
    assert rows(database) == rows(database, "provisioning_attempts") == []


async def test_a_new_user_gets_clerks_profile_and_its_version(
    service: Service, person: Person, clerk: Clerk, database: Database
) -> None:
    """So that an older event does not count as newer."""
    answer = await service.ensure(person)

    assert (answer.status_code, answer.json()["email"]) == (201, person.email)
    (row,) = rows(database)
    assert (row["email"], row["name"]) == (person.email, f"Canaryname {person.number}")
    assert row["image_url"] == answer.json()["image_url"] == "https://img.example.com/canary"
    assert len(clerk.calls()) == 1
    older = await service.deliver(user_created(person, updated_at=1, first_name="Canaryold"))
    assert older.json() == {"outcome": "stale"}


async def test_the_profile_in_the_request_is_ignored(service: Service, person: Person, database: Database) -> None:
    unknown = Person()
    answer = await service.ensure(person, email="canary.said@example.com", name="Canarysaid")

    assert (answer.json()["email"], answer.json()["name"]) == (person.email, f"Canaryname {person.number}")
    assert rows(database)[0]["email"] == person.email
    assert (await service.ensure(unknown, email="canary.said@example.com")).status_code == 404


async def test_a_user_without_a_profile_at_clerk_gets_none_from_the_request(
    service: Service, clerk: Clerk, database: Database
) -> None:
    """A user who signed up by telephone has no address."""
    person = Person()
    empty: dict[str, Any] = {
        "email_addresses": [],
        "primary_email_address_id": None,
        "first_name": None,
        "last_name": None,
    }
    clerk.add_user(**user_data(person, **empty))

    answer = await service.ensure(person, email="canary.said@example.com", name="Canarysaid")

    assert (answer.status_code, answer.json()["email"], answer.json()["name"]) == (201, None, None)
    assert (rows(database)[0]["email"], rows(database)[0]["name"]) == (None, None)


async def test_a_user_unknown_to_clerk_is_404_before_anything_is_made(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox
) -> None:
    """A mistyped id costs one call to Clerk, and neither an assistant nor an attempt row."""
    answer = await service.ensure(Person(), email="canary@example.com")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert len(clerk.calls("user")) == 1
    assert_nothing_made(database, backboard)


async def test_an_existing_user_is_200_while_clerk_and_backboard_are_down(
    service: Service, person: Person, clerk: Clerk, backboard: Sandbox
) -> None:
    """Clerk is not even called."""
    made = await service.ensure(person)
    calls = len(clerk.calls())
    with clerk.refuse_connections(), backboard.refuse_connections():
        answer = await service.ensure(person)

    assert (answer.status_code, answer.json()) == (200, made.json())
    assert len(clerk.calls()) == calls


async def test_a_deleted_user_is_410_without_a_call_to_clerk(service: Service, person: Person, clerk: Clerk) -> None:
    """The tombstone decides, though Clerk may still list the user for a moment."""
    await service.deliver(event("user.deleted", {"id": person.clerk_id, "object": "user", "deleted": True}))

    assert (await service.ensure(person)).status_code == 410
    assert clerk.calls() == []


async def test_an_unauthenticated_or_invalid_request_causes_no_call_to_clerk(
    service: Service, person: Person, clerk: Clerk
) -> None:
    assert (await service.ensure(person, token="canary-wrong-token-0000")).status_code == 401
    assert (await service.ensure(person, clerk_id="user_../count")).status_code == 422
    assert clerk.calls() == []


@pytest.mark.parametrize(
    "fault",
    [
        refuses(401, "clerk_key_invalid"),
        refuses(403, "authorization_invalid"),
        refuses(404, "no_such_route"),
        html(404),
        refuses(422),
        refuses(429, "too_many_requests"),
        refuses(500),
        html(503),
        redirect("https://example.com/"),
        garbage(b"[{]"),
        garbage(b"{}"),
        garbage(b"null"),
        cuts(),
        drops(),
        resets(),
        drips(),
        drips(head=True),
        hangs(),
    ],
    ids=str,
)
async def test_any_other_answer_of_clerk_is_503_and_makes_nothing(
    service: Service, person: Person, clerk: Clerk, database: Database, backboard: Sandbox, fault: Fault
) -> None:
    """Within the twelve seconds that a request may take, with Retry-After; the next call succeeds."""
    clerk.next("user", fault)

    async with asyncio.timeout(12):
        answer = await service.ensure(person, email=person.email)

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert_nothing_made(database, backboard)
    clerk.clear()
    assert (await service.ensure(person)).status_code == 201


async def test_clerks_own_retry_after_is_passed_on(service: Service, person: Person, clerk: Clerk) -> None:
    clerk.throttle("user", 17)

    answer = await service.ensure(person)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "17")


async def test_a_clerk_that_refuses_connections_is_503(
    service: Service, person: Person, clerk: Clerk, database: Database, backboard: Sandbox
) -> None:
    with clerk.refuse_connections():
        answer = await service.ensure(person)

    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert_nothing_made(database, backboard)


async def test_a_webhook_makes_no_call_to_clerk(service: Service, person: Person, clerk: Clerk) -> None:
    """It carries the user, and must work while Clerk's API is down."""
    clerk.always("any", refuses(500))

    assert (await service.deliver(user_created(person))).json() == {"outcome": "created"}
    assert clerk.calls() == []
