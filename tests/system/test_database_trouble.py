"""A database that is cut off, full, read-only or locked: 503 until it is over, and nothing acknowledged is lost."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
import pytest

from app.application import create_app
from tests.support.factories import Person, event, user_created, user_updated
from tests.support.service import Service, in_process, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.postgres_proxy import CutAtStatement, PostgresProxy

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct")]

Database = psycopg.Connection[dict[str, Any]]

LATER = 1_700_000_000_001


def told(what: str, person: Person) -> list[bytes]:
    """The events up to the one that matters."""
    created = user_created(person)
    return {
        "created": [created],
        "updated": [created, user_updated(person, updated_at=LATER, first_name="Canarylater")],
        "deleted": [created, event("user.deleted", {"object": "user", "id": person.clerk_id})],
    }[what]


def stands(what: str, person: Person, database: Database, backboard: Sandbox) -> bool:
    """Whether the last event's effect is in the database and at Backboard."""
    row = database.execute("SELECT * FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchone()
    tombstones = database.execute("SELECT 1 FROM deleted_users WHERE clerk_id = %s", [person.clerk_id]).fetchall()
    alive = [assistant.id for assistant in backboard.alive(person.assistant_name)]
    if what == "deleted":
        return row is not None and row["email"] is None and bool(tombstones) and not alive
    first_name = "Canarylater" if what == "updated" else "Canaryname"
    return row is not None and alive == [row["assistant_id"]] and row["name"] == f"{first_name} {person.number}"


@pytest.mark.parametrize("in_a_row", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["created", "updated", "deleted"])
async def test_a_cut_at_any_statement_loses_nothing(
    variables: dict[str, str],
    direct_url: str,
    database: Database,
    backboard: Sandbox,
    what: str,
    when: Literal["before", "after"],
    in_a_row: int,
) -> None:
    """COMMIT included, and the look at what became of it: what was answered 200 stands, the rest comes again."""
    cuts = CutAtStatement()
    with PostgresProxy(direct_url, cuts) as proxy:
        async with service_on(proxy.url, variables) as service:
            for number in itertools.count(1):
                person = Person()
                *before, last = told(what, person)
                for body in before:
                    await deliver_until_taken(service, body)
                cuts.plan(when, *range(number, number + in_a_row))
                first = await service.deliver(last)
                cut = cuts.cuts
                cuts.plan(when)
                assert first.status_code == 503 or (
                    first.status_code == 200 and stands(what, person, database, backboard)
                )
                await deliver_until_taken(service, last)
                assert stands(what, person, database, backboard), f"cut {when} statement {number}"
                assert len(backboard.made(person.assistant_name)) == 1
                if not cut:
                    break
            assert number > {"created": 10, "updated": 5, "deleted": 10}[what]


def service_on(url: str, variables: dict[str, str]) -> Any:
    return in_process(create_app(settings_of(variables | {"DATABASE_URL": url})))


async def deliver_until_taken(service: Service, body: bytes) -> None:
    for _ in range(5):
        answer = await service.deliver(body)
        if answer.status_code == 200:
            return
        assert answer.status_code == 503
    pytest.fail("the event was never taken")


FULL = "CREATE OR REPLACE FUNCTION full_disk() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$"
TRIGGERS = {
    "note": "CREATE TRIGGER full_disk BEFORE INSERT ON provisioning_attempts",
    "row": "CREATE TRIGGER full_disk BEFORE INSERT ON users",
    "commit": "CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED",
}


@contextmanager
def full_disk(database: Database, trigger: str) -> Iterator[None]:
    database.execute(FULL.encode())
    database.execute(f"{trigger} FOR EACH ROW EXECUTE FUNCTION full_disk()".encode())
    try:
        yield
    finally:
        database.execute("DROP FUNCTION full_disk() CASCADE")


@pytest.mark.parametrize("where", TRIGGERS)
async def test_a_full_disk_is_a_503_until_there_is_room(
    service: Service, database: Database, backboard: Sandbox, where: str
) -> None:
    """At the note nothing is made; at the row or its COMMIT the next try adopts what was made."""
    known, new = Person(), Person()
    await service.ensure(known)
    with full_disk(database, TRIGGERS[where]):
        refused = [await service.deliver(user_created(new)), await service.ensure(new)]
        served = await service.ensure(known)
        made = len(backboard.made(new.assistant_name))

    assert [answer.status_code for answer in refused] == [503, 503]
    assert (served.status_code, made) == (200, 0 if where == "note" else 1)
    assert (await service.deliver(user_created(new))).json() == {"outcome": "created"}
    assert len(backboard.made(new.assistant_name)) == 1


async def test_a_database_that_was_read_only_is_written_to_again(
    variables: dict[str, str], direct_url: str, database: Database, backboard: Sandbox
) -> None:
    """What connected meanwhile would stay read-only for as long as it is kept."""
    name = urlsplit(direct_url).path.removeprefix("/")
    database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    try:
        async with service_on(direct_url, variables) as service:
            refused = [await service.deliver(body) for _ in range(3) for body in told("deleted", Person())]
            assert {answer.status_code for answer in refused} == {503}
            assert backboard.calls() == []

            database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())

            person = Person()
            for body in told("updated", person):
                await deliver_until_taken(service, body)
            assert stands("updated", person, database, backboard)
    finally:
        database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())


def waiting(database: Database) -> int:
    """How many of the service's connections wait for a lock at the server."""
    (row,) = database.execute(
        "SELECT count(*) AS waiting FROM pg_stat_activity"
        " WHERE application_name = 'clerk-backboard-sync' AND wait_event_type = 'Lock'"
    ).fetchall()
    return int(row["waiting"])


async def test_a_user_locked_elsewhere_is_a_503_within_seconds(
    service: Service, direct_url: str, database: Database, backboard: Sandbox
) -> None:
    """Retry-After is short, nothing is made, and the try after the lock heals it."""
    person = Person()
    with psycopg.connect(direct_url) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id])
        refused = await service.deliver(user_created(person))

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
    assert backboard.calls() == []
    await deliver_until_taken(service, user_created(person))
    assert stands("created", person, database, backboard)


@pytest.mark.parametrize("table", ["provisioning_attempts", "users"])
async def test_a_locked_table_does_not_eat_up_the_servers_connections(
    service: Service, direct_url: str, database: Database, backboard: Sandbox, table: str
) -> None:
    """Each wait ends at the server as well, which would not notice that nobody waits for its answer any more."""
    person = Person()
    await service.ensure(Person())
    with psycopg.connect(direct_url) as elsewhere:
        elsewhere.execute(f"LOCK TABLE {table}".encode())
        refused = [await service.deliver(user_created(person)) for _ in range(4)]
        left = waiting(database)

    assert {answer.status_code for answer in refused} == {503}
    assert left <= 1
    await deliver_until_taken(service, user_created(person))
    assert stands("created", person, database, backboard)
