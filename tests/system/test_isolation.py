"""One caller's worst request leaves the paths of every message free: each of these has its own way to the database."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.support.factories import Person, now_ms, user_updated
from tests.support.service import Chat, Service

# Each wait for a lock takes a connection of the pooler, and that of the tests has two.
pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct")]

HOLD = b"SELECT 1 FROM sessions JOIN users ON users.id = user_id WHERE clerk_id = %s FOR UPDATE"

WAITING = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

Database = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Two:
    """Two people, each with a session; the rows of one are going to be locked."""

    service: Service
    chat: Chat
    held: Person
    held_session: dict[str, Any]
    free: Person
    free_session: dict[str, Any]

    async def everyday_statuses(self) -> list[int]:
        """The statuses of what a chat does all day, asked by the one whose rows are free, all at once."""
        path = f"/users/{self.free.clerk_id}/sessions"
        answers = await asyncio.gather(
            self.service.ensure(self.free),
            self.service.deliver(user_updated(self.free, updated_at=now_ms() + 1000)),
            self.chat.say(self.free_session, "user", "hello"),
            self.chat.get(f"/sessions/{self.free_session['id']}/messages"),
            self.chat.get(path),
        )
        return [answer.status_code for answer in answers]


@pytest.fixture
async def two(service: Service) -> Two:
    chat, held, free = Chat(service.client), Person(), Person()
    return Two(service, chat, held, (await chat.open(held)).json(), free, (await chat.open(free)).json())


async def rename(two: Two) -> object:
    return await two.chat.patch(f"/sessions/{two.held_session['id']}", {"title": "Later"})


async def append(two: Two) -> object:
    return await two.chat.say(two.held_session, "user", "hello")


async def append_a_long_message(two: Two) -> object:
    return await two.chat.say(two.held_session, "user", "hello " * 5000)


async def update_the_user(two: Two) -> object:
    return await two.service.deliver(user_updated(two.held, updated_at=now_ms() + 1000))


async def delete_the_session(two: Two) -> object:
    return await two.chat.delete(f"/sessions/{two.held_session['id']}")


@pytest.mark.parametrize("wait", [rename, append, append_a_long_message, update_the_user, delete_the_session])
async def test_requests_that_wait_for_a_lock_stop_no_message_of_another_user(
    two: Two, database: Database, wait: Callable[[Two], Coroutine[Any, Any, object]]
) -> None:
    with database.transaction():
        database.execute(HOLD, [two.held.clerk_id])
        waiting = [asyncio.create_task(wait(two)) for _ in range(8)]
        async with asyncio.timeout(5):
            while database.execute(WAITING).fetchall() == []:  # noqa: ASYNC110  # Postgres has no event of ours.
                await asyncio.sleep(0.01)

        statuses = await two.everyday_statuses()
    await asyncio.wait(waiting)
    assert statuses == [200, 200, 201, 200, 200]
