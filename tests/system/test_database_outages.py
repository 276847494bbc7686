"""A database that is down, crashes, is cut off, full, read-only or locked: 503 meanwhile, and nothing is lost."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from app.application import create_app
from app.postgres.migrations import migrate
from tests.support.factories import Person, event, user_created, user_updated
from tests.support.service import Service, connected_to, in_process, settings_of
from tools.processes import ServerProcess, responds, wait_until
from tools.sandbox.backboard import Sandbox
from tools.sandbox.binaries import find_pgbouncer
from tools.sandbox.pgbouncer import PgBouncer
from tools.sandbox.postgres import Postgres
from tools.sandbox.postgres_proxy import CutAtStatement, PostgresProxy

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct")]

Database = psycopg.Connection[dict[str, Any]]
StartServer = Callable[..., ServerProcess]

CRASHES = 5
SENDERS = 12
LATER = 1_700_000_000_001


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A Postgres of the test's own, migrated."""
    with Postgres(tmp_path / "data", durable=False) as server:
        asyncio.run(migrate(server.url()))
        yield server


@pytest.fixture(params=["direct", "pooled"])
def own_url(own_postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of it for the service."""
    if request.param == "direct":
        yield own_postgres.url()
        return
    if find_pgbouncer() is None:
        pytest.skip("there is no PgBouncer on this machine (Debian: apt install pgbouncer)")
    with PgBouncer(own_postgres.url(), pool_size=2) as pooler:
        yield pooler.url()


async def test_a_process_starts_without_its_database_and_finds_it_later(
    start_server: StartServer, own_postgres: Postgres, own_url: str
) -> None:
    """/healthz is 200 and /readyz 503 meanwhile; both callers get a 503 with Retry-After."""
    own_postgres.crash()
    server = start_server(wait=False, DATABASE_URL=own_url)
    wait_until(responds(server.url, "/healthz"), seconds=30)
    async with connected_to(server) as service:
        unready = await service.client.get("/readyz")
        refused = await asyncio.gather(service.deliver(user_created(Person())), service.ensure(Person()))
        own_postgres.start()
        await asyncio.to_thread(wait_until, responds(server.url))
        created = await service.deliver(user_created(Person()))

    assert (unready.status_code, [answer.status_code for answer in refused]) == (503, [503, 503])
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in (unready, *refused))
    assert created.json() == {"outcome": "created"}


async def test_crashes_of_the_database_under_load_lose_nothing_acknowledged(
    start_server: StartServer, own_postgres: Postgres, own_url: str, backboard: Sandbox
) -> None:
    """Every delivery is acknowledged in the end, and its user has one row and one assistant."""
    backboard.switches.latency = 0.05
    server = start_server(DATABASE_URL=own_url)
    stop = asyncio.Event()
    async with connected_to(server) as service:
        senders = [asyncio.create_task(send_until(stop, service)) for _ in range(SENDERS)]
        for _ in range(CRASHES):
            await asyncio.sleep(0.7)
            await asyncio.to_thread(own_postgres.crash)
            own_postgres.start()
        stop.set()
        sent = await asyncio.gather(*senders)

    acknowledged = [person for people, _ in sent for person in people]
    assert sum(refusals for _, refusals in sent) > 0
    with psycopg.connect(own_postgres.url()) as connection:
        stored: dict[str, Any] = dict(connection.execute("SELECT clerk_id, assistant_id FROM users").fetchall())
    assert set(stored) == {person.clerk_id for person in acknowledged}
    for person in acknowledged:
        assert [assistant.id for assistant in backboard.made(person.assistant_name)] == [stored[person.clerk_id]]


async def send_until(stop: asyncio.Event, service: Service) -> tuple[list[Person], int]:
    """Deliver one new user after another, each until it is acknowledged; returns them, and how many 503 there were."""
    acknowledged, refusals = [], 0
    while not stop.is_set():
        person = Person()
        while (answer := await service.deliver(user_created(person))).status_code != httpx.codes.OK:
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            refusals += 1
            await asyncio.sleep(0.1)
        acknowledged.append(person)
    return acknowledged, refusals


def events_up_to(last: str, person: Person) -> list[bytes]:
    """The events of a user, up to the one that the test is about."""
    created = user_created(person)
    return {
        "created": [created],
        "updated": [created, user_updated(person, updated_at=LATER, first_name="Canarylater")],
        "deleted": [created, event("user.deleted", {"object": "user", "id": person.clerk_id})],
    }[last]


def stands(last: str, person: Person, database: Database, backboard: Sandbox) -> bool:
    """Whether the last event's effect is in the database and at Backboard."""
    row = database.execute("SELECT * FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchone()
    tombstones = database.execute("SELECT 1 FROM deleted_users WHERE clerk_id = %s", [person.clerk_id]).fetchall()
    alive = [assistant.id for assistant in backboard.alive(person.assistant_name)]
    if last == "deleted":
        return row is not None and row["email"] is None and bool(tombstones) and not alive
    first_name = "Canarylater" if last == "updated" else "Canaryname"
    return row is not None and alive == [row["assistant_id"]] and row["name"] == f"{first_name} {person.number}"


@pytest.mark.parametrize("in_a_row", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("last", ["created", "updated", "deleted"])
async def test_a_connection_cut_at_any_statement_loses_nothing(
    variables: dict[str, str],
    direct_url: str,
    database: Database,
    backboard: Sandbox,
    last: str,
    when: Literal["before", "after"],
    in_a_row: int,
) -> None:
    """Also at COMMIT, and at the read of what became of it: a 200 is committed, a 503 succeeds when it comes again."""
    cuts = CutAtStatement()
    with PostgresProxy(direct_url, cuts) as proxy:
        async with service_on(proxy.url, variables) as service:
            for number in itertools.count(1):
                person = Person()
                *before, event_under_test = events_up_to(last, person)
                for body in before:
                    await deliver_until_acknowledged(service, body)
                cuts.plan(when, *range(number, number + in_a_row))
                first = await service.deliver(event_under_test)
                cut = cuts.cuts
                cuts.plan(when)
                assert first.status_code == 503 or (
                    first.status_code == 200 and stands(last, person, database, backboard)
                )
                await deliver_until_acknowledged(service, event_under_test)
                assert stands(last, person, database, backboard), f"cut {when} statement {number}"
                assert len(backboard.made(person.assistant_name)) == 1
                if not cut:
                    break
            assert number > {"created": 10, "updated": 2, "deleted": 10}[last]


def service_on(url: str, variables: dict[str, str]) -> Any:
    return in_process(create_app(settings_of(variables | {"DATABASE_URL": url})))


async def deliver_until_acknowledged(service: Service, body: bytes) -> None:
    for _ in range(5):
        answer = await service.deliver(body)
        if answer.status_code == 200:
            return
        assert answer.status_code == 503
    pytest.fail("the event was never acknowledged")


FULL = "CREATE OR REPLACE FUNCTION full_disk() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$"
TRIGGERS = {
    "attempt": "CREATE TRIGGER full_disk BEFORE INSERT ON provisioning_attempts",
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
async def test_a_full_disk_is_503_until_there_is_room(
    service: Service, database: Database, backboard: Sandbox, where: str
) -> None:
    """At the attempt row, no assistant is created; at the row or its COMMIT, the next try adopts it."""
    known, new = Person(), Person()
    await service.ensure(known)
    with full_disk(database, TRIGGERS[where]):
        refused = [await service.deliver(user_created(new)), await service.ensure(new)]
        served = await service.ensure(known)
        made = len(backboard.made(new.assistant_name))

    assert [answer.status_code for answer in refused] == [503, 503]
    assert (served.status_code, made) == (200, 0 if where == "attempt" else 1)
    assert (await service.deliver(user_created(new))).json() == {"outcome": "created"}
    assert len(backboard.made(new.assistant_name)) == 1


async def test_a_database_that_was_read_only_is_used_again(
    variables: dict[str, str], direct_url: str, database: Database, backboard: Sandbox
) -> None:
    """A connection opened meanwhile would stay read-only, so it is not kept."""
    name = urlsplit(direct_url).path.removeprefix("/")
    database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    try:
        async with service_on(direct_url, variables) as service:
            refused = [await service.deliver(body) for _ in range(3) for body in events_up_to("deleted", Person())]
            assert {answer.status_code for answer in refused} == {503}
            assert backboard.calls() == []

            database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())

            person = Person()
            for body in events_up_to("updated", person):
                await deliver_until_acknowledged(service, body)
            assert stands("updated", person, database, backboard)
    finally:
        database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())


def waiting(database: Database) -> int:
    """How many connections of the service wait for a lock at the server."""
    (row,) = database.execute(
        "SELECT count(*) AS waiting FROM pg_stat_activity"
        " WHERE application_name = 'clerk-backboard-sync' AND wait_event_type = 'Lock'"
    ).fetchall()
    return int(row["waiting"])


async def test_a_user_locked_elsewhere_is_503_with_a_short_retry_after(
    service: Service, direct_url: str, database: Database, backboard: Sandbox
) -> None:
    """No assistant is created, and the first try after the lock succeeds."""
    person = Person()
    with psycopg.connect(direct_url) as rival:
        rival.execute("SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id])
        refused = await service.deliver(user_created(person))

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
    assert backboard.calls() == []
    await deliver_until_acknowledged(service, user_created(person))
    assert stands("created", person, database, backboard)


@pytest.mark.parametrize("table", ["provisioning_attempts", "users"])
async def test_a_locked_table_does_not_use_up_the_servers_connections(
    service: Service, direct_url: str, database: Database, backboard: Sandbox, table: str
) -> None:
    """Each wait ends at the server as well, which does not notice that its client has given up."""
    person = Person()
    await service.ensure(Person())
    with psycopg.connect(direct_url) as rival:
        rival.execute(f"LOCK TABLE {table}".encode())
        refused = [await service.deliver(user_created(person)) for _ in range(2)]
        left = waiting(database)

    assert {answer.status_code for answer in refused} == {503}
    assert left <= 1
    await deliver_until_acknowledged(service, user_created(person))
    assert stands("created", person, database, backboard)
