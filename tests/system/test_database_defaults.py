"""The whole service on databases whose defaults are not the usual ones, and as a user who may do only what it needs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from app.application import create_app
from app.postgres.migration_files import read_migrations, split
from app.postgres.migrations import migrate
from app.postgres.schema import TABLES
from tests.support.asgi import Log
from tests.support.databases import limited_role, temporary_database
from tests.support.factories import Person, event, user_created, user_updated
from tests.support.service import Chat, Service, environment, in_process, settings_of
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

DEFAULTS = {
    "datestyle": ["'SQL, DMY'", "'German'", "'Postgres, MDY'"],
    "intervalstyle": ["iso_8601", "sql_standard"],
    "extra_float_digits": ["-15"],
    "bytea_output": ["escape"],
    "timezone": ["'Asia/Kolkata'", "'America/St_Johns'", "'<+03>-03'"],
    "default_transaction_isolation": ["serializable", "'repeatable read'"],
    "default_transaction_deferrable": ["on"],
    "standard_conforming_strings": ["off"],
    "client_encoding": ["LATIN1", "SQL_ASCII"],
    "lc_messages": ["'C'"],
    "transform_null_equals": ["on"],
    "quote_all_identifiers": ["on"],
    "xmloption": ["document"],
}
NAME = "Łukasz Ćwikła 李"


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    with temporary_database(database_url) as url:
        yield url


@asynccontextmanager
async def running(url: str, backboard: Sandbox) -> AsyncIterator[Service]:
    async with in_process(create_app(settings_of(environment(url, backboard.url)))) as service:
        yield service


def set_defaults(url: str, numbers: int) -> None:
    """Give a database the unusual defaults: of each setting the value of that number, or its last."""
    name = urlsplit(url).path[1:]
    with psycopg.connect(url, autocommit=True) as connection:
        for setting, values in DEFAULTS.items():
            value = values[min(numbers, len(values) - 1)]
            connection.execute(f"ALTER DATABASE {name} SET {setting} = {value}".encode())


async def live(service: Service) -> None:
    """A user's whole life, with every kind of statement."""
    person, chat = Person(), Chat(service.client)
    created = await service.deliver(user_created(person, first_name=NAME, last_name=None))
    assert created.status_code == 200, created.text
    assert (await service.ensure(person)).json()["name"] == NAME
    assert (await service.deliver(user_updated(person, first_name="Zoë", last_name=None))).status_code == 200
    session = (await chat.open(person, key="k", title="Lisboa")).json()
    assert (await chat.open(person, key="k", title="Lisboa")).json()["id"] == session["id"]
    said = [(await chat.say(session, "user", f"né {number}", metadata={"x": 0.1})).json() for number in range(3)]
    assert all(message["created_at"].endswith("+00:00") for message in said)
    history = (await chat.get(f"/sessions/{session['id']}/messages")).json()["messages"]
    assert history == said
    for query in ({}, {"q": "NÉ 2"}):
        listed = (await chat.get(f"/users/{person.clerk_id}/sessions", params=query)).json()["sessions"]
        assert [one["last_active_at"] for one in listed] == [said[-1]["created_at"]]
    assert (await chat.put(f"/users/{person.clerk_id}/preferences", {"a": 1.5})).status_code == 200
    assert (await chat.get(f"/users/{person.clerk_id}/stats")).status_code == 200
    assert (await chat.patch(f"/sessions/{session['id']}", {"status": "completed"})).status_code == 200
    assert (await chat.delete(f"/sessions/{session['id']}")).status_code == 204
    assert (await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))).status_code == 200
    assert (await service.ensure(person)).status_code == 410
    assert (await service.client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("numbers", range(3))
@pytest.mark.ways("direct", "pooled")
async def test_no_default_of_the_database_changes_what_is_stored_and_read(
    numbers: int, empty: str, backboard: Sandbox
) -> None:
    """Also through a pooler in transaction mode, which refuses most startup parameters."""
    set_defaults(empty, numbers)
    await migrate(empty)

    async with running(empty, backboard) as service:
        await live(service)


@pytest.mark.parametrize("level", ["serializable", "'repeatable read'"])
@pytest.mark.ways("direct")
async def test_a_stricter_isolation_level_costs_no_write(level: str, empty: str, backboard: Sandbox) -> None:
    """A statement that waits for a rival's row fails under these levels, and is repeated under our own."""
    await migrate(empty)
    person = Person()
    with psycopg.connect(empty, autocommit=True) as rival:
        rival.execute(f"ALTER DATABASE {urlsplit(empty).path[1:]} SET default_transaction_isolation = {level}".encode())
        async with running(empty, backboard) as service:
            chat, path = Chat(service.client), f"/users/{person.clerk_id}/preferences"
            await service.ensure(person)
            await chat.put(path, {"n": 0})
            with rival.transaction():
                rival.execute("UPDATE preferences SET document = '{}'")
                waiting = asyncio.create_task(chat.put(path, {"n": 1}))
                while not rival.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:  # noqa: ASYNC110  # The server knows.
                    await asyncio.sleep(0.01)
            answer = await waiting
            stored = (await chat.get(path)).json()

    assert (answer.status_code, stored) == (200, {"n": 1})


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_user_is_not_lost_to_the_encoding_of_an_older_database(
    encoding: str, database_url: str, backboard: Sandbox, log: Log
) -> None:
    """From before `migrate` looked at it: Clerk is asked to come again, and the others are served."""
    with temporary_database(database_url, encoding) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for migration in read_migrations():
                for statement in [migration.up] if migration.in_transaction else split(migration.up):
                    connection.execute(statement)
        plain, foreign = Person(), Person()
        async with running(url, backboard) as service:
            served = await service.deliver(user_created(plain, first_name="Zo", last_name=None))
            refused = await service.deliver(user_created(foreign, first_name=NAME, last_name=None))
            again = [(await service.ensure(person)).status_code for person in (plain, plain)]

    assert (served.status_code, again) == (200, [200, 200])
    if encoding == "LATIN1":
        assert refused.status_code == 503
        assert "database_encoding" in {line.get("reason") for line in log.lines()}
    else:
        assert refused.status_code == 200


@pytest.mark.ways("direct")
async def test_a_user_with_the_rights_that_the_code_names_can_do_everything(empty: str, backboard: Sandbox) -> None:
    """Neither the tables nor the sequence are its own."""
    await migrate(empty)
    with limited_role(empty) as limited, psycopg.connect(empty, autocommit=True) as owner:
        role = urlsplit(limited).username
        for name, table in TABLES.items():
            owner.execute(f"GRANT {', '.join(table.rights)} ON {name} TO {role}".encode())

        async with running(limited, backboard) as service:
            await live(service)
