"""Each wait, and each chain of waits: a caller has its answer before Clerk's sender gives up at 15 s.

A party that can only hang for all requests has a server process of its own, and all cases run at once, so that the
test takes one deadline. Only the promised bound is asserted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest

from app.postgres.migrations import migrate
from tests.http.test_wire import request, status, talk
from tests.support import factories
from tests.support.databases import temporary_database
from tests.support.factories import Person, event, signed, user_created, user_data, user_updated
from tests.support.service import Service, connected_to
from tools.processes import ServerProcess, responds, wait_until
from tools.sandbox.backboard import Sandbox
from tools.sandbox.clerk import LOCAL_KEY, Clerk
from tools.sandbox.clerk.frontend_api import ClerkIssuer
from tools.sandbox.faults import hangs, slow
from tools.sandbox.postgres_proxy import PostgresProxy, Silence

pytestmark = pytest.mark.anyio

StartServer = Callable[..., ServerProcess]

PROMISE_SECONDS = 12.5
# Each a little shorter than the limit of its step, so that the steps add up.
BODY_SECONDS, LOOKUP_SECONDS, CREATE_SECONDS = 4.5, 1.8, 5.5
SLOW_COMMIT = "Slowcommit"

SLOW_COMMITS = f"""
CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.name = '{SLOW_COMMIT}') EXECUTE FUNCTION sleep();
CREATE CONSTRAINT TRIGGER slow_deletion AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.name = '{SLOW_COMMIT}2' AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION sleep();
"""


@dataclass
class Timed:
    """The answer to each case: status, whether it has a Retry-After, and the seconds it took."""

    answers: dict[str, tuple[int, bool, float]] = field(default_factory=dict)

    async def ask(self, name: str, call: Awaitable[httpx.Response]) -> None:
        started = time.monotonic()
        answer = await call
        self.answers[name] = (answer.status_code, "retry-after" in answer.headers, time.monotonic() - started)


async def late(body: bytes) -> AsyncIterator[bytes]:
    yield body[:-1]
    await asyncio.sleep(BODY_SECONDS)
    yield body[-1:]


async def deliver_late(service: Service, body: bytes) -> httpx.Response:
    return await service.client.post("/webhooks/clerk", content=late(body), headers=signed(body))


async def deliver_half(server: ServerProcess) -> httpx.Response:
    """On a bare socket, since httpx reads no answer before the whole body is sent."""
    return httpx.Response(status(await talk(server, request(user_created(Person()))[:-1], seconds=20.0)))


async def ensure_late(service: Service, person: Person, token: str) -> httpx.Response:
    body = b'{"clerk_id": "%s"}' % person.clerk_id.encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return await service.client.post("/ensure-user", content=late(body), headers=headers)


def deleted(person: Person) -> bytes:
    return event("user.deleted", {"id": person.clerk_id, "object": "user", "deleted": True})


@contextmanager
def held(url: str, locked: list[Person], rows: list[Person]) -> Iterator[None]:
    """Hold the advisory lock of some users, and the rows of others."""
    with psycopg.connect(url) as connection:
        for person in locked:
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id]
            )
        for person in rows:
            connection.execute("SELECT 1 FROM users WHERE clerk_id = %s FOR UPDATE", [person.clerk_id])
        yield


@pytest.mark.ways("direct")  # Each of dozens of hanging requests holds a connection.
async def test_every_request_is_answered_in_time_whichever_step_hangs(
    start_server: StartServer, variables: dict[str, str], backboard: Sandbox
) -> None:
    """With 408, or with 503 and Retry-After."""
    timed, silence = Timed(), Silence()
    with temporary_database(variables["DATABASE_URL"]) as url, Clerk() as clerk, ClerkIssuer() as issuer:
        await migrate(url)
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(SLOW_COMMITS.encode())
        with Clerk() as silent_clerk, ClerkIssuer() as silent_issuer:
            async with PostgresProxy(url, silence) as proxy:
                base = {"DATABASE_URL": url, "CLERK_SECRET_KEY": LOCAL_KEY}
                good = base | {"CLERK_API_URL": clerk.url, "CLERK_ISSUER": issuer.url, "PROVISIONING_CONCURRENCY": "20"}
                bad = base | {"CLERK_API_URL": silent_clerk.url, "CLERK_ISSUER": silent_issuer.url}
                servers = [
                    start_server(wait=False, **good),
                    start_server(wait=False, **bad | {"PROVISIONING_CONCURRENCY": "1"}),
                    start_server(wait=False, DATABASE_URL=proxy.url),
                ]
                for server in servers:
                    await asyncio.to_thread(wait_until, responds(server.url))
                async with (
                    connected_to(servers[0]) as one,
                    connected_to(servers[1]) as two,
                    connected_to(servers[2]) as three,
                ):
                    issuer.delay, silent_issuer.delay = LOOKUP_SECONDS, 15.0
                    clerk.always("user", slow(LOOKUP_SECONDS))
                    silent_clerk.always("user", hangs())
                    await asyncio.gather(
                        _locks_calls_and_commits(timed, one, url, backboard, clerk, issuer),
                        _slots_and_clerk(timed, two, backboard, silent_issuer),
                        _silent_database(timed, three, backboard, silence),
                        timed.ask("body", deliver_half(servers[0])),
                    )

    wrong = {
        name: answer
        for name, answer in timed.answers.items()
        if not (answer[0] == 408 or (answer[0] == 503 and answer[1])) or answer[2] >= PROMISE_SECONDS
    }
    assert wrong == {}
    assert len(timed.answers) == 23


async def _locks_calls_and_commits(
    timed: Timed, service: Service, url: str, backboard: Sandbox, clerk: Clerk, issuer: ClerkIssuer
) -> None:
    """Each by itself, and the longest chains of waits that one request can have."""
    locked = [Person() for _ in range(4)]
    rows = [Person() for _ in range(2)]
    create, lookup, delete, chain, commit, deletion = (Person() for _ in range(6))
    for person in (*rows, delete, deletion):
        created = user_created(
            person, first_name=f"{SLOW_COMMIT}2" if person is deletion else "Canaryname", last_name=None
        )
        assert (await service.deliver(created)).status_code == 200
    for person in locked:
        clerk.add_user(**user_data(person))
    with psycopg.connect(url, autocommit=True) as owner:
        for person in (lookup, chain):
            owner.execute("INSERT INTO provisioning_attempts (clerk_id) VALUES (%s)", [person.clerk_id])
    backboard.next_create(hangs(), where=create.assistant_name.__eq__)
    backboard.next_lookup(hangs(), where=lookup.assistant_name.__eq__)
    backboard.next_lookup(slow(LOOKUP_SECONDS), where=chain.assistant_name.__eq__)
    backboard.next_create(slow(CREATE_SECONDS), where=chain.assistant_name.__eq__)
    backboard.next_delete(hangs())
    updates = [user_updated(person, first_name="Canarynew", updated_at=factories.now_ms()) for person in rows]
    slow_names = {"first_name": SLOW_COMMIT, "last_name": None}
    cases: dict[str, Awaitable[httpx.Response]] = {
        "lock": service.deliver(user_created(locked[0])),
        "body, lock": deliver_late(service, user_created(locked[1])),
        "lock, deletion": service.deliver(deleted(locked[2])),
        "keys, body, Clerk, lock": ensure_late(service, locked[3], issuer.token(locked[3])),
        "row": service.deliver(updates[0]),
        "body, row": deliver_late(service, updates[1]),
        "create": service.deliver(user_created(create)),
        "lookup": service.deliver(user_created(lookup)),
        "delete": service.deliver(deleted(delete)),
        "commit": service.deliver(user_created(commit, **slow_names)),
        "commit, deletion": service.deliver(deleted(deletion)),
        "body, lookup, create, commit": deliver_late(service, user_created(chain, **slow_names)),
    }
    with held(url, locked, rows):
        await asyncio.gather(*(timed.ask(name, call) for name, call in cases.items()))


async def _slots_and_clerk(timed: Timed, service: Service, backboard: Sandbox, issuer: ClerkIssuer) -> None:
    """The only slot is taken for 6 s; Clerk does not answer."""
    holder = Person()
    backboard.next_create(hangs(), where=holder.assistant_name.__eq__)
    cases: dict[str, Awaitable[httpx.Response]] = {
        "slot, held": service.deliver(user_created(holder)),
        "slot": _later(service.deliver(user_created(Person()))),
        "slot, deletion": _later(service.deliver(deleted(Person()))),
        "keys": service.ensure(Person(), issuer.token(Person())),
        "body, Clerk": ensure_late(service, Person(), factories.TOKEN),
    }
    await asyncio.gather(*(timed.ask(name, call) for name, call in cases.items()))


async def _later(call: Awaitable[httpx.Response], seconds: float = 1.0) -> httpx.Response:
    await asyncio.sleep(seconds)
    return await call


async def _silent_database(timed: Timed, service: Service, backboard: Sandbox, silence: Silence) -> None:
    """It falls silent while Backboard works on a create, and stays so on old connections and new ones."""
    known, new = Person(), Person()
    assert (await service.deliver(user_created(known))).status_code == 200
    backboard.next_create(slow(CREATE_SECONDS), where=new.assistant_name.__eq__)
    under_way = asyncio.create_task(timed.ask("create, silence", service.deliver(user_created(new))))
    seen = lambda: any(call.name == new.assistant_name for call in backboard.calls(kind="create"))  # noqa: E731
    await asyncio.to_thread(backboard.wait_for, seen)
    silence.speaks.clear()
    try:
        cases: dict[str, Awaitable[httpx.Response]] = {
            "silence": service.deliver(user_created(Person())),
            "silence, ready": _later(service.client.get("/readyz"), 1.5),
            "silence, deletion": service.deliver(deleted(known)),
            "body, silence": deliver_late(service, user_updated(known, updated_at=factories.now_ms())),
        }
        await asyncio.gather(under_way, *(timed.ask(name, call) for name, call in cases.items()))
    finally:
        silence.speaks.set()
