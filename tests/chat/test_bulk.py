"""Large batches and long messages: what the document allows is stored, and other users do not wait for it."""

import asyncio
import json
from typing import Any

import psycopg
import pytest

from app.api.messages import BATCH_BYTES
from tests.support.factories import Person
from tests.support.service import Chat, Service
from tools.processes import wait_until

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

PROSE = 'Where is the tram, and "when" does it go? I\'d rather walk up to the castle; 7 hills, 3 days.\n'
WAITING = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%lock_session%'"


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


def full_batch() -> bytes:
    """A batch of as many bytes and messages as the document allows."""
    content = PROSE * 20
    batch = json.dumps({"messages": [{"role": "user", "content": content[:1990]}] * 500}).encode()
    assert len(batch) < BATCH_BYTES
    return batch + b" " * (BATCH_BYTES - len(batch))


async def test_a_batch_of_1_mib_is_stored(chat: Chat) -> None:
    """One byte more is 413."""
    session = (await chat.open(Person())).json()
    path, batch = f"/sessions/{session['id']}/messages/batch", full_batch()

    answer = await chat.raw("POST", path, batch)
    larger = await chat.raw("POST", path, batch + b" ")

    assert (answer.status_code, len(answer.json()["messages"]), larger.status_code) == (201, 500, 413)


async def test_several_large_batches_at_once_are_all_stored(chat: Chat) -> None:
    """Of one user or several; they take turns."""
    sessions = [(await chat.open(Person())).json() for _ in range(3)]
    body = {"messages": [{"role": "user", "content": PROSE * 30}] * 40}

    answers = await asyncio.gather(
        *(chat.post(f"/sessions/{session['id']}/messages/batch", body) for session in sessions * 2)
    )

    assert [answer.status_code for answer in answers] == [201] * 6


async def test_other_users_do_not_wait_for_a_large_batch(chat: Chat, service: Service, database: Database) -> None:
    """While one is under way, messages, histories, lists, single sessions and users are served."""
    known = Person()
    slow, session = [(await chat.open(person)).json() for person in (Person(), known)]
    # From here on, the connections for batched reads and writes are taken.
    await chat.say(session, "user", "first")
    await chat.get(f"/sessions/{session['id']}/messages")
    batch = {"messages": [{"role": "user", "content": PROSE * 2}] * 400}
    with database.transaction():
        database.execute("SELECT 1 FROM sessions WHERE id = %s FOR UPDATE", [slow["id"]])
        bulk = asyncio.create_task(chat.post(f"/sessions/{slow['id']}/messages/batch", batch))
        with psycopg.connect(database.info.dsn, autocommit=True) as other:
            await asyncio.to_thread(wait_until, lambda: other.execute(WAITING).fetchall() != [])
        answers = [
            await chat.get(f"/sessions/{session['id']}"),
            await chat.say(session, "user", "hello"),
            await chat.get(f"/sessions/{session['id']}/messages"),
            await chat.get(f"/users/{session['clerk_id']}/sessions"),
            await service.ensure(known),
        ]
        was_waiting = not bulk.done()

    assert ([answer.status_code for answer in answers], was_waiting) == ([200, 201, 200, 200, 200], True)
    assert (await bulk).status_code == 201


async def test_a_large_batch_for_a_session_that_is_not_there_is_404(chat: Chat) -> None:
    batch = {"messages": [{"role": "user", "content": PROSE * 2}] * 400}

    answer = await chat.post("/sessions/00000000-0000-4000-8000-000000000000/messages/batch", batch)

    assert answer.status_code == 404
