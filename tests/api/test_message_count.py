"""The number of messages in a session: every answer about it has it, whichever way the messages came and went."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from app.application import create_app
from app.commands.seed import insert_samples
from tests.support.factories import Person
from tests.support.service import Chat, Service, in_process, settings_of
from tools.processes import wait_until

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
Json = dict[str, Any]
Change = Callable[[Database, Json], object]


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


@pytest.fixture
async def session(chat: Chat) -> Json:
    """A session without messages."""
    session: Json = (await chat.open(Person(), key="trip")).json()
    return session


async def counts(chat: Chat, session: Json) -> set[int]:
    """What each route says: the session itself, the list, a search and a change that changes nothing."""
    sessions = f"/users/{session['clerk_id']}/sessions"
    return {
        (await chat.get(f"/sessions/{session['id']}")).json()["message_count"],
        (await chat.get(sessions)).json()["sessions"][0]["message_count"],
        (await chat.get(sessions + "?q=Trip")).json()["sessions"][0]["message_count"],
        (await chat.patch(f"/sessions/{session['id']}", {})).json()["message_count"],
    }


async def test_messages_are_counted_as_they_come_and_go(chat: Chat, session: Json) -> None:
    """A session begins without any, and a repeated opening says so again."""
    path = f"/sessions/{session['id']}/messages"
    seen = [await counts(chat, session)]
    said = (await chat.say(session, "user", "hello")).json()
    seen.append(await counts(chat, session))
    await chat.post(path + "/batch", {"messages": [{"role": "user", "content": str(number)} for number in range(3)]})
    seen.append(await counts(chat, session))
    for _ in range(2):
        await chat.delete(f"{path}/{said['id']}")
    seen.append(await counts(chat, session))
    await chat.say(session, "user", "x" * 70_000)
    seen.append(await counts(chat, session))

    assert seen == [{0}, {1}, {4}, {3}, {4}]
    again = await chat.open(Person(int(session["clerk_id"].removeprefix("user_"))), key="trip")
    assert (session["message_count"], again.json()["message_count"]) == (0, 0)


def never_counted(database: Database, session: Json) -> None:
    """As a session that is older than the column."""
    database.execute("UPDATE sessions SET message_count = NULL WHERE id = %s", [session["id"]])


def append_as_before(database: Database, session: Json) -> None:
    """What a process of the release before calls, twice."""
    for content in "ab":
        database.execute(
            "SELECT message_id, session_id, metadata, created_at, position FROM insert_messages("
            " ARRAY[%s]::UUID[], ARRAY[NULL]::TEXT[], ARRAY[1], ARRAY['user'], ARRAY[%s], ARRAY[NULL]::JSONB[])",
            [session["id"], content],
        )


def delete_as_before(database: Database, session: Json) -> None:
    """By hand, or a process of the release before."""
    database.execute("DELETE FROM messages WHERE session_id = %s AND content = '2'", [session["id"]])


def truncate(database: Database, session: Json) -> None:  # noqa: ARG001  # All sessions are emptied.
    database.execute(b"TRUNCATE messages")


def truncate_and_more(database: Database, session: Json) -> None:  # noqa: ARG001  # As above.
    database.execute(b"TRUNCATE preferences, messages RESTART IDENTITY CASCADE")


WAYS: dict[str, tuple[list[Change], int]] = {
    "never counted": ([never_counted], 3),
    "an append of the release before": ([append_as_before], 5),
    "a deletion of the release before": ([delete_as_before], 2),
    "both": ([append_as_before, delete_as_before], 4),
    "never counted, then an append": ([never_counted, append_as_before], 5),
    "never counted, then a deletion": ([never_counted, delete_as_before], 2),
    "a deletion, then never counted": ([delete_as_before, never_counted], 2),
    "a truncated table": ([truncate], 0),
    "one of several": ([truncate_and_more], 0),
    "never counted, then truncated": ([never_counted, truncate], 0),
    "truncated, then an append": ([truncate, append_as_before], 2),
}


async def test_no_way_upsets_the_count(chat: Chat, database: Database) -> None:
    """Before the next message, which has it stored, and after it."""
    found = {}
    for name, (changes, _) in WAYS.items():
        session = (await chat.open(Person())).json()
        for number in range(3):
            await chat.say(session, "user", str(number))
        for change in changes:
            change(database, session)
        before = await counts(chat, session)
        await chat.say(session, "user", "one more")
        found[name] = (before, await counts(chat, session))

    assert found == {name: ({count}, {count + 1}) for name, (_, count) in WAYS.items()}


async def test_writers_and_deletions_at_once_are_counted(
    chat: Chat, variables: dict[str, str], database: Database
) -> None:
    """Of two processes, from a session that was never counted; so do those that end with 404 because it is deleted."""
    async with in_process(create_app(settings_of(variables))) as second:
        backends = [chat, Chat(second.client)]
        for _ in range(4):
            session = (await chat.open(Person())).json()
            said = [(await chat.say(session, "user", str(number))).json() for number in range(4)]
            never_counted(database, session)
            path = f"/sessions/{session['id']}/messages"
            answers = await asyncio.gather(
                *(backend.say(session, "user", str(number)) for number in range(3) for backend in backends),
                *(backend.delete(f"{path}/{one['id']}") for one in said[:3] for backend in backends),
            )

            assert [answer.status_code for answer in answers[:6]] == [201] * 6
            assert sorted(answer.status_code for answer in answers[6:]) == [204] * 3 + [404] * 3
            assert await counts(chat, session) == {7}
        gone = await asyncio.gather(
            backends[0].delete(f"/sessions/{session['id']}"), backends[1].delete(f"{path}/{said[3]['id']}")
        )
        assert [answer.status_code for answer in gone] in ([204, 204], [204, 404])


async def test_who_counts_waits_for_a_deletion(chat: Chat, session: Json, direct_url: str, database: Database) -> None:
    """Of a session that was never counted: else the message would be counted and then go."""
    for number in range(3):
        await chat.say(session, "user", str(number))
    never_counted(database, session)
    with psycopg.connect(direct_url) as other:
        other.execute("DELETE FROM messages WHERE session_id = %s AND content = '2'", [session["id"]])
        appending = asyncio.create_task(chat.say(session, "user", "one more"))
        waiting = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%session%'"
        await asyncio.to_thread(wait_until, lambda: database.execute(waiting).fetchall() != [])
        other.commit()

    assert (await appending).status_code == 201
    assert await counts(chat, session) == {3}


async def test_a_sample_that_is_put_back_is_counted(chat: Chat, database_url: str, database: Database) -> None:
    await insert_samples(database_url)
    (one,) = database.execute("SELECT session_id, count(*) FROM messages GROUP BY session_id LIMIT 1").fetchall()
    session = {"id": str(one["session_id"])}
    await chat.say(session, "user", "hello")
    database.execute("DELETE FROM messages WHERE session_id = %s", [one["session_id"]])

    await insert_samples(database_url)

    assert (await chat.get(f"/sessions/{session['id']}")).json()["message_count"] == one["count"]
