"""A database that is down when the process starts, and one that crashes under load, with and without a pooler."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.postgres.migrations import migrate
from tests.support.factories import Person, user_created
from tests.support.service import Service, connected_to
from tools.processes import ServerProcess, responds, wait_until
from tools.sandbox.backboard import Sandbox
from tools.sandbox.binaries import find_pgbouncer
from tools.sandbox.pgbouncer import PgBouncer
from tools.sandbox.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct")]

StartServer = Callable[..., ServerProcess]

CRASHES = 5
SENDERS = 12


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[Postgres]:
    """A Postgres of the test's own, migrated."""
    with Postgres(tmp_path / "data", durable=False) as server:
        asyncio.run(migrate(server.url()))
        yield server


@pytest.fixture(params=["direct", "pooled"])
def address(crashing: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the service finds it."""
    if request.param == "direct":
        yield crashing.url()
        return
    if find_pgbouncer() is None:
        pytest.skip("there is no PgBouncer on this machine (Debian: apt install pgbouncer)")
    with PgBouncer(crashing.url(), pool_size=2) as pooler:
        yield pooler.url()


async def test_a_process_starts_without_its_database_and_finds_it_later(
    start_server: StartServer, crashing: Postgres, address: str
) -> None:
    """The port is bound, /readyz says 503, both callers are told to come again; then all is well by itself."""
    crashing.crash()
    server = start_server(wait=False, DATABASE_URL=address)
    wait_until(responds(server.url, "/healthz"), seconds=30)
    async with connected_to(server) as service:
        unready = await service.client.get("/readyz")
        refused = [await service.deliver(user_created(Person())), await service.ensure(Person())]
        crashing.start()
        await asyncio.to_thread(wait_until, responds(server.url))
        made = await service.deliver(user_created(Person()))

    assert (unready.status_code, [answer.status_code for answer in refused]) == (503, [503, 503])
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in (unready, *refused))
    assert made.json() == {"outcome": "created"}


async def test_crashes_under_load_lose_nothing_that_was_acknowledged(
    start_server: StartServer, crashing: Postgres, address: str, backboard: Sandbox
) -> None:
    """Every delivery is taken in the end, and what was taken has its one row and its one assistant."""
    backboard.switches.latency = 0.05
    server = start_server(DATABASE_URL=address)
    over = asyncio.Event()
    async with connected_to(server) as service:
        senders = [asyncio.create_task(send_until(over, service)) for _ in range(SENDERS)]
        for _ in range(CRASHES):
            await asyncio.sleep(0.7)
            await asyncio.to_thread(crashing.crash)
            crashing.start()
        over.set()
        sent = await asyncio.gather(*senders)

    taken = [person for people, _ in sent for person in people]
    assert sum(refusals for _, refusals in sent) > 0
    with psycopg.connect(crashing.url()) as connection:
        held: dict[str, Any] = dict(connection.execute("SELECT clerk_id, assistant_id FROM users").fetchall())
    assert set(held) == {person.clerk_id for person in taken}
    for person in taken:
        assert [assistant.id for assistant in backboard.made(person.assistant_name)] == [held[person.clerk_id]]


async def send_until(over: asyncio.Event, service: Service) -> tuple[list[Person], int]:
    """Deliver one new user after another, each until it is taken; who they were, and how often it was not."""
    taken, refusals = [], 0
    while not over.is_set():
        person = Person()
        while (answer := await service.deliver(user_created(person))).status_code != httpx.codes.OK:
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            refusals += 1
            await asyncio.sleep(0.1)
        taken.append(person)
    return taken, refusals
